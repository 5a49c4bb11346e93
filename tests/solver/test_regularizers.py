"""Regularization terms: values by hand, gradients by finite differences of the penalty."""

import numpy as np
import pytest

from sscaffe.errors import PrototxtError, ShapeError, UnsupportedError, WeightsError
from sscaffe.serialized import array_to_blobproto, write_binary
from sscaffe.solver.regularizers import L1, L2, GroupLasso, blocks_of, regularizers_of
from tests.helpers import away_from_zero
from tests.solver.nets import make_param, settings

# Shape, groups of the convolution, columns of one input channel; 5-D is a 3-D convolution.
SHAPES = [((6,), 1, 1), ((4, 6), 1, 3), ((4, 3, 2, 2), 2, 4), ((2, 3, 2, 1, 2), 1, 4)]
KINDS = ["FILTER", "CHANNEL", "SHAPE", "DEPTH", "FILTER2D"]


def check_gradient(term, param):
    """Compare with central differences, in double precision; the weights are away from 0."""
    step, expected = 1e-6, np.zeros(param.shape)
    param.blob.set_diff(1.0)
    value = term.apply(param, want_value=True)
    gradient = param.const_diff - 1
    for index in np.ndindex(param.shape):
        original = param.const_data[index]
        param.data[index] = original + step
        above = term.apply(param, want_value=True)
        param.data[index] = original - step
        below = term.apply(param, want_value=True)
        param.data[index] = original
        expected[index] = (above - below) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
    assert value != 0
    return value


@pytest.fixture
def rng():
    return np.random.default_rng(1701)


