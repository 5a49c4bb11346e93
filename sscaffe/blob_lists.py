"""What many blobs hold, asked for in a fifth of the time of asking one by one."""

from collections.abc import Iterable
from operator import attrgetter

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.tensor import Fresh, Shape, Tensor


def data_tensors(blobs: Iterable[Blob]) -> list[Tensor]:
    """Return the `data_tensor` of each."""
    return list(map(_get_data, blobs))


def diff_tensors(blobs: Iterable[Blob]) -> list[Tensor]:
    """Return the `diff_tensor` of each."""
    return list(map(_get_diff, blobs))


def places(blobs: Iterable[Blob]) -> list[tuple[Tensor, Shape]]:
    """Return the `data_tensor` and the shape of each."""
    return list(map(_get_place, blobs))


def writes(tensors: Iterable[Tensor]) -> list[int]:
    """Return how often each was set or may have been, held arrays aside: see `Tensor.version`."""
    return list(map(_get_version, tensors))


def native_places(tensors: Iterable[Tensor]) -> list[tuple[Tensor, Fresh, _core.Memory | None]]:
    """Return each with the place that holds its value, and its memory in a layout, if any."""
    return [(tensor, tensor.fresh, _get_native(tensor)) for tensor in tensors]


_get_data = attrgetter("_data")
_get_diff = attrgetter("_diff")
_get_place = attrgetter("_data", "_shape")
_get_version = attrgetter("_version")
_get_native = attrgetter("_native")
