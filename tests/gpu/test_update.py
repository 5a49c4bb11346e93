"""Updates on the GPU: those of the CPU within 1e-6, in one launch for all parameters."""

from types import SimpleNamespace

import numpy as np
import pytest

from sscaffe.blob import Blob, Param
from sscaffe.device import cpu, gpu
from sscaffe.kernels import GroupLassoBlocks, UpdateJob, UpdateStep
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.solver.update import Updater, clip_factor
from sscaffe.solver.updates import RULES
from tests.solver.nets import settings

pytestmark = pytest.mark.gpu

TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}
TEXTS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "Adam": "momentum: 0.9 momentum2: 0.99 delta: 1e-3",
    "AdaGrad": "delta: 1e-3",
    "RMSProp": "rms_decay: 0.9 delta: 1e-3",
    "AdaDelta": "momentum: 0.9 delta: 1e-3",
}
# Shapes, groups and whether they learn: convolutions, an inner product of more than one chunk of
# elements, rows of more elements than a block of threads has, biases, nothing, statistics.
PARAMS = [
    ((20, 1, 5, 5), 1, True),
    ((8, 6, 3, 3), 2, True),
    ((70, 131), 1, True),
    ((3, 1100), 1, True),
    ((8,), 1, True),
    ((), 1, True),
    ((0, 4), 1, True),
    ((6,), 1, False),
]
KINDS = "FILTER", "CHANNEL", "SHAPE", "DEPTH", "FILTER2D"
LASSOS = " ".join(f"block_group_lasso {{ group: {kind} }}" for kind in KINDS)
TERMS = {
    "none": ("weight_decay: 0", ""),
    "L2": ("weight_decay: 0.02", ""),
    "L1": ('weight_decay: 0.02 regularization_type: "L1"', ""),
    "rows and columns": (
        "weight_decay: 0.02 breadth_decay: 0.03 kernel_shape_decay: 0.01 lasso_warmup_iter: 3",
        "breadth_decay_mult: 1 kernel_shape_decay_mult: 2",
    ),
    "named blocks": ("weight_decay: 0.02 block_group_decay: 0.01", LASSOS),
    "proximal": (
        "block_group_decay: 0.01 regularization_step: PROXIMAL",
        "block_group_lasso { group: FILTER } block_group_lasso { group: SHAPE }",
    ),
}


def make_params(device, spec, *, masked=False, dtype=np.float32, shapes=PARAMS):
    rng = np.random.default_rng(3)
    params = []
    for number, (shape, group, learns) in enumerate(shapes):
        blob = Blob(shape, dtype, device)
        values = rng.standard_normal(shape)
        if len(shape) == 4:
            values[1] = 0  # a block that is all 0
        blob.set_data(values.astype(dtype))
        proto = text_format.Parse(spec if len(shape) == 4 else "", caffe_pb2.ParamSpec())
        area = shape[2] * shape[3] if len(shape) == 4 else 1
        mask = np.asarray(rng.random(shape) < 0.7) if masked else None
        params.append(Param(blob, f"l{number}", 0, proto, group, area, learns, mask))
    return params


def train(device, text, spec, *, steps=5, **options):
    """Return what is left after some steps, and the terms of each."""
    params = make_params(device, spec, **options)
    updater = Updater(settings(text), SimpleNamespace(learnable_params=params), False, "")
    rng, values = np.random.default_rng(4), []
    for iteration in range(steps):
        for param in params:
            param.blob.set_diff(rng.standard_normal(param.shape).astype(param.blob.dtype))
        rate = 0.1 / (1 + iteration // 2)
        values.append(updater.apply(rate, iteration, want_value=iteration % 2 == 0))
    blobs = [param.blob for param in params]
    arrays = [*(b.host_data for b in blobs), *(b.host_diff for b in blobs)]
    return [*arrays, *(b.host_data for b in updater.rule.history)], values[::2]


def assert_same(ours, theirs):
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCE)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip", [-1, 3.0, 1e9])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("rule", RULES)
def test_steps_are_those_of_the_cpu(rule, terms, masked, clip, dtype):
    text, spec = TERMS[terms]
    text = (
        f'type: "{rule}" {TEXTS[rule]} {text} clip_gradients: {clip} iter_size: 2 '
        "prune_threshold: 0.05 prune_scope: ALL"
    )
    if rule not in ("SGD", "Nesterov", "Adam") and (clip == 1e9 or terms == "L1"):
        pytest.skip("as for the other rules")
    options = {"masked": masked, "dtype": dtype}
    assert_same(train(gpu(), text, spec, **options), train(cpu(), text, spec, **options))


