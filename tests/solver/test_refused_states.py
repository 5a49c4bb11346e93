"""States that cannot be restored: each is refused with a sentence, and nothing changes."""

import re

import h5py
import numpy as np
import pytest

from sscaffe.errors import WeightsError
from sscaffe.layer import REGISTRY, TRAIN, Layer
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import read_binary, write_binary
from sscaffe.solver import Solver
from sscaffe.solver.snapshot import describe_model, read_state
from tests.solver.nets import (
    MODES,
    history_of,
    plain_state,
    restore_refused,
    settings,
    small_net,
    small_solver,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("here")


def test_a_state_of_another_solver_type_is_refused():
    small_solver('type: "Adam" momentum: 0.9').snapshot()
    restore_refused(
        "type: expected a state of SGD, got one of Adam in small_iter_0.solverstate; "
        "set type: 'Adam', or start from its weights alone"
    )


def test_a_history_of_another_length_is_refused():
    plain_state(small_solver('type: "Adam" momentum: 0.9').snapshot())
    restore_refused("history: expected 4 blobs for SGD, got 8 in small_iter_0.solverstate")


def test_a_history_of_another_net_is_refused():
    net = small_net()
    net.layer[4].inner_product_param.num_output = 5
    plain_state(Solver(settings(net=net)).snapshot())
    message = r"history: expected shape \(3, 36\) for blob 2, got \(5, 36\)"
    restore_refused(message)


def test_another_caffemodel_is_refused():
    solver = small_solver()
    solver.snapshot()
    solver.step(1)
    solver.net.save("small_iter_0.caffemodel")
    restore_refused(
        "learned_net: expected the file that was written with small_iter_0.solverstate, .* bytes "
        "with CRC-32 .*, got .* bytes with .* in small_iter_0.caffemodel"
    )


def test_a_missing_caffemodel_is_told(here):
    small_solver().snapshot()
    (here / "small_iter_0.caffemodel").unlink()
    restore_refused("learned_net: small_iter_0.caffemodel, .*does not exist")


def test_a_caffemodel_instead_of_a_state_is_refused():
    small_solver().snapshot()
    message = "expected a solverstate, got what seems to be a caffemodel"
    restore_refused(message, "small_iter_0.caffemodel")


@pytest.mark.parametrize("part", [0.05, 0.5, 0.999])
@pytest.mark.parametrize("ending", ["", ".h5"])
def test_a_state_that_is_cut_short_is_refused(part, ending, here):
    form = "HDF5" if ending else "BINARYPROTO"
    path = here / small_solver(f"snapshot_format: {form}").snapshot()
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    restore_refused("small_iter_0.solverstate", path.name)


def test_masks_of_another_net_are_refused():
    state = small_solver(mode=MODES["ELTWISE"])
    state.step(1)
    path = state.snapshot()
    proto = read_binary(path, caffe_pb2.SolverState)
    proto.mask[0].shape.dim[0] = 5
    write_binary(path, proto)
    message = "mask: expected one for a parameter of the net, got one for blob 0 of layer 'conv1'"
    restore_refused(message, path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"short", "expected 2500 bytes, got 5"),
        (bytes(2496) + b"\xff\xff\0\0", "expected a place up to 624, got 65535"),
    ],
)
def test_a_random_state_that_is_none_is_refused(state, message):
    path = small_solver().snapshot()
    proto = read_binary(path, caffe_pb2.SolverState)
    proto.random_state = state
    write_binary(path, proto)
    restore_refused(f"small_iter_0.solverstate: random state: {message}")


class Counter(Layer):
    """A layer of data that counts the batches."""

    def setup(self, bottom, top):
        self.count = 0

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.count += 1

    def data_state(self):
        return {"count": self.count}

    def restore_data_state(self, state):
        self.count = state["count"]


def test_the_places_of_all_nets_are_kept(monkeypatch):
    monkeypatch.setitem(REGISTRY, "Counter", Counter)
    net = small_net()
    net.layer.add(name="counter", type="Counter", top=["count"])
    param = settings("test_iter: 5 test_interval: 2", net)
    solver, resumed = Solver(param), Solver(param)
    solver.step(3)
    resumed.restore(solver.snapshot())
    for net, count in ((resumed.net, 3), (resumed.test_nets[0], 10)):
        assert net.layers[-1].count == count


