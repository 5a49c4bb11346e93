"""One pass and a pass for each operation: the same bits; and what either does by hand."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.solver.param_update import FusedUpdate, SeparateUpdate, make_update
from sscaffe.solver.regularizers import L1, L2, GroupLasso
from sscaffe.solver.updates import RULES, make_rule
from tests.solver.nets import make_param, settings

FUSED = ["SGD", "Nesterov", "Adam"]
KINDS = [FusedUpdate, SeparateUpdate]
TEXTS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "Adam": "momentum: 0.9 momentum2: 0.99 delta: 1e-6",
}
SHAPES = [(), (7,), (20, 3, 5, 5), (6, 4), (4000, 25), (0, 3)]
TERMS = {
    "none": lambda rows, columns: [],
    "L2": lambda rows, columns: [L2(0.1)],
    "L1": lambda rows, columns: [L1(0.1)],
    "rows and columns": lambda rows, columns: [
        GroupLasso(0.1, 1, columns),
        GroupLasso(0.2, rows, 1),
    ],
    "L2 and blocks": lambda rows, columns: [
        L2(0.1),
        GroupLasso(0.3, *(2 - size % 2 for size in (rows, columns))),
    ],
}


def with_diff(data, diff):
    param = make_param(np.float32(data))
    param.blob.set_diff(np.float32(diff))
    return param


def descend(kind, param, *, iter_size=1, clip=1.0, limit=0.0):
    """Subtract the gradient from the weights."""
    rule = make_rule(settings(f"iter_size: {iter_size}"), [param])
    kind(0, rule, [], limit).apply(clip, 1.0, 0, False)


def state_of(param, rule):
    return [param.const_data, param.const_diff, *(blob.const_data for blob in rule.history)]


def train(kind, name, terms, shape, *, masked, layout=None):
    """Take three steps with fixed gradients; return all that changed, and the terms."""
    rng = np.random.default_rng(1)
    param = make_param(rng.standard_normal(shape).astype(np.float32))
    terms = TERMS[terms](*param.matrix_shape) if param.blob.count else []
    if masked:
        param.mask = np.asarray(rng.random(shape) < 0.5)
    rule = make_rule(
        settings(f'type: "{name}" iter_size: 3 prune_scope: ALL {TEXTS[name]}'), [param]
    )
    update = kind(0, rule, terms, 0.05)
    values = []
    for iteration in range(3):
        param.blob.set_diff(rng.standard_normal(shape))
        if layout:
            param.blob.data_tensor.memory_in(layout[0], shape)
            param.blob.diff_tensor.memory_in(layout[1], shape)
        clip, rate = (0.7, 0.3) if iteration else (0.5, 0.6)
        values.append(update.apply(clip, rate, iteration, True))
    return [array.copy() for array in state_of(param, rule)], values


def assert_same_bits(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = _core.get_num_threads()
    _core.set_num_threads(request.param)
    yield
    _core.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("name", FUSED)
def test_one_pass_gives_the_bits_of_many(name, terms, shape, masked):
    ours, our_terms = train(FusedUpdate, name, terms, shape, masked=masked)
    theirs, their_terms = train(SeparateUpdate, name, terms, shape, masked=masked)
    assert_same_bits(ours, theirs)
    assert our_terms == their_terms


@pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN layouts")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("name", FUSED)
def test_layouts_change_no_bit(name, terms, masked):
    shape = (20, 32, 3, 3)
    primitive = _core.Convolution(
        batch=2,
        in_channels=32,
        out_channels=20,
        group=1,
        input=(12, 12),
        output=(12, 12),
        kernel=(3, 3),
        stride=(1, 1),
        pad=(1, 1),
        dilation=(1, 1),
        bias=True,
        train=True,
    )
    blocked, plain = primitive.weights_layout, _core.Layout(shape)
    assert not blocked.is_plain
    expected, _ = train(SeparateUpdate, name, terms, shape, masked=masked)
    for layouts in [(blocked, blocked), (blocked, plain), (plain, blocked)]:
        got, _ = train(FusedUpdate, name, terms, shape, masked=masked, layout=layouts)
        assert_same_bits(got, expected)


@pytest.mark.parametrize("kind", KINDS)
class TestByHand:
    def test_the_update_is_subtracted_and_stays_in_the_diff(self, kind):
        param = with_diff([1, 2], [0.5, -0.5])
        descend(kind, param)
        np.testing.assert_array_equal(param.const_data, [0.5, 2.5])
        np.testing.assert_array_equal(param.const_diff, [0.5, -0.5])

    def test_sums_over_batches_become_means(self, kind):
        param = with_diff([0, 0], [3, -6])
        descend(kind, param, iter_size=3)
        np.testing.assert_allclose(param.const_diff, [1, -2], rtol=1e-6)

    def test_gradients_are_scaled_down_where_they_are_clipped(self, kind):
        param = with_diff([0, 0], [3, -6])
        descend(kind, param, clip=0.5)
        np.testing.assert_array_equal(param.const_diff, [1.5, -3])

    def test_a_mask_stops_the_update_where_it_is_false(self, kind):
        param = with_diff([1, 2], [0.5, -0.5])
        param.mask = np.array([False, True])
        descend(kind, param)
        np.testing.assert_array_equal(param.const_data, [1, 2.5])
        np.testing.assert_array_equal(param.const_diff, [0, -0.5])

    def test_what_gets_smaller_than_the_limit_is_zero(self, kind):
        param = with_diff([[1, 1, 1, 1]], [[0.5, 0.75, 1.25, 0.8125]])
        descend(kind, param, limit=0.25)
        np.testing.assert_array_equal(param.const_data, [[0.5, 0.25, -0.25, 0]])


def test_a_new_mask_is_heeded_and_an_old_one_cannot_be_changed():
    param = with_diff([1, 2], [0.5, -0.5])
    update = make_update(0, make_rule(settings(), [param]), [], 0.0)
    param.mask = np.array([False, True])
    update.apply(1.0, 1.0, 0, False)
    with pytest.raises(ValueError, match="read-only"):
        param.mask[...] = True
    param.mask = np.array([True, False])
    param.blob.set_diff(np.float32([1, 1]))
    update.apply(1.0, 1.0, 0, False)
    np.testing.assert_array_equal(param.const_data, [0, 2.5])


@pytest.mark.parametrize(
    ("name", "dtype", "terms", "learns", "kind"),
    [
        *(
            (name, np.float32, [L2(1.0), GroupLasso(1.0, 1, 1)], True, FusedUpdate)
            for name in FUSED
        ),
        *((name, np.float32, [], True, SeparateUpdate) for name in RULES if name not in FUSED),
        ("SGD", np.float64, [], True, SeparateUpdate),
        ("SGD", np.float32, [L1(1.0, np.ones((2, 2)))], True, SeparateUpdate),
        ("SGD", np.float32, [], False, SeparateUpdate),
    ],
)
def test_what_is_fused(name, dtype, terms, learns, kind):
    param = make_param(np.ones((2, 2), dtype), learns=learns)
    rule = make_rule(settings(f'type: "{name}"'), [param])
    assert type(make_update(0, rule, terms, 0.0)) is kind
