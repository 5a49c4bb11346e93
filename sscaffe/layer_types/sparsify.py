"""Sparsify: what is small becomes zero, by a fixed threshold, and a penalty on what is left."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.layer import Layer, register


@register("Sparsify")
class SparsifyLayer(Layer):
    """``y = sign(x) max(|x| - thre, 0)``, with an L1 penalty ``coef * |y|``.

    The penalty is in the gradient only; no loss that is logged has it.

    Bottom and top: of any shape; the layer may run in place.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    signs: Array  # of y, kept for backward: a layer that runs in place on the top overwrites y

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the settings."""
        param = self.layer_param.sparsify_param
        for name, value in (("thre", param.thre), ("coef", param.coef)):
            if not value >= 0:
                raise PrototxtError(f"{name}: expected 0 or more, got {value:g}")
        self.uses_host = bool(self.layer_param.display)
        self.threshold, self.penalty = self.dtype.type(param.thre), self.dtype.type(param.coef)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Bring everything nearer to 0 by the threshold."""
        x = bottom[0].const_data
        y = x - self.xp.clip(x, -self.threshold, self.threshold) if self.threshold else x
        self.signs = self.xp.sign(y)
        top[0].set_data(y)
        if self.layer_param.display:
            share = 1 - float(self.xp.abs(self.signs).mean())
            logger.info("Sparsity of output of layer %s = %g", self.name, share)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradient of x: that of y and of the penalty, where y has not become zero."""
        if propagate_down[0]:
            gradient = top[0].const_diff + self.penalty * self.signs
            bottom[0].set_diff(gradient * self.xp.abs(self.signs) if self.threshold else gradient)
