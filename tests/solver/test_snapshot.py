"""Snapshots: training goes on from one bit for bit, and nothing that is written is ever half."""

import re

import h5py
import numpy as np
import pytest

from sscaffe import files
from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.errors import DivergedError, SscaffeError, WeightsError
from sscaffe.layer import REGISTRY, TRAIN, Layer
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.serialized import read_binary, write_binary
from sscaffe.solver import Solver
from sscaffe.solver.snapshot import describe_model, read_state
from sscaffe.solver.updates import RULES
from tests.solver.nets import assert_same, settings, small_net, small_solver, weights_of

SSL = "block_group_lasso { group: SHAPE } block_group_lasso { group: FILTER }"
MODES = {
    "CONNECTED": "",
    "ELTWISE": "connectivity_mode: DISCONNECTED_ELTWISE",
    "GRPWISE": "connectivity_mode: DISCONNECTED_GRPWISE",
}
OPTIONS = """
iter_size: 2 average_loss: 3 weight_decay: 0.01 block_group_decay: 0.02 clip_gradients: 5
lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_zeros(solver):
    weights = solver.net.params["conv1"][0].data
    weights[0] = weights[2:, 0, 1] = 0


def history_of(solver):
    return {i: blob.const_data.copy() for i, blob in enumerate(solver.history)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rule", RULES)
def test_training_goes_on_bit_for_bit(rule, mode):
    momentum = "" if rule in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    text = f'{OPTIONS} type: "{rule}" base_lr: 0.01 delta: 1e-4 {momentum}'
    param = settings(text, small_net(conv=SSL, mode=MODES[mode]))
    straight = Solver(param)
    make_zeros(straight)
    straight.step(3)
    state = straight.snapshot()
    at_snapshot, loss = weights_of(straight), straight.smoothed_loss
    straight.step(4)
    resumed = Solver(param)
    resumed.step(1)  # what it did before must not matter
    resumed.restore(state)
    assert (resumed.iter, resumed.smoothed_loss) == (3, loss)
    assert_same(weights_of(resumed), at_snapshot)
    resumed.step(4)
    assert_same(weights_of(resumed), weights_of(straight))
    assert_same(history_of(resumed), history_of(straight))
    assert resumed.smoothed_loss == straight.smoothed_loss
    masks = [[p.mask for p in s.net.learnable_params] for s in (resumed, straight)]
    assert (masks[0][0] is None) == (mode == "CONNECTED")
    np.testing.assert_array_equal(masks[0][0], masks[1][0])


def test_the_mean_loss_goes_on_for_one_step():
    straight, resumed = (small_solver("average_loss: 5 snapshot: 3") for _ in range(2))
    straight.step(4)
    resumed.restore("small_iter_3.solverstate")
    resumed.step(1)
    assert resumed.smoothed_loss == straight.smoothed_loss
    resumed.step(1)
    assert resumed.smoothed_loss == float(resumed.net.blobs["loss"].const_data)


@pytest.mark.parametrize("diff", [False, True])
def test_hdf5_snapshots_are_as_good(diff):
    text = 'type: "Adam" base_lr: 0.01 momentum: 0.9 snapshot_format: HDF5'
    param = settings(text, small_net(mode=MODES["ELTWISE"]))
    param.snapshot_diff = diff
    straight = Solver(param)
    make_zeros(straight)
    straight.step(3)
    assert straight.snapshot() == "small_iter_3.solverstate.h5"
    straight.step(3)
    resumed = Solver(param)
    resumed.restore("small_iter_3.solverstate.h5")
    resumed.step(3)
    assert_same(weights_of(resumed), weights_of(straight))
    with h5py.File("small_iter_3.caffemodel.h5") as file:
        assert ("diff" in file) == diff


def test_masks_are_those_of_the_snapshot_and_not_its_zeros():
    mode = MODES["ELTWISE"]
    solver = small_solver("prune_threshold: 0.05", mode=mode)
    solver.step(1)
    free = solver.net.learnable_params[0].mask.copy()
    solver.step(3)
    state = solver.snapshot()
    assert ((solver.net.params["conv1"][0].const_data == 0) & free).any()
    resumed = small_solver("prune_threshold: 0.05", mode=mode)
    resumed.restore(state)
    resumed.step(1)
    np.testing.assert_array_equal(resumed.net.learnable_params[0].mask, free)


def test_data_goes_on_where_it_was():
    rng = np.random.default_rng(1701)
    images = rng.integers(0, 255, (7, 1, 6, 6), dtype=np.uint8)
    records = [
        (b"%03d" % i, array_to_datum(image, i % 3).SerializeToString())
        for i, image in enumerate(images)
    ]
    write_lmdb("digits_lmdb", records)
    net = parse_net("""
    layer { name: "digits" type: "Data" top: "data" top: "label"
      transform_param { mirror: true crop_size: 4 scale: 0.01 }
      data_param { source: "digits_lmdb" backend: LMDB batch_size: 3 } }
    layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
    """)
    param = settings("test_iter: 2 test_interval: 3 momentum: 0.9", net)
    straight, resumed = Solver(param), Solver(param)
    straight.step(4)
    state = straight.snapshot()
    straight.step(5)
    resumed.restore(state)
    resumed.step(5)
    assert_same(weights_of(resumed), weights_of(straight))
    assert resumed.test_results == straight.test_results
    for solver in (straight, resumed):
        solver.close()


def plain_state(path):
    """Take away what only sscaffe writes, as if Caffe had written the file."""
    state = read_binary(path, caffe_pb2.SolverState)
    for field, _ in state.ListFields():
        if field.number > 1000:
            state.ClearField(field.name)
    write_binary(path, state)


def test_a_state_of_caffe_is_restored_and_its_zeros_are_frozen():
    param = settings("momentum: 0.9 average_loss: 2", small_net(mode=MODES["ELTWISE"]))
    solver = Solver(param)
    make_zeros(solver)
    solver.step(3)
    state = solver.snapshot()
    plain_state(state)
    resumed = Solver(param)
    resumed.restore(state)
    assert resumed.iter == 3
    assert resumed.smoothed_loss == 0
    assert_same(weights_of(resumed), weights_of(solver))
    assert_same(history_of(resumed), history_of(solver))
    resumed.step(1)
    assert not resumed.net.params["conv1"][0].const_data[0].any()


def test_the_fields_of_caffe_are_there():
    solver = small_solver('lr_policy: "step" gamma: 0.1 stepsize: 2 type: "AdaDelta"')
    solver.step(3)
    state = read_binary(solver.snapshot(), caffe_pb2.SolverState)
    assert (state.iter, state.current_step) == (3, 1)
    assert state.learned_net == "small_iter_3.caffemodel"
    assert len(state.history) == 8
    assert (state.solver_type, len(state.random_state)) == ("AdaDelta", 2500)


def test_the_weights_may_lie_beside_the_state(here):
    solver = small_solver()
    state = solver.snapshot()
    (here / "moved").mkdir()
    for name in (state, "small_iter_0.caffemodel"):
        (here / name).rename(here / "moved" / name)
    small_solver().restore(here / "moved" / state)


@pytest.mark.parametrize("wrong", ["named", "beside"])
def test_the_weights_that_were_written_with_the_state_are_found(wrong, here):
    solver = small_solver()
    state = solver.snapshot()
    weights = weights_of(solver)
    (here / "moved").mkdir()
    for name in (state, "small_iter_0.caffemodel"):
        (here / "moved" / name).write_bytes((here / name).read_bytes())
    # Another training has written over one of the two.
    folder = "moved" if wrong == "beside" else ""
    small_solver("random_seed: 8").net.save(here / folder / "small_iter_0.caffemodel")
    resumed = small_solver()
    resumed.restore(here / "moved" / state)
    assert_same(weights_of(resumed), weights)


def test_of_two_wrong_caffemodels_both_are_told(here):
    state = small_solver().snapshot()
    (here / "moved").mkdir()
    (here / state).rename(here / "moved" / state)
    for folder, seed in (("", 8), ("moved", 9)):
        other = small_solver(f"random_seed: {seed}")
        other.net.save(here / folder / "small_iter_0.caffemodel")
    message = "got .* in small_iter_0.caffemodel and .* in .*moved/small_iter_0.caffemodel"
    restore_refused(message, here / "moved" / state)


def test_paths_start_from_the_root(here, monkeypatch):
    (here / "deep").mkdir()
    solver = Solver(settings(), root="deep")
    state = solver.snapshot()
    assert (here / "deep" / state).exists()
    Solver(settings(), root="deep").restore(state)


@pytest.mark.parametrize(
    ("prefix", "stem"),
    [
        ("a", "a_iter_0"),
        ("deep/a", "deep/a_iter_0"),
        ("deep", "deep/own_iter_0"),
        ("deep/", "deep/own_iter_0"),
        ("", "own_iter_0"),
    ],
)
def test_snapshot_prefix_may_be_a_folder_or_nothing(prefix, stem, here):
    (here / "deep").mkdir()
    solver = Solver(settings(f'snapshot_prefix: "{prefix}"'), source="somewhere/own.prototxt")
    assert solver.snapshot() == f"{stem}.solverstate"
    assert (here / f"{stem}.caffemodel").exists()


def restore_refused(message, state="small_iter_0.solverstate", text="", error=WeightsError):
    """Check the message, and that the refusal changed nothing."""
    solver = small_solver(text)
    solver.step(1)
    before = weights_of(solver), history_of(solver), solver.iter
    with pytest.raises(error, match=message):
        solver.restore(state)
    assert_same(weights_of(solver), before[0])
    assert_same(history_of(solver), before[1])
    assert solver.iter == before[2]


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
    Solver(settings(net=net)).snapshot()
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


@pytest.mark.parametrize("survivors", [0, 1])
def test_a_crash_while_writing_leaves_the_old_snapshot(survivors, here, monkeypatch):
    solver = small_solver('snapshot_prefix: "only"')
    solver.step(1)
    state = solver.snapshot()
    kept = weights_of(solver)
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    solver.step(1)
    calls = []
    sync = files._sync

    def crash(path):
        calls.append(path)
        # Each file is synced itself, then its folder: the third call is for the second file.
        if len(calls) == 1 + 2 * survivors:
            raise OSError(28, "No space left on device")
        sync(path)

    monkeypatch.setattr(files, "_sync", crash)
    with pytest.raises(SscaffeError, match="cannot be written: No space left on device"):
        solver.snapshot()
    monkeypatch.undo()
    monkeypatch.chdir(here)
    after = {path.name: path.read_bytes() for path in here.iterdir()}
    new = set(after) - set(before)
    assert new == ({"only_iter_2.caffemodel"} if survivors else set())
    assert {name: after[name] for name in before} == before
    resumed = small_solver('snapshot_prefix: "only"')
    resumed.restore(state)
    assert_same(weights_of(resumed), kept)


def test_the_state_is_written_last(here, monkeypatch):
    written = []
    replace = files.replace_atomically
    monkeypatch.setattr(
        "sscaffe.files.replace_atomically",
        lambda path, write: (written.append(str(path)), replace(path, write)),
    )
    small_solver().snapshot()
    assert written == ["small_iter_0.caffemodel", "small_iter_0.solverstate"]


def test_weights_that_are_not_finite_are_not_saved(here):
    solver = small_solver()
    solver.net.params["ip1"][0].data[0, 0] = np.nan
    with pytest.raises(DivergedError, match="ip1 weight: expected finite numbers"):
        solver.snapshot()
    assert not list(here.iterdir())


def test_gradients_are_saved_where_snapshot_diff_is_set():
    solver = small_solver("snapshot_diff: true")
    solver.step(1)
    solver.snapshot()
    model = read_binary("small_iter_1.caffemodel", caffe_pb2.NetParameter)
    diff = np.array(model.layer[4].blobs[0].diff).reshape(3, 36)
    np.testing.assert_array_equal(diff, solver.net.params["ip1"][0].const_diff)


def test_a_snapshot_serves_a_net_too():
    solver = small_solver()
    solver.step(1)
    solver.snapshot()
    net = Net(small_net(), TRAIN, weights="small_iter_1.caffemodel")
    for name, blobs in net.params.items():
        for blob, other in zip(blobs, solver.net.params[name], strict=True):
            np.testing.assert_array_equal(blob.const_data, other.const_data)


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
