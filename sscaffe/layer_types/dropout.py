"""Dropout: zero some units while training."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import TRAIN, Layer, register


@register("Dropout")
class DropoutLayer(Layer):
    """In TRAIN, zero each unit with probability `dropout_ratio` and scale up the rest.

    The scale, 1 / (1 - dropout_ratio), keeps the mean; in TEST the layer does nothing.

    Bottom and top: any shape; the layer may run in place.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    JMLR 2014.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    mask: Array

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the ratio."""
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise ShapeError(f"dropout_ratio: expected 0 or more and less than 1, got {self.ratio}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape_like(bottom[0])

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        param = self.layer_param
        return self.phase != TRAIN and list(param.bottom) == list(param.top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw a mask and apply it in TRAIN; copy in TEST."""
        x = bottom[0].const_data
        if self.phase != TRAIN:
            if top[0] is not bottom[0]:
                top[0].set_data(x)
            return
        kept = self.rng.bernoulli(1 - self.ratio, bottom[0].count).reshape(x.shape)
        self.mask = self.xp.asarray(kept) * self.dtype.type(1 / (1 - self.ratio))
        out = top[0].data if top[0] is bottom[0] else top[0].new_data()
        self.xp.multiply(x, self.mask, out=out)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Apply the same mask to the gradient."""
        if not propagate_down[0]:
            return
        top_diff = top[0].const_diff
        if self.phase == TRAIN:
            top_diff = top_diff * self.mask
        bottom[0].set_diff(top_diff)
