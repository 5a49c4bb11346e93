"""SymmetricRectify: values by hand, gradients by finite differences."""

import logging

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

HALF = "filler { value: 0.5 }"


def rectify(text="", more=""):
    return make_layer(f"type: 'SymmetricRectify' symmetric_rectify_param {{ {text} }} {more}")


def test_brings_everything_nearer_to_0():
    x = [[[-2.0, -0.5, 0.25], [0.0, 0.5, 3.0]]]
    np.testing.assert_array_equal(run_layer(rectify(HALF), x), [[[-1.5, 0, 0], [0, 0, 2.5]]])
    np.testing.assert_allclose(run_layer(rectify(), [[1.0]]), [[0.9999]], rtol=1e-9)


@pytest.mark.parametrize("channel_shared", ["true", "false"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5)], ids=str)
def test_gradient(shape, channel_shared, rng):
    x = rng.choice([-2, -0.8, -0.3, 0.1, 0.2, 0.7, 3], shape) + 0.01
    check_gradient(rectify(f"channel_shared: {channel_shared} {HALF}"), [x])


@pytest.mark.parametrize("channel_shared", ["true", "false"])
def test_in_place_matches_out_of_place(channel_shared, rng):
    text, (x, top_diff) = f"channel_shared: {channel_shared} {HALF}", rng.standard_normal((2, 3, 4))
    separate = run_backward(rectify(text), x, top_diff)
    shared = run_backward(rectify(text), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)
    np.testing.assert_array_equal(shared.blob_diff, separate.blob_diff)


def test_decay_pulls_thresholds_up_but_not_those_of_0():
    layer, bottom, top = rectify("thre_decay: 3"), [blob_of([[1.0, -1.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.blobs[0].set_data([0.5, 0])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[10.0, 10.0]])
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [-10 - 3, 10])


def test_thresholds_that_an_update_made_negative_become_0():
    layer, bottom, top = rectify(), [blob_of([[1.0, -1.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.blobs[0].set_data([-0.5, 0.25])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[1, -0.75]])
    np.testing.assert_array_equal(layer.blobs[0].host_data, [0, 0.25])


def test_display_logs_the_thresholds(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    run_layer(rectify(HALF, "name: 'r' display: true"), [[1.0, 2.0]])
    assert caplog.messages == ["Threshold(s) of layer r: [0.5 0.5]"]


def test_rejects():
    with pytest.raises(ShapeError, match=r"shape \(N, C, \.\.\.\), got \(5,\)"):
        run_layer(rectify(), np.zeros(5))
    with pytest.raises(ShapeError, match="filler: expected thresholds of 0 or more, got a neg"):
        run_layer(rectify("filler { value: -1 }"), [[1.0]])
    layer, bottom, top = rectify(), [blob_of(np.zeros((2, 3)))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    bottom[0].reshape(2, 4)
    with pytest.raises(ShapeError, match=r"bottom for thresholds of shape \(3,\), got \(2, 4\)"):
        layer.reshape(bottom, top)
