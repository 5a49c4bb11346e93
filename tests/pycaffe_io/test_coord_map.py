"""coord_map: where the pixels of one blob lie in another one."""

import numpy as np
import pytest

from sscaffe import TEST, Net
from sscaffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map,
    coord_map_from_to,
    crop,
    inverse,
)
from sscaffe.net_spec import NetSpec, layers as L


def make(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    n = NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 100, 100]})
    n.conv = L.Convolution(n.data, num_output=3, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=0, kernel_size=pool, stride=pool)
    n.up = L.Deconvolution(
        n.pool,
        convolution_param={"num_output": 3, "kernel_size": 2 * up, "stride": up, "pad": up_pad},
    )
    return n


@pytest.mark.parametrize(
    ("options", "offset"),
    [
        ({}, 0),
        ({"pool": 4, "up": 4}, -1),
        ({"pad": 7}, -7),
        ({"up_pad": 7}, 7),
        ({"pad": 7, "up_pad": 7}, 0),
    ],
    ids=str,
)
def test_convolution_pooling_deconvolution(options, offset):
    n = make(**options)
    assert coord_map_from_to(n.up, n.data) == (1, 1, offset)


def test_a_map_is_where_an_impulse_goes():
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 30, 30]})
    one = {"type": "constant", "value": 1}
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=5, stride=2, pad=1, weight_filler=one)
    net = Net(n.to_proto(), TEST)
    net.blobs["data"].data[...] = 0
    net.blobs["data"].data[0, 0, 14, 10] = 1
    net.forward()
    rows, columns = np.nonzero(net.blobs["conv"].data[0, 0])
    _, scale, offset = coord_map(n.conv.fn)
    assert (scale * [14, 10] + offset).tolist() == [rows.mean(), columns.mean()]


def test_layers_that_leave_pixels_where_they_are():
    n = make()
    n.relu = L.ReLU(n.up)
    n.point = L.Convolution(n.relu, num_output=1, kernel_size=1)
    for top in (n.relu, n.point):
        assert coord_map_from_to(top, n.data) == coord_map_from_to(n.up, n.data)


def test_each_axis_by_itself():
    n = make([3, 5], [1, 2], [0, 10])
    _, scale, offset = coord_map_from_to(n.up, n.data)
    ones, others = make(3, 1, 0), make(5, 2, 10)
    assert (scale[0], offset[0]) == coord_map_from_to(ones.up, ones.data)[1:]
    assert (scale[1], offset[1]) == coord_map_from_to(others.up, others.data)[1:]


def test_three_axes():
    n = NetSpec()
    n.data = L.Input(shape={"dim": [2, 3, 100, 100, 100]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=[3] * 3, stride=[1] * 3, pad=[0, 1, 2])
    n.pool = L.Pooling(n.conv, pool=0, kernel_size=2, stride=2, pad=0)
    n.up = L.Deconvolution(n.pool, num_output=10, kernel_size=4, stride=2, pad=0)
    axis, scale, offset = coord_map_from_to(n.up, n.data)
    assert (axis, scale.tolist(), offset.tolist()) == (1, [1, 1, 1], [0, -1, -2])


def test_sizes_in_every_form():
    data = L.Input()
    flat = coord_map(L.Convolution(data, kernel_size=[3, 5], stride=2, pad=[1, 2]).fn)
    sides = {"kernel_h": 3, "kernel_w": 5, "stride": 2, "pad_h": 1, "pad_w": 2}
    for other in (
        L.Convolution(data, convolution_param=sides),
        L.Pooling(data, pooling_param=sides),
    ):
        np.testing.assert_equal(coord_map(other.fn), flat)
    wide = coord_map(L.Convolution(data, kernel_size=3, dilation=4).fn)
    assert wide == (1, 1, -4)


def test_crop_of_a_crop():
    n = make()
    n.cut = L.Crop(n.up, n.data, axis=2, offset=4)
    axis, scale, offset = coord_map_from_to(n.cut, n.data)
    assert (axis, scale, offset) == (1, 1, 4)


def test_blobs_made_from_a_third_one():
    n = make()
    n.side = L.Convolution(n.data, num_output=1, kernel_size=5)
    axis, scale, offset = coord_map_from_to(n.up, n.side)
    assert (axis, scale, offset) == (1, 1, -2)


def test_a_net_with_a_crop_runs():
    n = make(pad=20)
    n.cut = crop(n.up, n.data)
    assert n.cut.fn.params["crop_param"] == {"axis": 2, "offset": [20]}
    net = Net(n.to_proto(), TEST)
    assert net.blobs["cut"].shape == (2, 3, 100, 100)
    same = crop(n.data, n.data).fn.params["crop_param"]
    assert same == {"axis": 2, "offset": [0]}


def test_maps_in_turn_and_back():
    first, second = (1, 2.0, 3.0), (None, 0.5, -1.0)
    assert compose(first, second) == (1, 1.0, 1.0)
    assert compose(first, inverse(first)) == (1, 1.0, 0.0)
    with pytest.raises(AxisMismatchException, match="expected one in all layers, got 2 and 1"):
        compose(first, (2, 1, 0))


def test_what_has_no_map():
    n = make()
    n.ip = L.InnerProduct(n.up, num_output=10)
    with pytest.raises(UndefinedMapException, match="InnerProduct"):
        coord_map(n.ip.fn)
    n.cut = L.Crop(L.Input(), n.data)  # whose second bottom gives a size only
    with pytest.raises(RuntimeError, match="expected blobs that"):
        coord_map_from_to(n.cut, n.data)
    with pytest.raises(RuntimeError, match="expected blobs that spatial layers connect"):
        coord_map_from_to(n.ip, n.data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool": 3}, "blobs of one scale"),
        ({"up_pad": 10}, "offsets of 0 or more"),
        ({"kernel": 4, "pad": 5}, "whole pixels"),
    ],
    ids=str,
)
def test_what_cannot_be_cropped(options, words):
    n = make(**options)
    with pytest.raises(AssertionError, match=words):
        crop(n.up, n.data)
