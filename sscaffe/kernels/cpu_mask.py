"""Masks of parameters, in the layout that the weights have."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core

Array = npt.NDArray[Any]


class Mask:
    """A byte for each weight, in the order in which the weights are stored."""

    def __init__(self, mask: Array) -> None:
        self._mask = np.ascontiguousarray(mask)
        self._layout: _core.Layout | None = None
        self._packed: Array = self._mask

    def apply(self, diff: Array) -> None:
        """See `PackedMask.apply`."""
        np.multiply(diff, self._mask.reshape(diff.shape), out=diff)

    def stored_in(self, layout: "_core.Layout") -> Array:
        """Return the mask of weights that have this layout."""
        if layout.is_plain:
            return self._mask
        if self._layout is None or layout != self._layout:
            moved = _core.Memory(layout)
            _core.Memory(self._mask.astype(np.float32), self._mask.shape).copy_to(moved)
            self._layout, self._packed = layout, _core.memory_mask(moved)
        return self._packed
