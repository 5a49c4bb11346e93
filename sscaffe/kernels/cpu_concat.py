"""Concat of channels on the CPU, in whatever layout the bottoms have."""

from typing import TYPE_CHECKING

from sscaffe import _core
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Shape


class ChannelConcat:
    """See `ConcatOperator`."""

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `ConcatOperator.forward`."""
        shapes = [blob.shape for blob in bottom]
        given = [blob.data_tensor.memory(blob.shape).layout for blob in bottom]
        whole, parts = _joint_layouts(given, shapes, top.shape)
        x = [
            blob.data_tensor.memory_as(layout, blob.shape)
            for blob, layout in zip(bottom, parts, strict=True)
        ]
        y = top.data_tensor.output(whole, top.shape)
        if not _core.are_joined(x, y):
            run(_core.join_channels, x, y)

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `ConcatOperator.backward`."""
        shapes = [blob.shape for blob in bottom]
        given = [top.diff_tensor.memory(top.shape).layout] if all(propagate_down) else []
        whole, parts = _joint_layouts(given, shapes, top.shape)
        dy = top.diff_tensor.memory_as(whole, top.shape)
        dx = [
            # What nobody wants goes nowhere.
            blob.diff_tensor.output(layout, blob.shape) if wanted else _core.Memory(layout)
            for blob, layout, wanted in zip(bottom, parts, propagate_down, strict=True)
        ]
        _core.part_channels(dy, dx)


def _joint_layouts(
    given: list["_core.Layout"], shapes: list["Shape"], shape: "Shape"
) -> tuple["_core.Layout", list["_core.Layout"]]:
    """Return layouts of the whole and its parts, native if one given is and the parts allow it."""
    for layout in given:
        if layout.is_plain or not layout.by_channel or len(layout.dims) != len(shape):
            continue
        block = layout.channel_block
        if all(part[1] % block == 0 for part in shapes[:-1]):
            parts = [_core.layout_like(layout, part) for part in shapes]
            return _core.layout_like(layout, shape), parts
    return _core.Layout(shape), [_core.Layout(part) for part in shapes]
