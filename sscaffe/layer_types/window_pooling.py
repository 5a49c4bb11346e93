"""Pooling over the array module: what the kernels of `Pooling` do not cover.

That is any number of spatial axes, padding that differs from side to side, STOCHASTIC pooling, the
place of the maximum as a second top, and a mean that leaves the padding out.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.device import Device
from sscaffe.geometry import PoolGeometry
from sscaffe.random_numbers import RandomNumbers


class WindowPooling:
    """A pooling of one geometry, one place of the window after the other.

    Parameters
    ----------
    geometry : PoolGeometry
        Any number of spatial axes.
    method : str
        MAX, AVE or STOCHASTIC.
    device : Device
        Where to compute.
    rng : RandomNumbers, optional
        STOCHASTIC: draw an element of each window; without it, take their weighted mean.
    count_padding : bool
        AVE: the padding counts in the divisor.
    """

    def __init__(
        self,
        geometry: PoolGeometry,
        method: str,
        device: Device,
        rng: RandomNumbers | None = None,
        *,
        count_padding: bool = True,
    ) -> None:
        self._geometry, self._device, self._rng = geometry, device, rng
        self._xp = device.xp
        self._count_padding = count_padding
        self._method = method
        if method == "STOCHASTIC":
            self._method = "MEAN" if rng is None else "DRAW"
        self._places = list(np.ndindex(geometry.kernel))
        self._chosen: Array | None = None  # MAX, DRAW: which place of each window
        self._divisor = self._sizes() if method == "AVE" else None
        self._window_starts = self._starts()
        self._input: Array | None = None  # MEAN: the bottom and the top
        self._sums: tuple[Array, Array] | None = None

    def forward(self, bottom: Blob, top: Blob, mask: Blob | None = None) -> None:
        """Set ``top.data``, and ``mask.data`` to where in its channel each maximum is."""
        x = self._padded(bottom.const_data)
        getattr(self, f"_forward_{self._method.lower()}")(x, top)
        if mask is not None:
            mask.set_data(self._positions())

    def backward(self, top: Blob, bottom: Blob) -> None:
        """Set ``bottom.diff`` from ``top.diff``, after a forward pass."""
        dy = top.const_diff
        padded = self._xp.zeros((*bottom.shape[:2], *self._extent()), dy.dtype)
        for number, window in enumerate(self._windows(padded)):
            window += self._share(number, dy)
        bottom.set_diff(padded[self._inside()])

    def _forward_max(self, x: Array, top: Blob) -> None:
        windows = self._windows(x)
        best = next(windows).copy()
        chosen = self._xp.zeros(best.shape, np.int32)
        for number, window in enumerate(windows, 1):
            larger = window > best
            best = self._xp.where(larger, window, best)
            chosen = self._xp.where(larger, np.int32(number), chosen)
        self._chosen = chosen
        top.set_data(best)

    def _forward_ave(self, x: Array, top: Blob) -> None:
        total: Any = sum(self._windows(x))
        top.set_data(total / self._divisor)

    def _forward_mean(self, x: Array, top: Blob) -> None:
        total: Any = sum(self._windows(x))
        squares: Any = sum(window * window for window in self._windows(x))
        total = self._xp.where(total > 0, total, np.inf)  # a window of zeros is 0
        self._sums = (total, squares / total)
        self._input = x
        top.set_data(self._sums[1])

    def _forward_draw(self, x: Array, top: Blob) -> None:
        total: Any = sum(self._windows(x))
        assert self._rng is not None
        draws = self._xp.asarray(self._rng.uniform(0, 1, top.count)).reshape(total.shape)
        threshold = total * draws.astype(x.dtype)
        reached = self._xp.zeros(total.shape, bool)
        running = self._xp.zeros_like(total)
        chosen = self._xp.zeros(total.shape, np.int32)
        best = self._xp.zeros_like(total)
        for number, window in enumerate(self._windows(x)):
            running += window
            now = (running >= threshold) & ~reached & self._is_inside(number)
            chosen = self._xp.where(now, np.int32(number), chosen)
            best = self._xp.where(now, window, best)
            reached |= now
        self._chosen = chosen
        top.set_data(best)

    def _share(self, number: int, dy: Array) -> Any:
        """Return what a place of the window gets of the top's gradient."""
        if self._method == "AVE":
            assert self._divisor is not None, "backward before forward"
            return dy / self._divisor
        if self._method == "MEAN":
            assert self._sums is not None, "backward before forward"
            assert self._input is not None
            total, mean = self._sums
            x = next(itertools.islice(self._windows(self._input), number, None))
            return dy * (2 * x - mean) / total
        assert self._chosen is not None, "backward before forward"
        return self._xp.where(self._chosen == number, dy, 0)

    def _padded(self, x: Array) -> Any:
        """Return the bottom with all that windows reach, -inf for MAX and 0 otherwise."""
        fill = -np.inf if self._method == "MAX" else 0
        padded = self._xp.full((*x.shape[:2], *self._extent()), fill, x.dtype)
        padded[self._inside()] = x
        return padded

    def _extent(self) -> tuple[int, ...]:
        g = self._geometry
        axes = zip(g.input, g.kernel, g.stride, g.pad, g.output, strict=True)
        return tuple(max((o - 1) * s + k, p + i) for i, k, s, p, o in axes)

    def _inside(self) -> tuple[Any, ...]:
        g = self._geometry
        return (..., *(slice(p, p + i) for p, i in zip(g.pad, g.input, strict=True)))

    def _windows(self, padded: Array) -> Iterator[Array]:
        """Yield, for each place of the window, that element of all windows, as a view."""
        g = self._geometry
        for place in self._places:
            axes = zip(place, g.stride, g.output, strict=True)
            part: Any = (..., *(slice(k, k + (o - 1) * s + 1, s) for k, s, o in axes))
            yield padded[part]

    def _sizes(self) -> Any:
        """Return how many elements of each window count."""
        g = self._geometry
        sizes: Any = np.ones((), np.float32)
        axes = zip(g.input, g.kernel, g.stride, g.pad, g.end, g.output, strict=True)
        for size, kernel, stride, pad, end, count in axes:
            start = np.arange(count) * stride - pad
            stop = np.minimum(start + kernel, size + end)
            if not self._count_padding:
                start, stop = np.maximum(start, 0), np.minimum(stop, size)
            sizes = np.multiply.outer(sizes, (stop - start).astype(np.float32))
        return self._xp.asarray(sizes)

    def _is_inside(self, number: int) -> Any:
        """Tell for which windows a place is in the image, not beyond it."""
        g = self._geometry
        inside: Any = np.ones((), bool)
        axes = zip(self._places[number], g.stride, g.pad, g.input, g.output, strict=True)
        for place, stride, pad, size, count in axes:
            at = np.arange(count) * stride - pad + place
            inside = np.logical_and.outer(inside, (at >= 0) & (at < size))
        return self._xp.asarray(inside)

    def _starts(self) -> list[Array]:
        """Return where in its channel each window starts, along each axis, to broadcast."""
        g, starts = self._geometry, []
        for axis, (count, stride, pad) in enumerate(zip(g.output, g.stride, g.pad, strict=True)):
            shape = [1] * (len(g.input) - axis)
            shape[0] = -1
            start = np.arange(count) * stride - pad
            starts.append(self._xp.asarray(start.reshape(shape)))
        return starts

    def _positions(self) -> Array:
        """Return where in its channel, counted row by row, each chosen element is."""
        g = self._geometry
        assert self._chosen is not None
        position: Any = 0
        inner = 1
        for axis in reversed(range(len(g.input))):
            within = self._chosen // math.prod(g.kernel[axis + 1 :]) % g.kernel[axis]
            position = position + (within + self._window_starts[axis]) * inner
            inner *= g.input[axis]
        found: Array = position
        return found
