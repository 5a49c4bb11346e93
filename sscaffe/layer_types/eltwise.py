"""Eltwise: combine bottoms element by element."""

import math

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Fusion, Layer, register
from sscaffe.proto import caffe_pb2

EltwiseParameter = caffe_pb2.EltwiseParameter


@register("Eltwise")
class EltwiseLayer(Layer):
    """SUM, weighted by `coeff`; PROD; or MAX of the bottoms.

    Bottoms and top: one shape. Of equal largest elements the second bottom's counts before
    the first's, and both before the later ones'.
    """

    min_bottom = 2
    num_top = 1

    winner: Array  # MAX: the number of the bottom that was the largest

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the coefficients."""
        param = self.layer_param.eltwise_param
        if len(param.coeff) not in (0, len(bottom)):
            raise ShapeError(
                f"coeff: expected none or one for each of the {len(bottom)} bottoms, "
                f"got {len(param.coeff)}"
            )
        if param.coeff and param.operation != EltwiseParameter.SUM:
            raise ShapeError("coeff: only operation SUM takes coefficients")
        self.coeff = list(param.coeff) or [1.0] * len(bottom)
        self.operation = param.operation
        name = EltwiseParameter.EltwiseOp.Name(param.operation)
        self._operator = self.kernels.eltwise(name, self.coeff, param.stable_prod_grad, self.dtype)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the bottoms have one shape, and give it to the top."""
        for blob in bottom[1:]:
            if blob.shape != bottom[0].shape:
                raise ShapeError(
                    f"expected bottoms of one shape, got {bottom[0].shape} and {blob.shape}"
                )
        top[0].reshape_like(bottom[0])

    def fusion(self) -> Fusion | None:
        """See `Layer.fusion`."""
        is_sum = self.operation == EltwiseParameter.SUM and self.coeff == [1.0, 1.0]
        return Fusion.SUM if is_sum else None

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._operator is not None

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Combine the bottoms."""
        if self._operator is not None:
            self._operator.forward(bottom, top[0])
            return
        xp, arrays, y = self.xp, [blob.const_data for blob in bottom], top[0].new_data()
        if self.operation == EltwiseParameter.SUM:
            terms = [self._weighted(x, i) for i, x in enumerate(arrays)]
            xp.add(terms[0], terms[1], out=y)
            for term in terms[2:]:
                y += term
        elif self.operation == EltwiseParameter.PROD:
            xp.multiply(arrays[0], arrays[1], out=y)
            for x in arrays[2:]:
                y *= x
        else:
            self._forward_max(arrays, y)

    def _forward_max(self, arrays: list[Array], y: Array) -> None:
        xp = self.xp
        xp.maximum(arrays[0], arrays[1], out=y)
        self.winner = (~(arrays[0] > arrays[1])).astype(np.int32)
        for i, x in enumerate(arrays[2:], start=2):
            self.winner = xp.where(x > y, i, self.winner)
            xp.maximum(y, x, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients of the bottoms."""
        if self._operator is not None:
            self._operator.backward(top[0], propagate_down, bottom)
            return
        for i, blob in enumerate(bottom):
            if propagate_down[i]:
                blob.set_diff(self._bottom_diff(i, top[0], bottom))

    def _weighted(self, values: Array, index: int) -> Array:
        coeff = self.coeff[index]
        return values if coeff == 1 else values * self.dtype.type(coeff)

    def _bottom_diff(self, index: int, top: Blob, bottom: list[Blob]) -> Array:
        top_diff = top.const_diff
        if self.operation == EltwiseParameter.SUM:
            return self._weighted(top_diff, index)
        if self.operation == EltwiseParameter.MAX:
            won: Array = self.winner == index
            return top_diff * won
        if self.layer_param.eltwise_param.stable_prod_grad:
            others = [blob.const_data for i, blob in enumerate(bottom) if i != index]
            rest: Array = math.prod(others[1:], start=others[0])
        else:
            rest = top.const_data / bottom[index].const_data
        return top_diff * rest
