"""A net as a list of layers in Caffe's words, from which every contestant builds its own form.

Read by Python 3.9 too, for that is what BVLC Caffe's wheel runs on.
"""

import copy
from typing import NamedTuple


class Layer(NamedTuple):
    """A layer as a prototxt has it, with the shape of an image before and after it."""

    type: str
    name: str
    bottoms: tuple
    top: str
    params: dict  # {"convolution_param": {"num_output": 20, ...}}
    bottom_shape: tuple
    top_shape: tuple

    def param(self):
        """Return the fields of the layer's own message."""
        return next(iter(self.params.values()), {})


class Layers:
    """Appends layers to a net; each goes on from the last unless `bottom` names another blob."""

    def __init__(self, *image):
        self.list = []
        self.shapes = {"data": image}
        self.last = "data"

    def add(self, kind, name, bottoms, top, shape, **params):
        """Append a layer; return its top."""
        before = self.shapes[bottoms[0]]
        params = copy.deepcopy(params)
        self.list.append(Layer(kind, name, tuple(bottoms), top, params, before, shape))
        self.shapes[top] = shape
        self.last = top
        return top

    def conv(self, name, filters, kernel, bottom=None, bias=True, **fields):
        """Append a convolution with a square kernel; `fields` are stride, pad, group."""
        bottom = bottom or self.last
        stride, pad = fields.get("stride", 1), fields.get("pad", 0)
        size = [(n + 2 * pad - kernel) // stride + 1 for n in self.shapes[bottom][1:]]
        fields.update(num_output=filters, kernel_size=kernel, bias_term=bias)
        fields["weight_filler"] = {"type": "msra"}
        shape = (filters, *size)
        return self.add("Convolution", name, [bottom], name, shape, convolution_param=fields)

    def ip(self, name, outputs):
        """Append an InnerProduct layer."""
        fields = {"num_output": outputs, "weight_filler": {"type": "msra"}}
        shape = (outputs,)
        return self.add("InnerProduct", name, [self.last], name, shape, inner_product_param=fields)

    def pool(self, name, method, kernel=0, stride=1):
        """Append a pooling layer without padding; over the whole image if `kernel` is 0."""
        channels, *size = self.shapes[self.last]
        fields = {"pool": method}
        fields.update(
            {"kernel_size": kernel, "stride": stride} if kernel else {"global_pooling": 1}
        )
        # Caffe rounds pooled sizes up.
        pooled = [-((kernel - n) // stride) + 1 if kernel else 1 for n in size]
        shape = (channels, *pooled)
        return self.add("Pooling", name, [self.last], name, shape, pooling_param=fields)

    def in_place(self, kind, **params):
        """Append a layer that overwrites its bottom."""
        blob = self.last
        return self.add(kind, f"{blob}_{kind.lower()}", [blob], blob, self.shapes[blob], **params)

    def relu(self):
        """Append a rectifier."""
        return self.in_place("ReLU")

    def batch_norm(self):
        """Append BatchNorm and the Scale that Caffe has as a layer of its own."""
        self.in_place("BatchNorm", batch_norm_param={"eps": 1e-5})
        return self.in_place("Scale", scale_param={"bias_term": True})

    def lrn(self, name, **fields):
        """Append local response normalization."""
        shape = self.shapes[self.last]
        return self.add("LRN", name, [self.last], name, shape, lrn_param=fields)

    def sum(self, name, *bottoms):
        """Append a sum of blobs."""
        shape = self.shapes[bottoms[0]]
        return self.add("Eltwise", name, bottoms, name, shape, eltwise_param={"operation": "SUM"})

    def concat(self, name, *bottoms):
        """Append a concatenation of channels."""
        shape = (sum(self.shapes[b][0] for b in bottoms), *self.shapes[bottoms[0]][1:])
        return self.add("Concat", name, bottoms, name, shape)