@pytest.mark.parametrize("place", ["", "[1, 2]", '{"record": 2}'])
def test_a_place_in_the_data_that_is_none_is_refused(place, monkeypatch):
    monkeypatch.setitem(REGISTRY, "Counter", Counter)
    net = small_net()
    net.layer.add(name="counter", type="Counter", top=["count"])
    net.layer.add(name="first", type="Counter", top=["first"])
    net.layer[-1].CopyFrom(net.layer[-2])
    net.layer[-1].name, net.layer[-1].top[0] = "last", "last"
    solver = Solver(settings("average_loss: 2", net))
    path = solver.snapshot()
    proto = read_binary(path, caffe_pb2.SolverState)
    proto.data_cursor[1].state = place
    write_binary(path, proto)
    solver.step(2)
    before = whole_state(solver)
    message = re.escape(f"a place in the data of layer 'last', got {place!r}")
    with pytest.raises(WeightsError, match=message):
        solver.restore(path)
    assert whole_state(solver) == before


def whole_state(solver):
    """Return all that a restore could change."""
    places = [layer.data_state() for layer in solver.net.layers if hasattr(layer, "data_state")]
    masks = [None if p.mask is None else p.mask.tolist() for p in solver.net.learnable_params]
    arrays = [a.tolist() for a in (*weights_of(solver).values(), *history_of(solver).values())]
    return places, masks, arrays, solver.iter, solver.smoothed_loss, solver.rng.get_state()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("model", r"blobs: expected shape \(3, 36\), got \(5, 36\)"),
        ("mask", "mask: expected 36 bits"),
        ("iter", "iter: expected 0 or more, got -1 in other_iter_0.solverstate"),
    ],
)
def test_a_refusal_changes_nothing(what, message, here, monkeypatch):
    monkeypatch.setitem(REGISTRY, "Counter", Counter)
    net = small_net(mode=MODES["ELTWISE"])
    net.layer.add(name="counter", type="Counter", top=["count"])
    teller = Solver(settings("snapshot_prefix: 'other'", net))
    teller.net.layers[-1].count = 77
    path = teller.snapshot()
    proto = read_binary(path, caffe_pb2.SolverState)
    if what == "mask":
        proto.mask[0].bits = b"1"
    elif what == "iter":
        proto.iter = -1
    else:
        net_of_others = small_net()
        net_of_others.layer[4].inner_product_param.num_output = 5
        Net(net_of_others, TRAIN).save(proto.learned_net)
        describe_model(proto, here / proto.learned_net, proto.learned_net)
    write_binary(path, proto)
    solver = Solver(settings("average_loss: 2", net))
    solver.step(2)
    before = whole_state(solver)
    with pytest.raises(WeightsError, match=message):
        solver.restore(path)
    assert whole_state(solver) == before


@pytest.mark.parametrize("place", ["history/0", "sscaffe", "learned_net"])
def test_a_state_that_would_exhaust_memory_is_refused_unread(place, here):
    path = small_solver("snapshot_format: HDF5").snapshot()
    with h5py.File(path, "a") as file:
        del file[place]
        if place == "learned_net":
            file.create_dataset(place, (), f"S{2**27}")
        else:
            file.create_dataset(place, (2**27,), "u1", chunks=(2**20,), compression="gzip")
    assert (here / path).stat().st_size < 30_000
    message = f"{place}: {path} declares shape .*, 134217728 bytes, and stores 0 of them"
    with pytest.raises(WeightsError, match=message):
        read_state(path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("iter", np.empty(0, np.int32), r"iter: expected shape \(1,\), got \(0,\)"),
        ("learned_net", 3, "learned_net: expected a text in the HDF5 file, got int64"),
        ("learned_net", None, "learned_net: expected a dataset in the HDF5 file, got nothing"),
        ("history/0", h5py.Empty("f4"), "history/0: expected numbers, got none"),
    ],
)
def test_a_part_of_an_hdf5_state_that_is_none_is_refused(place, value, message):
    path = small_solver("snapshot_format: HDF5").snapshot()
    with h5py.File(path, "a") as file:
        del file[place]
        if value is not None:
            file.create_dataset(place, data=value)
    restore_refused(message, path)