def count_launches(monkeypatch):
    from sscaffe.kernels import gpu_lasso, gpu_runtime, gpu_update

    calls = []

    def counted(*arguments, **others):
        calls.append(arguments[1])
        original(*arguments, **others)

    original = gpu_runtime.launch
    for module in (gpu_lasso, gpu_runtime, gpu_update):
        monkeypatch.setattr(module, "launch", counted)
    return calls


def test_a_step_takes_few_launches_and_no_copies(monkeypatch):
    from sscaffe.kernels import gpu_runtime

    shapes = [((4 + n, 3, 2, 2), 1, True) for n in range(10)]
    params = make_params(gpu(), LASSOS, shapes=shapes, masked=True)
    text = "block_group_decay: 0.01 weight_decay: 0.1"
    updater = Updater(settings(text), SimpleNamespace(learnable_params=params), False, "")
    copies = []
    for iteration in range(4):
        for param in params:
            param.blob.new_diff().fill(1)
        calls = count_launches(monkeypatch)
        before = gpu_runtime.traffic.to_device, gpu_runtime.traffic.to_host
        updater.apply(0.1 if iteration < 3 else 0.05, iteration)
        after = gpu_runtime.traffic.to_device, gpu_runtime.traffic.to_host
        copies.append(tuple(b - a for a, b in zip(before, after, strict=True)))
        assert calls == ["lasso_factors", "update"]
        monkeypatch.undo()
    assert copies[1:] == [(0, 0), (0, 0), (1, 0)]  # the new rate


def test_a_clipped_step_takes_four_launches(monkeypatch):
    params = make_params(gpu(), LASSOS)
    text = "block_group_decay: 0.01 clip_gradients: 1"
    updater = Updater(settings(text), SimpleNamespace(learnable_params=params[:7]), False, "")
    for param in params:
        param.blob.new_diff().fill(1)
    calls = count_launches(monkeypatch)
    updater.apply(0.1, 0)
    assert calls == ["squares_of_all", "finish_squares", "lasso_factors", "update"]


def test_the_launch_can_be_captured():
    from sscaffe.kernels.gpu_runtime import xp

    blob, past = Blob((3, 5), np.float32, gpu()), Blob((3, 5), np.float32, gpu())
    blob.set_diff(np.float32(1))
    step = UpdateStep("SGD", rate=0.5, momentum=0.0)
    lasso = GroupLassoBlocks(1, 5, 0.0)
    updates = gpu().kernels.updates()
    updates.prepare([UpdateJob(step, blob, [past], None, [lasso])])
    with xp.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        updates.launch()
        graph = stream.end_capture()
    graph.launch()
    np.testing.assert_array_equal(blob.host_data, np.full((3, 5), -0.5))
    updates.prepare([UpdateJob(step._replace(rate=2.0), blob, [past], None, [lasso])])
    graph.launch()  # of a gradient of 0.5, at the new rate
    np.testing.assert_array_equal(blob.host_data, np.full((3, 5), -1.5))


