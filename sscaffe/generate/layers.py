"""Build a net layer by layer, in few words."""

from collections.abc import Sequence

from sscaffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
_Pool = caffe_pb2.PoolingParameter


class Layers:
    """A net that grows at its end: each method adds layers and returns the blob they make.

    Parameters
    ----------
    weight_filler : FillerParameter
        Of every layer that names none.
    bias : float
        What biases start with, unless a layer says so.

    Attributes
    ----------
    net : NetParameter
        The net so far.
    """

    def __init__(self, weight_filler: caffe_pb2.FillerParameter, bias: float = 0.0) -> None:
        self.net = caffe_pb2.NetParameter()
        self._weight_filler = weight_filler
        self._bias = bias

    def add(self, kind: str, name: str, bottom: Sequence[str], top: str) -> Layer:
        """Add a layer of any type and return it."""
        return self.net.layer.add(name=name, type=kind, bottom=list(bottom), top=[top])

    def conv(
        self,
        name: str,
        bottom: str,
        num_output: int,
        kernel_size: int,
        *,
        pad: int = 0,
        stride: int = 1,
        group: int = 1,
        bias: float | None = None,
        bias_term: bool = True,
        filler: caffe_pb2.FillerParameter | None = None,
    ) -> str:
        """Add a convolution; biases learn twice as fast as weights and do not decay."""
        layer = self.add("Convolution", name, [bottom], name)
        layer.param.add(lr_mult=1, decay_mult=1)
        param = layer.convolution_param
        param.num_output = num_output
        for field, value, default in (("pad", pad, 0), ("stride", stride, 1)):
            if value != default:
                getattr(param, field).append(value)
        param.kernel_size.append(kernel_size)
        if group > 1:
            param.group = group
        param.weight_filler.CopyFrom(filler or self._weight_filler)
        if bias_term:
            layer.param.add(lr_mult=2, decay_mult=0)
            param.bias_filler.CopyFrom(_constant(self._bias if bias is None else bias))
        else:
            param.bias_term = False
        return name

    def inner_product(
        self,
        name: str,
        bottom: str,
        num_output: int,
        *,
        bias: float | None = None,
        filler: caffe_pb2.FillerParameter | None = None,
    ) -> str:
        """Add an inner product, with biases as those of `conv`."""
        layer = self.add("InnerProduct", name, [bottom], name)
        layer.param.add(lr_mult=1, decay_mult=1)
        layer.param.add(lr_mult=2, decay_mult=0)
        layer.inner_product_param.num_output = num_output
        layer.inner_product_param.weight_filler.CopyFrom(filler or self._weight_filler)
        layer.inner_product_param.bias_filler.CopyFrom(
            _constant(self._bias if bias is None else bias)
        )
        return name

    def relu(self, name: str, blob: str) -> str:
        """Add a rectifier in place."""
        self.add("ReLU", name, [blob], blob)
        return blob

    def dropout(self, name: str, blob: str, ratio: float) -> str:
        """Add dropout in place."""
        self.add("Dropout", name, [blob], blob).dropout_param.dropout_ratio = ratio
        return blob

    def max_pool(self, name: str, bottom: str, size: int, stride: int, pad: int = 0) -> str:
        """Add max pooling."""
        return self._pool(name, bottom, _Pool.MAX, size, stride, pad)

    def average_pool(self, name: str, bottom: str, size: int, stride: int) -> str:
        """Add average pooling."""
        return self._pool(name, bottom, _Pool.AVE, size, stride, 0)

    def global_average_pool(self, name: str, bottom: str) -> str:
        """Add pooling that leaves the average of each channel."""
        param = self.add("Pooling", name, [bottom], name).pooling_param
        param.pool, param.global_pooling = _Pool.AVE, True
        return name

    def lrn(self, name: str, bottom: str) -> str:
        """Add normalization across channels, with the constants of Krizhevsky et al., 2012."""
        param = self.add("LRN", name, [bottom], name).lrn_param
        param.local_size, param.alpha, param.beta = 5, 1e-4, 0.75
        return name

    def concat(self, name: str, bottoms: Sequence[str]) -> str:
        """Join blobs along their channels."""
        self.add("Concat", name, bottoms, name)
        return name

    def batch_norm(self, name: str, blob: str) -> str:
        """Add batch normalization with a learned scale and shift, in place.

        The layers are called ``name/bn`` and ``name/scale``.
        """
        norm = self.add("BatchNorm", f"{name}/bn", [blob], blob)
        norm.param.extend([caffe_pb2.ParamSpec(lr_mult=0, decay_mult=0)] * 3)
        # Group lasso shrinks the weights below; sums that remember 1000 iterations, the default,
        # would be those of larger ones.
        norm.batch_norm_param.moving_average_fraction = 0.95
        scale = self.add("Scale", f"{name}/scale", [blob], blob)
        scale.param.extend([caffe_pb2.ParamSpec(lr_mult=1, decay_mult=0)] * 2)
        scale.scale_param.bias_term = True
        return blob

    def loss(self, name: str, bottom: str, weight: float = 1.0) -> None:
        """Add a softmax with its loss."""
        layer = self.add("SoftmaxWithLoss", name, [bottom, "label"], name)
        layer.loss_weight.append(weight)

    def accuracy(self, name: str, bottom: str, top_k: int = 1) -> None:
        """Add the accuracy of the best `top_k` guesses, in TEST."""
        layer = self.add("Accuracy", name, [bottom, "label"], name)
        layer.include.add(phase=caffe_pb2.TEST)
        if top_k > 1:
            layer.accuracy_param.top_k = top_k

    def _pool(
        self,
        name: str,
        bottom: str,
        how: int,
        size: int,
        stride: int,
        pad: int,
    ) -> str:
        param = self.add("Pooling", name, [bottom], name).pooling_param
        param.pool = how  # type: ignore[assignment]
        param.kernel_size, param.stride = size, stride
        if pad:
            param.pad = pad
        return name


def gaussian(std: float) -> caffe_pb2.FillerParameter:
    """Return a filler of normal numbers."""
    return caffe_pb2.FillerParameter(type="gaussian", std=std)


def filler(kind: str) -> caffe_pb2.FillerParameter:
    """Return a filler that needs no numbers."""
    return caffe_pb2.FillerParameter(type=kind)


def _constant(value: float) -> caffe_pb2.FillerParameter:
    return caffe_pb2.FillerParameter(type="constant", value=value)
