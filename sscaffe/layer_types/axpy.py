"""Axpy: a factor for each channel of each image times one bottom, plus another."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


@register("Axpy")
class AxpyLayer(Layer):
    """``y = factor * x + z``.

    Bottoms: the factor, ``(N, C)`` with any axes of size 1, x, ``(N, C, ...)``, and z, like x.
    Top: like x.

    Source: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, its code.
    """

    num_bottom = 3
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms, and give the top the shape of x."""
        factor, x, z = bottom
        if x.ndim < 2 or x.shape != z.shape:
            raise ShapeError(
                f"expected x and z of one shape (N, C, ...), got {x.shape} and {z.shape}"
            )
        pair = x.shape[:2]
        if factor.shape[:2] != pair or factor.count != pair[0] * pair[1]:
            raise ShapeError(f"expected a factor of shape {pair}, got {factor.shape}")
        self.lined_up = (*pair, *[1] * (x.ndim - 2))
        self.inner = tuple(range(2, x.ndim))
        top[0].reshape_like(x)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Multiply and add."""
        factor, x, z = (blob.const_data for blob in bottom)
        y = top[0].new_data()
        self.xp.multiply(x, factor.reshape(self.lined_up), out=y)
        y += z

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients of the factor, x and z."""
        factor, x, z = bottom
        top_diff = top[0].const_diff
        if propagate_down[0]:
            diff = top_diff * x.const_data
            diff = diff.sum(axis=self.inner) if self.inner else diff
            factor.set_diff(diff.reshape(factor.shape))
        if propagate_down[1]:
            x.set_diff(top_diff * factor.const_data.reshape(self.lined_up))
        if propagate_down[2]:
            z.set_diff(top_diff)
