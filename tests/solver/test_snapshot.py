"""Snapshots: training goes on from one bit for bit, and nothing that is written is ever half."""

import h5py
import numpy as np
import pytest

from sscaffe import files
from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.errors import DivergedError, SscaffeError
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.serialized import read_binary
from sscaffe.solver import Solver
from sscaffe.solver.updates import RULES
from tests.solver.nets import (
    MODES,
    assert_same,
    history_of,
    make_zeros,
    plain_state,
    restore_refused,
    settings,
    small_net,
    small_solver,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("here")

SSL = "block_group_lasso { group: SHAPE } block_group_lasso { group: FILTER }"
OPTIONS = """
iter_size: 2 average_loss: 3 weight_decay: 0.01 block_group_decay: 0.02 clip_gradients: 5
lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4
"""


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
        lambda path, *rest: (written.append(str(path)), replace(path, *rest)),
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
