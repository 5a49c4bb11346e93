"""Dropout's generator on the GPU: Philox, as its authors publish it."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.device import gpu
from sscaffe.kernels.gpu_elementwise import Dropout
from sscaffe.kernels.gpu_runtime import to_host, xp
from sscaffe.layer_types.dropout import DropoutLayer
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import read_binary
from sscaffe.solver import Solver
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff

pytestmark = pytest.mark.gpu


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def philox(counter, key):
    """Return the four numbers of Philox-4x32-10."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        low = 0xFFFFFFFF
        c = [b >> 32 ^ c[1] ^ k[0], b & low, a >> 32 ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def masks(count, seed, step, ratio):
    limit = np.uint32((1 - ratio) * 4294967295)
    draws = [philox((p, 0, step, 0), (seed, 0)) for p in range(-(-count // 4))]
    return np.array(draws, np.uint32).ravel()[:count] <= limit


def test_reference_has_the_published_answers():
    """Of kat_vectors in Random123."""
    assert philox((0,) * 4, (0,) * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    expected = [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox((ones,) * 4, (ones,) * 2) == expected


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("count", [0, 1, 5, 4098])
def test_forward_and_backward(count, ratio, dtype, rng):
    x, dy = rng.standard_normal((2, count)).astype(dtype)
    bottom, top = blob_of(x), unset(x.shape, dtype)
    dropout = Dropout(count, dtype, 7, ratio)
    factor = dtype(1 / (1 - ratio))
    for step in range(3 if count else 0):
        dropout.forward(bottom, top)
        kept = masks(count, 7, step, ratio)
        np.testing.assert_array_equal(data_of(top), x * (kept * factor))
        np.testing.assert_array_equal(to_host(dropout.mask), kept)
        dropout.backward(with_diff(top, dy), bottom)
        np.testing.assert_array_equal(diff_of(bottom), dy * (kept * factor))
        np.testing.assert_array_equal(to_host(dropout.state), [7, step + 1])


def test_in_place(dtype, rng):
    x, dy = rng.standard_normal((2, 1027)).astype(dtype)
    blob = blob_of(x, dy)
    dropout = Dropout(1027, dtype, 1, 0.5)
    dropout.forward(blob, blob)
    kept = masks(1027, 1, 0, 0.5)
    np.testing.assert_array_equal(data_of(blob), x * (kept * dtype(2)))
    dropout.backward(blob, blob)
    np.testing.assert_array_equal(diff_of(blob), dy * (kept * dtype(2)))


def test_keeps_as_many_as_it_should():
    count = 40_000
    blob = blob_of(np.ones(count, np.float32))
    Dropout(count, np.float32, 3, 0.3).forward(blob, blob)
    # Four standard deviations.
    assert abs((data_of(blob) > 0).mean() - 0.7) < 4 * np.sqrt(0.7 * 0.3 / count)


def test_a_graph_draws_anew_each_time():
    x = np.ones(1027, np.float32)
    bottom, top = blob_of(x), unset(x.shape, np.float32)
    dropout = Dropout(x.size, np.float32, 5, 0.5)
    stream = xp.cuda.Stream(non_blocking=True)
    xp.cuda.get_current_stream().synchronize()
    with stream:
        dropout.forward(bottom, top)  # compiles the kernel
        stream.begin_capture()
        dropout.forward(bottom, top)
        graph = stream.end_capture()
        for step in (1, 2):
            graph.launch(stream)
            np.testing.assert_array_equal(data_of(top), 2 * masks(1027, 5, step, 0.5))


NET = """
layer { name: 'data' type: 'Input' top: 'data' top: 'label'
  input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: 'ip1' type: 'InnerProduct' bottom: 'data' top: 'ip1' inner_product_param {
  num_output: 40 weight_filler { type: 'xavier' } } }
layer { name: 'drop1' type: 'Dropout' bottom: 'ip1' top: 'ip1' }
layer { name: 'drop2' type: 'Dropout' bottom: 'ip1' top: 'kept'
  dropout_param { dropout_ratio: 0.3 } }
layer { name: 'ip2' type: 'InnerProduct' bottom: 'kept' top: 'ip2' inner_product_param {
  num_output: 5 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip2' bottom: 'label' top: 'loss' }
"""


def solver_of(folder, ending):
    # The seed is drawn: that of the run that goes on is another one.
    text = f"""base_lr: 0.1 lr_policy: 'fixed' momentum: 0.9 display: 0 max_iter: 12
        snapshot_prefix: '{folder / "net"}' snapshot_after_train: false {ending}"""
    param = prototxt.parse_solver(text)
    param.net_param.CopyFrom(prototxt.parse_net(NET))
    solver, draw = Solver(param, device=gpu(0)), np.random.default_rng(2)
    solver.net.blobs["data"].set_data(draw.standard_normal((4, 6)).astype(np.float32))
    solver.net.blobs["label"].set_data(draw.integers(0, 5, 4).astype(np.float32))
    return solver


@pytest.mark.parametrize("done", [0, 1, 6])
@pytest.mark.parametrize("ending", ["", "snapshot_format: HDF5"])
def test_going_on_from_a_snapshot_draws_what_an_undisturbed_run_draws(tmp_path, done, ending):
    whole, again = solver_of(tmp_path, ending), solver_of(tmp_path, ending)
    again.step(4)  # which has recorded its passes
    whole.step(done)
    state = whole.snapshot()
    whole.step(5)
    again.restore(state)
    again.step(5)
    for a, b in zip(whole.net.learnable_params, again.net.learnable_params, strict=True):
        np.testing.assert_array_equal(a.blob.host_data, b.blob.host_data)


def test_a_state_tells_the_places_of_all_ranks(tmp_path):
    solver = solver_of(tmp_path, "")
    solver.step(3)
    state = read_binary(solver.snapshot(), caffe_pb2.SolverState)
    places = [(one.layer, one.rank, one.step) for one in state.layer_random_state]
    assert places == [("drop1", 0, 3), ("drop2", 0, 3)]
    assert len({one.seed for one in state.layer_random_state}) == 2


def layer_of(rng):
    param = prototxt.parse_net("layer { name: 'drop' type: 'Dropout' }").layer[0]
    return DropoutLayer(param, 0, device=gpu(0), rng=rng)


def test_masks_do_not_come_again_when_the_batch_changes():
    layer = layer_of(RandomNumbers(3))
    one, other = (blob_of(np.ones(count, np.float32)) for count in (400, 300))
    top, seen = unset((400,), np.float32), []
    layer.setup([one], [top])
    for bottom in (one, other, one, other):
        layer.reshape([bottom], [top])
        layer.forward([bottom], [top])
        seen.append(tuple(data_of(top)[:300]))
    assert len(set(seen)) == 4
    assert layer.random_state()[1] == 4


def test_a_rank_draws_by_the_seed_that_it_gets_when_nets_are_made():
    """Ranks make their nets by one seed, and part after that."""
    seen = []
    for rank in range(2):
        rng = RandomNumbers(3)
        layer, bottom, top = layer_of(rng), *(unset((400,), np.float32) for _ in range(2))
        layer.setup([bottom], [top])
        layer.reshape([bottom], [top])
        rng.seed += rank
        bottom.set_data(np.ones(400, np.float32))
        layer.forward([bottom], [top])
        seen.append(data_of(top))
    assert (seen[0] != seen[1]).any()


def test_a_layer_that_a_test_net_has_is_not_in_the_state():
    net = Net(prototxt.parse_net(NET), 1, device=gpu(0))
    assert all(
        layer.random_state() is None for layer in net.layers if isinstance(layer, DropoutLayer)
    )
