"""Small layers that the tests of nets build with, and how to build."""

import numpy as np

from sscaffe.errors import ShapeError
from sscaffe.layer import TEST, Layer, register
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.random_numbers import RandomNumbers


@register("TestTimes")
class Times(Layer):
    """y = scale * w * x, with one weight if power is 1; counts what is done to it."""

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    def setup(self, bottom, top):
        self.scale = self.layer_param.power_param.scale
        self.reshapes = self.backwards = 0
        self.closed = False
        self.add_param(bottom[0].shape[1:]).set_data(1)

    def reshape(self, bottom, top):
        if bottom[0].shape[1:] != self.blobs[0].shape:
            raise ShapeError(f"bottom: expected rows of shape {self.blobs[0].shape}, got others")
        self.reshapes += 1
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.x = bottom[0].const_data.copy()
        top[0].set_data(self.scale * self.blobs[0].const_data * self.x)

    def backward(self, top, propagate_down, bottom):
        self.backwards += 1
        if self.param_propagate_down[0]:
            gradient = (self.scale * top[0].const_diff * self.x).sum(0)
            self.blobs[0].diff[...] += gradient
        if propagate_down[0]:
            bottom[0].set_diff(self.scale * self.blobs[0].const_data * top[0].const_diff)

    def close(self):
        self.closed = True


@register("TestSum")
class Sum(Layer):
    """The sum of all elements, a loss; a second bottom is a label without gradient."""

    min_bottom = 1
    max_bottom = 2
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].set_data(bottom[0].const_data.sum())

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].set_diff(top[0].const_diff)

    def allow_force_backward(self, index):
        return index != 1


@register("TestStatistics")
class Statistics(Times):
    learns = False


def input_layer(name, *shape):
    sizes = " ".join(f"dim: {size}" for size in shape)
    param = f"input_param {{ shape {{ {sizes} }} }}"
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" {param} }} '


INPUT = input_layer("x", 2, 3)


def times(name, bottom="x", top=None, more=""):
    blobs = f'bottom: "{bottom}" top: "{top or name}"'
    return f'layer {{ name: "{name}" type: "TestTimes" {blobs} {more} }} '


def loss(bottom, name="loss", more=""):
    return f'layer {{ name: "{name}" type: "TestSum" bottom: "{bottom}" top: "{name}" {more} }} '


def make_net(text, phase=TEST, **options):
    """Build a net from prototxt text, with a fixed seed."""
    options.setdefault("rng", RandomNumbers(1701))
    return Net(parse_net(text), phase, **options)


def feed(net, values=None, name="x"):
    """Fill a blob; by default with 1, 2, 3, ..."""
    blob = net.blobs[name]
    count = int(np.prod(blob.shape))
    blob.set_data(np.arange(1, count + 1).reshape(blob.shape) if values is None else values)
