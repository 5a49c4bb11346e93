"""BatchNorm with Scale and ReLU in one pass on a GPU, against single layers on the CPU."""

import numpy as np
import pytest

from sscaffe.device import gpu
from tests.net.test_norm_step import PLACES, assert_same, joined, make_net, step

pytestmark = pytest.mark.gpu

TOLERANCE = 1e-5  # of the largest element


def pair():
    ours, expected = make_net(device=gpu(0)), make_net()
    expected.run_singly()
    return ours, expected


def test_gives_what_the_layers_give():
    ours, expected = pair()
    assert joined(ours) == PLACES
    for i in range(6):  # called at first, then by a recording
        images = np.random.default_rng(i).standard_normal(expected.blobs["x"].shape)
        for net in (ours, expected):
            net.blobs["x"].set_data(images.astype(np.float32))
            step(net)
        assert_same(ours, expected, TOLERANCE)


@pytest.mark.parametrize("passes", [1, 5])
@pytest.mark.parametrize("cut", [3, 4, 7, 10])
def test_a_pass_backward_may_start_within(cut, passes):
    ours, expected = pair()
    for net in (ours, expected):
        for _ in range(passes):
            step(net)
        net.clear_param_diffs()
        net.run_backward(13, cut)
        net.run_backward(cut - 1, 0)
    assert_same(ours, expected, TOLERANCE)


def test_callbacks_that_come_after_passes_were_recorded():
    ours, expected = pair()
    for net in (ours, expected):
        for _ in range(5):
            step(net)
    seen = []
    ours.after_backward(seen.append)
    for net in (ours, expected):
        net.clear_param_diffs()
        net.run_backward()
    assert seen == list(range(13, -1, -1))
    assert_same(ours, expected, TOLERANCE)
