"""Filter: the items of a batch that a selector names."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, register


@register("Filter")
class FilterLayer(Layer):
    """The items whose selector is not 0.

    Bottoms: any number of batches ``(N, ...)``, and the selectors, ``(N,)`` with any axes of size
    1, which have no gradient. Tops: one for each batch, ``(M, ...)``. M is known after forward;
    before, the tops have room for all N.
    """

    min_bottom = 2
    min_top = 1
    runs_on_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the number of tops."""
        if len(top) != len(bottom) - 1:
            raise ShapeError(
                f"top: expected {len(bottom) - 1}, one for each bottom but the selectors, "
                f"got {len(top)}"
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms, and make room in the tops for all items."""
        *batches, selectors = bottom
        if selectors.ndim < 1 or selectors.count != selectors.shape[0]:
            raise ShapeError(f"expected selectors of shape (N, 1, ...), got {selectors.shape}")
        for batch, blob in zip(batches, top, strict=True):
            if batch.shape[:1] != selectors.shape[:1]:
                raise ShapeError(
                    f"expected a bottom of {selectors.shape[0]} items, one for each selector, "
                    f"got {batch.shape}"
                )
            blob.reshape_like(batch)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the items that are selected."""
        *batches, selectors = bottom
        self.items = self.xp.flatnonzero(selectors.const_data)
        for batch, blob in zip(batches, top, strict=True):
            blob.reshape(len(self.items), *batch.shape[1:])
            blob.set_data(batch.const_data[self.items])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy the gradients back; items that were left out have none."""
        if propagate_down[-1]:
            raise UnsupportedError("propagate_down: the selectors of Filter have no gradient")
        for blob, batch, wanted in zip(top, bottom, propagate_down, strict=False):
            if wanted:
                diff = batch.new_diff()
                diff[...] = 0
                diff[self.items] = blob.const_diff

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the selectors have no gradient."""
        return index != len(self.layer_param.bottom) - 1