@pytest.mark.parametrize(("shape", "group", "kernel_count"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_group_lasso_is_the_gradient_of_its_penalty(kind, shape, group, kernel_count, rng):
    spec = f"block_group_lasso {{ group: {kind} block_decay_mult: 0.5 }}"
    weights = away_from_zero(shape, rng)
    param = make_param(weights, spec, group=group, kernel_count=kernel_count)
    (term,) = regularizers_of(param, settings("block_group_decay: 0.25"))
    value = check_gradient(term, param)
    ydimen, xdimen = blocks_of(param)[0]
    matrix = weights.reshape(param.matrix_shape)
    rows, columns = matrix.shape
    norms = [
        np.linalg.norm(matrix[y : y + ydimen, x : x + xdimen])
        for y in range(0, rows, ydimen)
        for x in range(0, columns, xdimen)
    ]
    assert value == pytest.approx(0.125 * sum(norms), rel=1e-12)


@pytest.mark.parametrize(("shape", "group", "kernel_count"), SHAPES)
@pytest.mark.parametrize("term", [L1(0.3), L2(0.3)])
def test_decays_are_the_gradients_of_their_penalties(term, shape, group, kernel_count, rng):
    check_gradient(term, make_param(away_from_zero(shape, rng)))


@pytest.mark.parametrize("kind", [L1, L2])
def test_decays_with_a_scale_are_the_gradients_of_their_penalties(kind, rng):
    scale = rng.uniform(0, 2, (4, 3))
    check_gradient(kind(0.3, scale), make_param(away_from_zero((4, 3), rng)))


def test_values_by_hand():
    param = make_param([[3.0, -4.0], [0.0, 0.0]])
    assert L1(0.5).apply(param, want_value=True) == 3.5
    assert L2(0.5).apply(param, want_value=True) == 6.25
    assert GroupLasso(0.5, 1, 2).apply(param, want_value=True) == 2.5
    assert GroupLasso(0.5, 2, 1).apply(param, want_value=True) == 3.5
    expected = [[0.5 + 1.5 + 0.3 + 0.5, -0.5 - 2 - 0.4 - 0.5], [0, 0]]
    np.testing.assert_allclose(param.const_diff, expected, rtol=1e-12)


@pytest.mark.parametrize("term", [L1(0.5), L2(0.5)])
def test_the_value_is_left_out_unless_it_is_wanted(term):
    param = make_param([[3.0, -4.0], [0.0, 0.0]])
    assert term.apply(param) == 0
    assert param.const_diff.any()


def test_groups_of_zeros_and_the_sign_of_zero_are_zero():
    param = make_param(np.zeros((4, 6), np.float32))
    for term in (L1(1.0), L2(1.0), GroupLasso(1.0, 2, 3)):
        assert term.apply(param, want_value=True) == 0
    assert not param.const_diff.any()


def test_a_tiny_group_is_pulled_as_hard_as_a_large_one():
    param = make_param(np.float32([[1e-20, 0], [3, 4]]))
    GroupLasso(1.0, 1, 2).apply(param)
    np.testing.assert_allclose(np.linalg.norm(param.const_diff[1]), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("group", "rows"),
    [(1, 4), (2, 2)],
)
def test_breadth_is_rows_and_kernel_shape_is_columns_of_each_conv_group(group, rows):
    spec = "breadth_decay_mult: 2 kernel_shape_decay_mult: 3"
    param = make_param(np.ones((4, 3, 2, 2)), spec, group=group)
    terms = regularizers_of(param, settings("breadth_decay: 0.5 kernel_shape_decay: 0.25"))
    assert [(t.decay, t.ydimen, t.xdimen) for t in terms] == [(1.0, 1, 12), (0.75, rows, 1)]


def test_terms_of_one_param_add_up():
    spec = "decay_mult: 2 block_group_lasso { group: FILTER } block_group_lasso { xdimen: 3 }"
    param = make_param(np.ones((2, 3)), spec)
    terms = regularizers_of(param, settings("weight_decay: 0.5 block_group_decay: 0.25"))
    assert terms == [
        L2(1.0),
        GroupLasso(0.25, 1, 3, "filter"),
        GroupLasso(0.25, 1, 3, "block"),
    ]


@pytest.mark.parametrize(
    ("solver", "param", "kind"),
    [("L1", "", L1), ("L2", "", L2), ("L1", "L2", L2), ("L2", "L1", L1)],
)
def test_a_param_may_have_its_own_regularization_type(solver, param, kind):
    own = make_param(np.ones(2), f'regularization_type: "{param}"')
    text = f'weight_decay: 0.5 regularization_type: "{solver}"'
    assert regularizers_of(own, settings(text)) == [kind(0.5)]


def test_without_decay_there_are_no_terms():
    spec = 'regularization_type: "none such" block_group_lasso { } breadth_decay_mult: 1'
    assert regularizers_of(make_param(np.ones(2), spec), settings()) == []


def test_statistics_have_no_terms():
    param = make_param(np.ones(2), learns=False)
    assert regularizers_of(param, settings("weight_decay: 1")) == []


def test_decay_proto_has_a_factor_for_each_weight(tmp_path):
    scale = np.float32([[0, 1], [2, 3]])
    write_binary(tmp_path / "scale.blob", array_to_blobproto(scale))
    param = make_param(np.float32([[1, -1], [2, -2]]), 'decay_proto: "scale.blob"')
    (term,) = regularizers_of(param, settings("weight_decay: 0.5"), str(tmp_path))
    assert term.apply(param, want_value=True) == 0.25 * (0 + 1 + 8 + 12)
    np.testing.assert_array_equal(param.const_diff, [[0, -0.5], [2, -3]])


def test_decay_proto_must_have_the_shape_of_the_param(tmp_path):
    write_binary(tmp_path / "scale.blob", array_to_blobproto(np.ones((4, 1), np.float32)))
    param = make_param(np.ones((2, 2)), 'decay_proto: "scale.blob"')
    with pytest.raises(WeightsError, match=r"decay_proto: expected shape \(2, 2\), got \(4, 1\)"):
        regularizers_of(param, settings(), str(tmp_path))


def test_decay_proto_must_be_there(tmp_path):
    param = make_param(np.ones((2, 2)), 'decay_proto: "scale.blob"')
    with pytest.raises(WeightsError, match=r"decay_proto: .*scale.blob: cannot be read"):
        regularizers_of(param, settings(), str(tmp_path))


@pytest.mark.parametrize("decay", [0, 0.1])
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("xdimen: 4", "xdimen: 4 does not divide the 6 columns of l's 4 x 6 weight matrix"),
        ("ydimen: 3", "ydimen: 3 does not divide the 4 rows .*; use a divisor: 1, 2, 4"),
        ("ydimen: 8", "ydimen: 8 does not divide the 4 rows"),
        ("xdimen: 0", "xdimen: 0 does not divide"),
    ],
)
def test_blocks_that_do_not_tile_are_refused_whatever_the_decay(spec, message, decay):
    param = make_param(np.ones((4, 6)), f"block_group_lasso {{ {spec} }}")
    with pytest.raises(ShapeError, match=message) as error:
        regularizers_of(param, settings(f"block_group_decay: {decay}"))
    assert "'l weight' (4, 6)" in error.value.__notes__[0]


def test_a_named_group_has_its_sizes_already():
    param = make_param(np.ones((4, 6)), "block_group_lasso { group: FILTER xdimen: 6 }")
    with pytest.raises(PrototxtError, match="xdimen: expected none with group: FILTER, got 6"):
        regularizers_of(param, settings())


def test_an_unknown_regularization_type_is_refused():
    param = make_param(np.ones(2), 'regularization_type: "ISTA"')
    with pytest.raises(UnsupportedError, match="expected L1 or L2, got 'ISTA'"):
        regularizers_of(param, settings("weight_decay: 1"))