def test_arrays_that_moved_are_found():
    results = []
    for device in (cpu(), gpu()):
        (param,) = make_params(device, "", shapes=[((5, 7), 1, True)])
        updater = Updater(settings(), SimpleNamespace(learnable_params=[param]), False, "")
        for iteration in range(3):
            if iteration == 1:
                other = Blob((5, 7), np.float32, device)
                other.set_data(np.float32(2))
                other.set_diff(np.float32(1))
                param.blob.share_data(other)
                param.blob.share_diff(other)
            if iteration == 2:
                param.mask = np.arange(35).reshape(5, 7) % 2 == 0
            param.blob.set_diff(np.ones((5, 7), np.float32))
            updater.apply(0.5, iteration)
        results.append(param.blob.host_data)
    np.testing.assert_allclose(*results, **TOLERANCE)


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "Adam"])
def test_doubles_are_fused_too(rule, rng):
    arrays = [rng.standard_normal((9, 500)) for _ in range(2 + RULES[rule].slots)]
    arrays[-1] = np.square(arrays[-1])
    blobs = []
    for array in arrays[:1] + arrays[2:]:
        blobs.append(Blob(array.shape, np.float64, gpu()))
        blobs[-1].set_data(array)
    blobs[0].set_diff(arrays[1])
    step = UpdateStep(rule, 0.3, 0.9, 0.99, 0.1, 0.01, 1e-3, 0.7, 0.3, 0.2, 0.4, 0.25)
    lasso = GroupLassoBlocks(3, 1, 0.8)
    job = UpdateJob(step, blobs[0], blobs[1:], None, [lasso])
    value = gpu().kernels.updates().apply([job], want_value=True)
    w, g, *history = arrays
    norms = np.sqrt(np.square(w.reshape(3, 3, 500)).sum(axis=1, keepdims=True))
    g = g * step.clip * step.mean + step.l2 * w + step.l1 * np.sign(w)
    g = g + (0.8 / norms * w.reshape(3, 3, 500)).reshape(w.shape)
    if rule == "Adam":
        mean = 0.9 * history[0] + 0.1 * g
        square = 0.99 * history[1] + 0.01 * g * g
        update, history = mean / (np.sqrt(square) + 1e-3) * 0.3, [mean, square]
    else:
        h = 0.9 * history[0] + 0.3 * g
        update, history = h if rule == "SGD" else 1.9 * h - 0.9 * history[0], [h]
    w = np.where(abs(w - update) < 0.25, 0, w - update)
    assert value == pytest.approx(0.8 * norms.sum(), rel=1e-12)
    for blob, expected in zip(blobs, [w, *history], strict=True):
        np.testing.assert_allclose(blob.host_data, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(blobs[0].host_diff, update, rtol=1e-12, atol=1e-14)


BLOCKS = [(1, 1), (1, 2), (1, 66), (5, 1), (40, 1), (4, 11), (40, 66), (20, 66)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", BLOCKS)
class TestGroups:
    SHAPE = 40, 66

    def weights(self, rng, block, dtype):
        weights = rng.standard_normal(self.SHAPE).astype(dtype)
        weights[: block[0], : block[1]] = 0
        return weights

    def on_both(self, function, *arrays):
        """Call a function with arrays of each device; return all of them, and what it returns."""
        from sscaffe.kernels.gpu_runtime import to_device, to_host

        ours, theirs = [to_device(a) for a in arrays], [a.copy() for a in arrays]
        returned = function(gpu().kernels, *ours), function(cpu().kernels, *theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(to_host(one), other, **TOLERANCE)
        return returned

    def test_gradient_and_term(self, rng, block, dtype):
        arrays = self.weights(rng, block, dtype), rng.standard_normal(self.SHAPE).astype(dtype)
        ours, theirs = self.on_both(lambda k, w, d: k.group_lasso(w, d, *block, 0.3), *arrays)
        assert ours == pytest.approx(theirs, rel=1e-6)

    @pytest.mark.parametrize("share", [0.0, 0.625])
    def test_shrinking(self, rng, block, dtype, share):
        weights, past = self.weights(rng, block, dtype), rng.standard_normal(self.SHAPE)
        limit = 0.8 * (block[0] * block[1]) ** 0.5
        if share:
            self.on_both(
                lambda k, w, h: k.shrink_groups(w, h, block, limit, share),
                weights,
                past.astype(dtype),
            )
        else:
            self.on_both(lambda k, w: k.shrink_groups(w, None, block, limit, share), weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 257, 4096, 10_001])
def test_sum_of_squares_and_threshold(rng, count, dtype):
    blob = Blob((count,), dtype, gpu())
    values = rng.standard_normal(count).astype(dtype)
    blob.set_data(values)
    kernels = gpu().kernels
    expected = np.square(values, dtype=np.float64).sum()
    assert kernels.sum_of_squares(blob.data_tensor) == pytest.approx(expected, rel=1e-12)
    kernels.threshold(blob.data_tensor, 0.5)
    values[abs(values) < dtype(0.5)] = 0
    np.testing.assert_array_equal(blob.host_data, values)


@pytest.mark.parametrize("limit", [-1.0, 0.0, 2.5, 5.0, 10.0])
def test_clip_factor(limit, caplog):
    params = make_params(gpu(), "", shapes=[((1,), 1, True), ((2,), 1, True)])
    params[0].blob.set_diff(np.float32([3]))
    params[1].blob.set_diff(np.float32([0, 4]))
    expected = limit / 5 if 0 <= limit < 5 else 1
    with caplog.at_level("INFO"):
        assert float(clip_factor(params, limit, log=True)) == pytest.approx(expected, rel=1e-12)
    assert ("L2 norm 5 >" in caplog.text) == (expected != 1)


def test_nan_is_not_hidden():
    (param,) = make_params(gpu(), "", shapes=[((2, 2), 1, True)])
    updater = Updater(
        settings("clip_gradients: 1"), SimpleNamespace(learnable_params=[param]), False, ""
    )
    param.blob.set_diff(np.float32([[np.nan, 1], [1, 1]]))
    updater.apply(0.1, 0)
    assert np.isnan(param.blob.host_data).all()
