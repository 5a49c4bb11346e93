"""Eltwise and Split in every layout, against the same layers in float64."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.native import CHANNELS, check, native_layout, run

SUM = "type: 'Eltwise'"
WEIGHTED = "type: 'Eltwise' eltwise_param {{ {} }}"
PROD = "type: 'Eltwise' eltwise_param { operation: PROD }"
DIVIDING = "type: 'Eltwise' eltwise_param { operation: PROD stable_prod_grad: false }"
MAX = "type: 'Eltwise' eltwise_param { operation: MAX }"


@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("bottoms", [2, 3, 4])
@pytest.mark.parametrize("text", [SUM, PROD, DIVIDING, MAX])
@pytest.mark.usefixtures("isa")
def test_operations(text, bottoms, channels, native, rng):
    shape = 2, channels, 7, 5
    layout = native_layout(shape) if native else None
    x = rng.standard_normal((bottoms, *shape))
    check(text, x, rng, layout, may_change_layout=text == DIVIDING)


@pytest.mark.parametrize("coeff", [[1, -1], [0.5, 2, -3]], ids=str)
def test_coefficients(coeff, rng):
    shape = 3, 16, 9, 9
    text = WEIGHTED.format(" ".join(f"coeff: {c}" for c in coeff))
    check(text, rng.standard_normal((len(coeff), *shape)), rng, native_layout(shape))


@pytest.mark.usefixtures("isa")
def test_equal_elements_and_nan(rng):
    x = rng.integers(-1, 2, (4, 2, 16, 5, 5)).astype(np.float32)
    x[1, 0, 3] = np.nan
    x[3, 1, 4] = np.nan
    top_diff = rng.standard_normal(x.shape[1:]).astype(np.float32)
    with np.errstate(invalid="ignore"):
        expected = run(MAX, x.astype(np.float64), top_diff, None, dtype=np.float64)
    got = run(MAX, x, top_diff, native_layout(x.shape[1:]))
    np.testing.assert_array_equal(got.top, expected.top)
    np.testing.assert_array_equal(got.bottom_diffs, expected.bottom_diffs)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(rng):
    shape = 8, 32, 31, 33
    for text in (SUM, PROD, MAX):
        check(text, rng.standard_normal((3, *shape)), rng, native_layout(shape))


def test_a_bottom_in_another_layout(rng):
    shape = 2, 16, 3, 5
    values = rng.standard_normal((2, *shape)).astype(np.float32)
    plain, moved, out = (_core.Memory(v.copy(), shape) for v in (*values, values[0]))
    native = _core.Memory(native_layout(shape))
    moved.copy_to(native)
    with pytest.raises(ValueError, match="expected memories of one layout"):
        _core.memory_weighted_sum([1, 1], [plain, native], out)


def test_refuses():
    x = _core.Memory(_core.Layout((2, 3)))
    with pytest.raises(ValueError, match="factors: expected 2 numbers, got 1"):
        _core.memory_weighted_sum([1], [x, x], x)
    with pytest.raises(ValueError, match="factors: expected 1 numbers, got 2"):
        _core.memory_scaled_copies([1, 1], x, [x])
    with pytest.raises(ValueError, match="x: expected 1 or more memories, got 0"):
        _core.memory_product([], x)
    with pytest.raises(ValueError, match="x: expected 2 or more memories, got 1"):
        _core.memory_largest([x], x, np.zeros(6, np.int32))
    with pytest.raises(ValueError, match="winner: expected 6 elements, got 5"):
        _core.memory_largest([x, x], x, np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="winner: expected 6 elements, got 5"):
        _core.memory_select_winner(0, np.zeros(5, np.int32), x, x)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", [3, 16, 28])
def test_dropout_draws_in_plain_order(channels, native, in_place, rng):
    """The mask of a seed is the same in every layout, and in double precision."""
    shape = 3, channels, 9, 11
    text = "type: 'Dropout' dropout_param { dropout_ratio: 0.3 }"
    layout = native_layout(shape) if native else None
    # One pass: the next one would draw another mask.
    x, top_diff = (1 + rng.uniform(size=(2, *shape))).astype(np.float32)
    got = run(text, [x], top_diff, layout, in_place=in_place)
    expected = run(text, [x], top_diff, None, dtype=np.float64)
    np.testing.assert_allclose(got.top, expected.top, rtol=1e-6)
    np.testing.assert_allclose(got.bottom_diffs, expected.bottom_diffs, rtol=1e-6)
    assert got.kept_layout
