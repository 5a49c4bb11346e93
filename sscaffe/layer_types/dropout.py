"""Dropout: zero some units while training."""

import zlib

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.kernels import DropoutOperator
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

    mask: Blob  # 0, or what the unit is multiplied by

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the ratio."""
        self._operator: DropoutOperator | None = None
        self._is_ready = False  # whether the device was asked for an operator
        self._place: tuple[int, int] | None = None  # in its stream, where no operator knows it
        self._count = -1
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise ShapeError(f"dropout_ratio: expected 0 or more and less than 1, got {self.ratio}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape_like(bottom[0])
        self.mask = Blob(bottom[0].shape, self.dtype, self.device)
        if bottom[0].count != self._count:
            if self._operator is not None:
                self._place = self._operator.get_state()
            self._count, self._operator, self._is_ready = bottom[0].count, None, False

    def random_state(self) -> tuple[int, int] | None:
        """Return seed and step of the stream of its own, None where it draws from the net's."""
        if self.device.is_cpu or self.phase != TRAIN:
            return None
        if self._operator is not None:
            return self._operator.get_state()
        # Of the seed and the name, so that layers differ: nothing is drawn where nobody asks. Not
        # in setup: ranks get seeds of their own later.
        return self._place or (self.rng.seed ^ zlib.crc32(self.name.encode()), 0)

    def restore_random_state(self, seed: int, step: int) -> None:
        """Go to a place that `random_state` returned."""
        self._place = seed, step
        if self._operator is not None:
            self._operator.set_state(seed, step)

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        param = self.layer_param
        return self.phase != TRAIN and list(param.bottom) == list(param.top)

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return self.phase != TRAIN

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw a mask and apply it in TRAIN; copy in TEST."""
        x, y, shape = bottom[0].data_tensor, top[0].data_tensor, bottom[0].shape
        if not self._is_ready:
            self._operator, self._is_ready = self._make_operator(), True
        if self.phase == TRAIN and self._operator is not None:
            self._operator.forward(bottom[0], top[0])
        elif self.phase == TRAIN:
            kept = self.rng.bernoulli(1 - self.ratio, bottom[0].count).reshape(shape)
            scale = self.dtype.type(1 / (1 - self.ratio))
            self.xp.multiply(self.xp.asarray(kept), scale, out=self.mask.new_data())
            self.kernels.multiply(x, self.mask.data_tensor, y, shape)
        elif y is not x:
            self.kernels.sum_of([x], y, shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Apply the same mask to the gradient."""
        if not propagate_down[0]:
            return
        dy, dx, shape = top[0].diff_tensor, bottom[0].diff_tensor, bottom[0].shape
        if self.phase == TRAIN and self._operator is not None:
            self._operator.backward(top[0], bottom[0])
        elif self.phase == TRAIN:
            self.kernels.multiply(dy, self.mask.data_tensor, dx, shape)
        elif dx is not dy:
            self.kernels.sum_of([dy], dx, shape)

    def _make_operator(self) -> DropoutOperator | None:
        """Return the device's, at this layer's place in its stream."""
        if (place := self.random_state()) is None:
            return None
        operator = self.kernels.dropout(self._count, self.ratio, place[0], self.dtype)
        if operator is not None and place[1]:
            operator.set_state(*place)
        return operator
