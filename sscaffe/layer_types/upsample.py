"""Upsample: make images larger, by repeating values or by undoing a MAX pooling."""

from typing import Any

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import Layer, register


@register("Upsample")
class UpsampleLayer(Layer):
    """``top[y, x] = bottom[y / scale, x / scale]``; with a mask, each value goes where it was.

    Bottom: ``(N, C, H, W)``, and, if there are two, the mask of its shape that is the second top of
    a MAX Pooling: where in its channel of the top each value belongs.
    Top: ``(N, C, scale * H, scale * W)``; 0 where nothing belongs.

    Source of the mask: Badrinarayanan et al., "SegNet", TPAMI 2017.
    """

    min_bottom = 1
    max_bottom = 2
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the scale."""
        param = self.layer_param.upsample_param
        if param.HasField("scale_h") != param.HasField("scale_w"):
            raise ShapeError("scale_h, scale_w: expected both or neither, got one")
        if param.HasField("scale") and param.HasField("scale_h"):
            raise ShapeError("scale_h: scale is set as well; use one of them")
        if param.HasField("scale_h"):
            self.scale = (int(param.scale_h), int(param.scale_w))
        else:
            self.scale = (int(param.scale),) * 2
        if min(self.scale) < 1:
            raise ShapeError(f"scale: expected 1 or more, got {self.scale}")
        for name in ("upsample_h", "upsample_w", "pad_out_h", "pad_out_w"):
            if len(bottom) == 1 and param.HasField(name):
                raise ShapeError(f"{name}: expected a second bottom, the mask, got one bottom")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        if bottom[-1].shape != bottom[0].shape:
            raise ShapeError(f"bottom 1: expected {bottom[0].shape}, got {bottom[1].shape}")
        param = self.layer_param.upsample_param
        axes = zip(bottom[0].shape[2:], self.scale, strict=True)
        height, width = (size * scale for size, scale in axes)
        height = param.upsample_h or height - int(param.pad_out_h)
        width = param.upsample_w or width - int(param.pad_out_w)
        top[0].reshape(*bottom[0].shape[:2], height, width)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Repeat, or put back."""
        x = bottom[0].const_data
        if len(bottom) == 1:
            tiles = top[0].new_data().reshape(*self._tiles(x.shape))
            tiles[...] = x[:, :, :, None, :, None]
            return
        out, values = top[0].new_data(), x.reshape(x.shape[0] * x.shape[1], -1)
        flat = out.reshape(len(values), -1)
        self._places, flaw = self._read(bottom[1], top[0])
        flat[...] = flaw
        rows = self.xp.arange(len(flat))[:, None]
        if not self.device.is_cpu:  # Of equal places the last counts, as on the CPU.
            last = self.xp.full(flat.shape, -1, np.int32)
            index = self.xp.arange(values.shape[1], dtype=np.int32)
            index = self.xp.broadcast_to(index, values.shape)
            self.xp.maximum.at(last, (rows, self._places), index)
            values = values[rows, last[rows, self._places]] + flaw
        flat[rows, self._places] = values

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up what was repeated, or take from where it was put."""
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].clear_diff()
        if not propagate_down[0]:
            return
        diff = top[0].const_diff
        if len(bottom) == 1:
            tiles = diff.reshape(*self._tiles(bottom[0].shape))
            bottom[0].set_diff(tiles.sum(axis=(3, 5)))
            return
        flat = diff.reshape(diff.shape[0] * diff.shape[1], -1)
        rows = self.xp.arange(len(flat))[:, None]
        bottom[0].set_diff(flat[rows, self._places].reshape(bottom[0].shape))

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        if len(bottom) > 1:
            self._check(bottom[1])

    def _tiles(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        batch, channels, height, width = shape
        return batch, channels, height, self.scale[0], width, self.scale[1]

    def _read(self, mask: Blob, top: Blob) -> tuple[Array, Any]:
        """Return the places, and NaN if one is not in the top, else 0."""
        xp, size = self.xp, top.shape[2] * top.shape[3]
        self._top_shape = top.shape
        places = mask.const_data.reshape(mask.shape[0] * mask.shape[1], -1)
        known = (places > -1) & (places < size)
        if self.device.is_cpu and not known.all():
            self._check(mask)
        flaw = xp.where(known.all(), 0.0, np.nan).astype(self.dtype)
        return xp.where(known, places, 0).astype(int), flaw

    def _check(self, mask: Blob) -> None:
        size = self._top_shape[2] * self._top_shape[3]
        places = mask.host_data.astype(int)
        if places.size and not (places.min() >= 0 and places.max() < size):
            raise DataError(
                f"bottom 1: expected places among the {size} of each channel of "
                f"{self._top_shape}, got {int(places.min())} to {int(places.max())}; set "
                "upsample_h and upsample_w"
            )
