"""ContrastiveLoss: similar pairs close together, others at least a margin apart."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, loss_weight, register

# Keeps the gradient finite where two features are one; the value is Caffe's.
TINY_DISTANCE = 1e-4


@register("ContrastiveLoss")
class ContrastiveLossLayer(Layer):
    """``sum(s d^2 + (1 - s) max(margin - d, 0)^2) / 2N``, where d is the distance of a pair.

    With `legacy_version`, ``max(margin - d^2, 0)`` stands for the square of the margin's rest.

    Bottoms: two features ``(N, C)``, with any axes of size 1 after them, and s, 1 for similar pairs
    and 0 for others, one for each of the N. Top: the loss, shape ``()``.

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
    CVPR 2006.
    """

    num_bottom = 3
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        a, b, similar = bottom
        fits = a.ndim >= 2 and a.shape[:2] == b.shape[:2]
        if not fits or any(blob.count != a.shape[0] * a.shape[1] for blob in (a, b)):
            raise ShapeError(f"expected two features of one shape (N, C), got {a.shape}, {b.shape}")
        if similar.count != a.shape[0]:
            raise ShapeError(
                f"expected one similarity for each of {a.shape[0]} pairs, got {similar.shape}"
            )
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        xp, param = self.xp, self.layer_param.contrastive_loss_param
        a, b, similar = (blob.const_data for blob in bottom)
        self.apart: Array = a.reshape(len(a), -1) - b.reshape(len(a), -1)
        self.similar = similar.reshape(-1) != 0
        squares = (self.apart**2).sum(axis=1)
        self.distances = xp.sqrt(squares)
        reach = squares if param.legacy_version else self.distances
        self.rest = xp.maximum(param.margin - reach, 0)
        others = self.rest if param.legacy_version else self.rest**2
        top[0].set_data(xp.where(self.similar, squares, others).sum() / (2 * len(a)))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Pull similar pairs together, push others apart."""
        xp = self.xp
        if self.layer_param.contrastive_loss_param.legacy_version:
            others = -(self.rest > 0).astype(self.dtype)
        else:
            others = -self.rest / (self.distances + TINY_DISTANCE)
        weight = loss_weight(top) / len(self.apart)
        pull = weight * xp.where(self.similar, 1, others)[:, None] * self.apart
        for sign, blob, wanted in zip((1, -1), bottom, propagate_down, strict=False):
            if wanted:
                blob.set_diff((sign * pull).reshape(blob.shape))

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the similarities have no gradient."""
        return index != 2
