"""Padding that is not the same on both sides of an axis."""

from typing import Any

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.proto import caffe_pb2

Sizes = tuple[int, ...]
Pair = tuple[int, int]

_FIELDS = ("pad_t", "pad_b", "pad_l", "pad_r")
_SYMMETRIC = ("pad_h", "pad_w")

_Param = caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter


class Padding:
    """Zeros around the last two axes of a blob, for kernels that pad both sides alike.

    Parameters
    ----------
    before, after : tuple of int
        How many, for each of the two axes.
    """

    def __init__(self, before: Sizes, after: Sizes) -> None:
        self.before, self.after = before, after
        self._blob: Blob | None = None

    def size_of(self, image: Sizes) -> Sizes:
        """Return the spatial axes of a padded image."""
        return tuple(b + i + a for b, i, a in zip(self.before, image, self.after, strict=True))

    def pad(self, blob: Blob) -> Blob:
        """Return a padded copy of a blob; the next call makes use of it again."""
        shape = (*blob.shape[:-2], *self.size_of(blob.shape[-2:]))
        if self._blob is None:
            self._blob = Blob((), blob.dtype, blob.device)
        self._blob.reshape(*shape)
        padded = self._blob.new_data()
        padded[...] = 0
        padded[self._inside(blob)] = blob.const_data
        return self._blob

    def cut(self, padded: Blob, blob: Blob) -> None:
        """Set the diff of a blob from that of its padded copy."""
        blob.set_diff(padded.const_diff[self._inside(blob)])

    def _inside(self, blob: Blob) -> tuple[Any, ...]:
        axes = zip(self.before, blob.shape[-2:], strict=True)
        return (..., *(slice(start, start + size) for start, size in axes))


def read_sides(param: _Param) -> tuple[Pair, Pair] | None:
    """Return ``pad_t``, ``pad_l`` and ``pad_b``, ``pad_r``; None if none of them is set.

    Raises
    ------
    ShapeError
        If a pad for both sides is set too.
    """
    given = [name for name in _FIELDS if param.HasField(name)]
    if not given:
        return None
    pad = param.pad if isinstance(param, caffe_pb2.ConvolutionParameter) else param.HasField("pad")
    both = ["pad"] if pad else [name for name in _SYMMETRIC if param.HasField(name)]
    if both:
        raise ShapeError(f"{given[0]}: {both[0]} is set as well; use one of them")
    return (param.pad_t, param.pad_l), (param.pad_b, param.pad_r)


def read_padding(param: caffe_pb2.ConvolutionParameter, axes: int) -> Padding | None:
    """Return the padding that a convolution names side by side, if any.

    Raises
    ------
    ShapeError
        If there are not two spatial axes, or a pad for both sides is set too.
    """
    sides = read_sides(param)
    if sides is None:
        return None
    if axes != 2:
        raise ShapeError(f"pad_l: expected 2 spatial axes, got {axes}; use pad")
    return Padding(*sides)
