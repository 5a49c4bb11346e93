"""Concat: put bottoms behind each other along an axis."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, canonical_axis, register


@register("Concat")
class ConcatLayer(Layer):
    """Join the bottoms along `axis`, the channels by default.

    Bottoms: shapes that agree on every other axis. Top: as long along `axis` as all of them.
    """

    min_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check which of the two fields for the axis is set."""
        param = self.layer_param.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            raise ShapeError("concat_dim: expected either axis or concat_dim, got both")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms and set the shape of the top."""
        param, shape = self.layer_param.concat_param, bottom[0].shape
        old = param.HasField("concat_dim")
        self.axis = canonical_axis(
            param.concat_dim if old else param.axis, len(shape), "concat_dim" if old else "axis"
        )
        for blob in bottom[1:]:
            if blob.ndim != len(shape) or self._rest(blob) != self._rest(bottom[0]):
                raise ShapeError(
                    f"expected bottoms that differ along axis {self.axis} only, "
                    f"got {shape} and {blob.shape}"
                )
        total = sum(blob.shape[self.axis] for blob in bottom)
        top[0].reshape(*shape[: self.axis], total, *shape[self.axis + 1 :])
        # A device may want no blob without elements.
        self._operator = (
            self.kernels.concat(self.axis, self.dtype) if all(b.count for b in bottom) else None
        )

    @property
    def joins_channels(self) -> bool:
        """Whether the bottoms of one image are pieces of the top, one after the other."""
        return self.axis == 1

    def _rest(self, blob: Blob) -> tuple[int, ...]:
        return blob.shape[: self.axis] + blob.shape[self.axis + 1 :]

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._operator is not None

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return self.axis > 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the bottoms behind each other."""
        if self._operator is not None:
            self._operator.forward(bottom, top[0])
            return
        y, start = top[0].new_data(), 0
        for blob in bottom:
            end = start + blob.shape[self.axis]
            y[(slice(None),) * self.axis + (slice(start, end),)] = blob.const_data
            start = end

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give each bottom its part of the gradient."""
        if self._operator is not None:
            self._operator.backward(top[0], propagate_down, bottom)
            return
        top_diff, start = top[0].const_diff, 0
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            end = start + blob.shape[self.axis]
            if wanted:
                blob.set_diff(top_diff[(slice(None),) * self.axis + (slice(start, end),)])
            start = end
