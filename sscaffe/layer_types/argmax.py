"""ArgMax: where the largest values are."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, canonical_axis, register


@register("ArgMax")
class ArgMaxLayer(Layer):
    """The places of the `top_k` largest values, largest first; there is no gradient.

    Of equal values the one of the larger index comes first.

    Bottom: any shape. Top: with `axis`, the bottom's shape with `top_k` places along that axis,
    or with `out_max_val` the values there. Without, all axes but the first are seen as one, and
    the top is ``(N, 1, top_k)``, or with `out_max_val` ``(N, 2, top_k)``: places, then values;
    axes of size 1 follow up to the bottom's number of axes.
    """

    num_bottom = 1
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check `top_k` and set the shape of the top."""
        param, shape = self.layer_param.argmax_param, bottom[0].shape
        if not shape:
            raise ShapeError("expected a bottom with an axis, got a single number")
        if param.HasField("axis"):
            self.axis = canonical_axis(param.axis, len(shape))
            self.lined_up = shape
            top_shape = (*shape[: self.axis], param.top_k, *shape[self.axis + 1 :])
        else:
            self.axis = 1
            self.lined_up = (shape[0], bottom[0].count // max(shape[0], 1))
            top_shape = (shape[0], 1 + param.out_max_val, param.top_k, *[1] * (len(shape) - 3))
        most = self.lined_up[self.axis]
        if not 1 <= param.top_k <= most:
            raise ShapeError(f"top_k: expected 1 to {most} for {shape}, got {param.top_k}")
        top[0].reshape(*top_shape)
        self.uses_host = param.top_k > 1  # a sort waits for the device

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the largest values."""
        xp, param = self.xp, self.layer_param.argmax_param
        values = bottom[0].const_data.reshape(self.lined_up)
        places = self._largest(values, param.top_k)
        if not param.out_max_val:
            top[0].set_data(places.reshape(top[0].shape))
            return
        found = xp.take_along_axis(values, places, axis=self.axis)
        if param.HasField("axis"):
            top[0].set_data(found)
        else:
            pairs = top[0].new_data().reshape(-1, 2, param.top_k)
            pairs[:, 0], pairs[:, 1] = places, found

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Refuse: a place has no gradient."""
        if propagate_down[0]:
            raise UnsupportedError(
                "propagate_down: ArgMax has no gradient; set propagate_down: false in the layer"
            )

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the bottom has no gradient."""
        return False

    def _largest(self, values: Array, top_k: int) -> Array:
        """Return the places of the largest values along the axis, as integers."""
        xp, last = self.xp, values.shape[self.axis] - 1
        # Seen from behind, the larger index of equal values is the first.
        backwards = xp.flip(values, axis=self.axis)
        if top_k == 1:
            order = xp.expand_dims(backwards.argmax(axis=self.axis), self.axis)
        else:
            order = xp.argsort(-backwards, axis=self.axis, kind="stable")
        places: Array = last - order[(slice(None),) * self.axis + (slice(top_k),)]
        return places
