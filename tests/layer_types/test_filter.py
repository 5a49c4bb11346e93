"""Filter: items by hand, gradients by finite differences, and what follows it in a net."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer
from tests.net.layers import input_layer, make_net


def filter_layer(dtype=np.float64):
    return make_layer("type: 'Filter' bottom: 'x' bottom: 'selectors'", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_items_whose_selector_is_not_0(dtype):
    y = run_layer(filter_layer(dtype), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0.5, 0, -1])
    np.testing.assert_array_equal(y, [[1, 2], [5, 6]])


def test_several_batches_have_one_selector():
    x, z, selectors = np.arange(8.0).reshape(4, 2), np.arange(4.0), [[0], [1], [1], [0]]
    fx, fz = run_layer(filter_layer(), x, z, selectors, tops=2)
    np.testing.assert_array_equal(fx, x[1:3])
    np.testing.assert_array_equal(fz, z[1:3])


@pytest.mark.parametrize("selectors", [[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]])
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3, 1)], ids=str)
def test_gradient(shape, selectors, rng):
    inputs = [rng.standard_normal(shape), rng.standard_normal((4, 2)), np.array(selectors, float)]
    check_gradient(filter_layer(), inputs, check_bottom=[True, True, False], num_top=2)


def test_in_a_net_the_rest_follows_the_number_of_items():
    net = make_net(
        input_layer("x", 3, 2)
        + input_layer("s", 3)
        + 'layer { name: "w" type: "Scale" bottom: "x" top: "w" }'
        + 'layer { name: "f" type: "Filter" bottom: "w" bottom: "s" top: "f" loss_weight: 2 }'
        + 'layer { name: "p" type: "Power" bottom: "f" top: "p" power_param { power: 2 } }'
        + 'layer { name: "r" type: "Reduction" bottom: "p" top: "r" loss_weight: 1 }'
    )
    x = np.arange(6.0).reshape(3, 2)
    net.blobs["x"].set_data(x)
    for selectors in ([1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]):
        net.blobs["s"].set_data(selectors)
        kept = x[np.array(selectors) != 0]
        assert net.run_forward() == pytest.approx(2 * kept.sum() + (kept**2).sum())
        assert net.blobs["p"].shape == kept.shape
        net.clear_param_diffs()
        net.backward()
        np.testing.assert_allclose(
            net.params["w"][0].host_diff, (2 * kept + 2 * kept * kept).sum(axis=0)
        )


def test_in_a_net_the_loss_weight_is_that_of_every_item():
    net = make_net(
        input_layer("x", 3, 2)
        + input_layer("s", 3)
        + 'layer { name: "w" type: "Scale" bottom: "x" top: "w" }'
        + 'layer { name: "f" type: "Filter" bottom: "w" bottom: "s" top: "f" loss_weight: 2 }'
    )
    net.blobs["x"].set_data(np.arange(6.0).reshape(3, 2))
    for selectors, expected in (([1, 0, 1], [8, 12]), ([0, 1, 0], [4, 6]), ([1, 1, 1], [12, 18])):
        net.blobs["s"].set_data(selectors)
        net.forward()
        net.clear_param_diffs()
        net.backward()
        np.testing.assert_array_equal(net.params["w"][0].host_diff, expected)


def test_rejects():
    with pytest.raises(ShapeError, match=r"top: expected 1, one for each bottom .*, got 2"):
        run_layer(filter_layer(), np.zeros((3, 2)), np.zeros(3), tops=2)
    with pytest.raises(ShapeError, match=r"selectors of shape \(N, 1, \.\.\.\), got \(3, 2\)"):
        run_layer(filter_layer(), np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match=r"bottom of 3 items, one for each .* got \(4, 2\)"):
        run_layer(filter_layer(), np.zeros((4, 2)), np.zeros(3))


def test_selectors_have_no_gradient():
    layer = filter_layer()
    assert layer.allow_force_backward(0)
    assert not layer.allow_force_backward(1)
    bottom, top = [blob_of(np.zeros((3, 2))), blob_of(np.zeros(3))], [Blob((), np.float64)]
    with pytest.raises(UnsupportedError, match="the selectors of Filter have no gradient"):
        layer.backward(top, [True, True], bottom)
