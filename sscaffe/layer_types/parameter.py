"""Parameter: a learned blob as a top of its own."""

from sscaffe.blob import Blob
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("Parameter")
class ParameterLayer(Layer):
    """Put out the layer's only blob, so that other layers can read what is learned.

    Bottom: none. Top and blob: ``parameter_param.shape``.
    """

    num_bottom = 0
    num_top = 1
    shares_data = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the blob, all 0."""
        if not self.blobs:
            shape = tuple(self.layer_param.parameter_param.shape.dim)
            self.add_param(shape, caffe_pb2.FillerParameter())

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the blob's shape."""
        top[0].reshape_like(self.blobs[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Share the blob's data; nothing is copied."""
        top[0].share_data(self.blobs[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add the top's gradient to the blob's."""
        if self.param_propagate_down[0]:
            self.kernels.add(self.blobs[0].diff_tensor, top[0].diff_tensor, 1.0)
