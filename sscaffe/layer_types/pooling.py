"""Pooling: the largest, the mean or a random element of each window."""

from sscaffe.blob import Blob
from sscaffe.conv.padding import read_sides
from sscaffe.errors import PrototxtError, ShapeError
from sscaffe.geometry import PoolGeometry
from sscaffe.kernels import PoolingOperator
from sscaffe.layer import TRAIN, Layer, register
from sscaffe.layer_types.window_pooling import WindowPooling
from sscaffe.proto import caffe_pb2

PoolingParameter = caffe_pb2.PoolingParameter
Sizes = tuple[int, ...]


@register("Pooling")
class PoolingLayer(Layer):
    """Reduce each window of each channel to one number.

    Windows reach past the image by `pad`, and pooled sizes are rounded up unless ``round_mode``
    is FLOOR or ``ceil_mode`` false. MAX takes the first of equal elements; AVE divides by the size
    of the window, the padding included (unless ``avg_include_pad`` is false) but nothing beyond it.
    STOCHASTIC takes a random element in TRAIN, each with a chance in proportion to its value, and
    in TEST the mean weighted by the values; the bottom should not be negative.

    Bottom: ``(N, C, H, W)``, or any other number of spatial axes where they share one size.
    Top: ``(N, C, pooled H, pooled W)``; a second one for MAX: where in its channel each maximum
    is, counted row by row.

    Source of STOCHASTIC: Zeiler and Fergus, "Stochastic Pooling for Regularization of Deep
    Convolutional Neural Networks", ICLR 2013.
    """

    num_bottom = 1
    min_top = 1
    max_top = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read kernel, stride and pad."""
        param = self.layer_param.pooling_param
        self.method = PoolingParameter.PoolMethod.Name(param.pool)
        if len(top) > 1 and self.method != "MAX":
            raise PrototxtError(f"top: expected 1 for pool: {self.method}, got {len(top)}")
        self.stride = _pair(param, "stride", "stride_h", "stride_w", 1)
        sides = read_sides(param)
        if sides is None:
            pad = _pair(param, "pad", "pad_h", "pad_w", 0)
            sides = (pad, pad)
        self.pad, self.pad_end = sides
        if self.method == "STOCHASTIC" and any(self.pad + self.pad_end):
            raise ShapeError(f"pad: expected 0 for pool: STOCHASTIC, got {self.pad}")
        self.ceil = _rounds_up(param)
        if param.global_pooling:
            _refuse_sizes_of_global_pooling(param, self.stride, self.pad + self.pad_end)
        else:
            self.kernel = _pair(param, "kernel_size", "kernel_h", "kernel_w", None)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the windows for the bottom's shape."""
        if bottom[0].ndim < 3:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        batch, channels, *image = bottom[0].shape
        geometry = self._geometry(channels, tuple(image))
        geometry.check()
        for blob in top:
            blob.reshape(batch, channels, *geometry.output)
        counts = bool(self.layer_param.pooling_param.avg_include_pad)
        self.pooling: WindowPooling | PoolingOperator
        self._is_plain = (
            self.method != "STOCHASTIC"
            and len(image) == 2
            and len(top) == 1
            and geometry.pad == geometry.end
            and (counts or self.method == "MAX" or not any(geometry.pad))
        )
        if self._is_plain:
            self.pooling = self.kernels.pooling(geometry, batch, self.method, self.dtype)
        else:
            rng = self.rng if self.phase == TRAIN else None
            self.uses_host = self.method == "STOCHASTIC" and rng is not None
            self.pooling = WindowPooling(
                geometry, self.method, self.device, rng, count_padding=counts
            )

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._is_plain

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reduce each window."""
        self.pooling.forward(bottom[0], *top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Hand each window's gradient to its largest element, or to all of them."""
        if propagate_down[0]:
            self.pooling.backward(top[0], bottom[0])

    def _geometry(self, channels: int, image: Sizes) -> PoolGeometry:
        if self.layer_param.pooling_param.global_pooling:
            kernel = image
        else:
            kernel = _for_axes("kernel", self.kernel, len(image))
        return PoolGeometry(
            channels,
            image,
            kernel,
            _for_axes("stride", self.stride, len(image)),
            _for_axes("pad", self.pad, len(image)),
            ceil=self.ceil,
            pad_end=_for_axes("pad", self.pad_end, len(image)),
        )


def _for_axes(name: str, sizes: tuple[int, int], axes: int) -> Sizes:
    """Return a size for each spatial axis, from those for two of them."""
    if axes == 2:
        return sizes
    if sizes[0] != sizes[1]:
        raise ShapeError(f"{name}_h: expected 2 spatial axes, got {axes}; use one size for all")
    return sizes[:1] * axes


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
    param: PoolingParameter, stride: tuple[int, int], pad: Sizes
) -> None:
    sizes = [name for name in ("kernel_size", "kernel_h", "kernel_w") if param.HasField(name)]
    if sizes:
        raise ShapeError(f"{sizes[0]}: global_pooling takes the whole image; leave it out")
    if stride != (1, 1) or any(pad):
        raise ShapeError(
            f"global_pooling: expected stride 1 and pad 0, got stride {stride} and pad {pad[:2]}"
        )
