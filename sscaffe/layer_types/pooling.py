"""Pooling: the largest, the mean or a random element of each window."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.geometry import PoolGeometry
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2

PoolingParameter = caffe_pb2.PoolingParameter


@register("Pooling")
class PoolingLayer(Layer):
    """Reduce each window of each channel to one number.

    Windows reach past the image by `pad`, and pooled sizes are rounded up unless ``round_mode``
    is FLOOR or ``ceil_mode`` false. MAX takes the first of equal elements; AVE divides by the size
    of the window, the padding included but nothing beyond it.

    Bottom: ``(N, C, H, W)``. Top: ``(N, C, pooled H, pooled W)``.
    """

    num_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read kernel, stride and pad."""
        param = self.layer_param.pooling_param
        if param.pool == PoolingParameter.STOCHASTIC:
            raise UnsupportedError("pool: STOCHASTIC is not built yet; use MAX or AVE")
        self.method = PoolingParameter.PoolMethod.Name(param.pool)
        self.stride = _pair(param, "stride", "stride_h", "stride_w", 1)
        self.pad = _pair(param, "pad", "pad_h", "pad_w", 0)
        self.ceil = _rounds_up(param)
        if param.global_pooling:
            _refuse_sizes_of_global_pooling(param, self.stride, self.pad)
        else:
            self.kernel = _pair(param, "kernel_size", "kernel_h", "kernel_w", None)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the windows for the bottom's shape."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        batch, channels, *image = bottom[0].shape
        param = self.layer_param.pooling_param
        kernel = tuple(image) if param.global_pooling else self.kernel
        geometry = PoolGeometry(
            channels, tuple(image), kernel, self.stride, self.pad, ceil=self.ceil
        )
        geometry.check()
        top[0].reshape(batch, channels, *geometry.output)
        self.pooling = self.kernels.pooling(geometry, batch, self.method, self.dtype)

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reduce each window."""
        self.pooling.forward(bottom[0], top[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Hand each window's gradient to its largest element, or to all of them."""
        if propagate_down[0]:
            self.pooling.backward(top[0], bottom[0])


def _pair(
    param: PoolingParameter, both: str, height: str, width: str, default: int | None
) -> tuple[int, int]:
    """Return a size for each axis, given once for both or once for each."""
    each = param.HasField(height) or param.HasField(width)
    if param.HasField(both) and each:
        raise ShapeError(f"{both}: expected either {both} or {height} and {width}, got both")
    if each:
        if not (param.HasField(height) and param.HasField(width)):
            raise ShapeError(f"{height}, {width}: expected both or neither, got one")
        return getattr(param, height), getattr(param, width)
    if not param.HasField(both) and default is None:
        raise ShapeError(f"{both}: expected a size, got none; set {both}, or {height} and {width}")
    size = getattr(param, both)
    return size, size


def _rounds_up(param: PoolingParameter) -> bool:
    """Tell how pooled sizes are rounded, by either name of the field."""
    if not param.HasField("ceil_mode"):
        return bool(param.round_mode == PoolingParameter.CEIL)
    if param.HasField("round_mode"):
        raise ShapeError("ceil_mode: expected either ceil_mode or round_mode, got both")
    return bool(param.ceil_mode)


def _refuse_sizes_of_global_pooling(
    param: PoolingParameter, stride: tuple[int, int], pad: tuple[int, int]
) -> None:
    sizes = [name for name in ("kernel_size", "kernel_h", "kernel_w") if param.HasField(name)]
    if sizes:
        raise ShapeError(f"{sizes[0]}: global_pooling takes the whole image; leave it out")
    if stride != (1, 1) or pad != (0, 0):
        raise ShapeError(
            f"global_pooling: expected stride 1 and pad 0, got stride {stride} and pad {pad}"
        )
