"""What differs between two nets, or two files of weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sscaffe.blob import Array
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import ELEMENT_THRESHOLD, zero_elements


@dataclass(frozen=True)
class BlobDiff:
    """A blob in two files. What one of them lacks is None.

    Attributes
    ----------
    max_diff, mean_diff : float
        Largest and mean absolute difference; None if the shapes differ.
    zero_a, zero_b : float
        Per cent of the elements below 1e-4.
    """

    layer: str
    blob: int
    shape_a: tuple[int, ...] | None
    shape_b: tuple[int, ...] | None
    max_diff: float | None
    mean_diff: float | None
    zero_a: float | None
    zero_b: float | None

    @property
    def same(self) -> bool:
        """Whether shapes and all values are equal."""
        return self.max_diff == 0


@dataclass(frozen=True)
class FieldDiff:
    """A field of a layer that two nets set differently; None where it is not set."""

    layer: str
    field: str
    a: str | None
    b: str | None


def diff_weights(
    first: Mapping[str, Sequence[Array]], second: Mapping[str, Sequence[Array]]
) -> list[BlobDiff]:
    """Compare the blobs of layers by the layers' names.

    Parameters
    ----------
    first, second : mapping of str to arrays
        The blobs of each layer.
    """
    found = []
    for name in dict.fromkeys((*first, *second)):
        ours, theirs = first.get(name, ()), second.get(name, ())
        for i in range(max(len(ours), len(theirs))):
            a = ours[i] if i < len(ours) else None
            b = theirs[i] if i < len(theirs) else None
            found.append(_blob(name, i, a, b))
    return found


def _blob(layer: str, index: int, a: Array | None, b: Array | None) -> BlobDiff:
    largest = mean = None
    if a is not None and b is not None and a.shape == b.shape:
        with np.errstate(invalid="ignore"):
            gap = np.abs(a.astype(np.float64) - b)
        gap[(a == b) | (np.isnan(a) & np.isnan(b))] = 0  # infinities too
        largest, mean = (float(gap.max()), float(gap.mean())) if gap.size else (0.0, 0.0)
    return BlobDiff(layer, index, _shape(a), _shape(b), largest, mean, _zero(a), _zero(b))


def _shape(array: Array | None) -> tuple[int, ...] | None:
    return None if array is None else tuple(array.shape)


def _zero(array: Array | None) -> float | None:
    return None if array is None else zero_elements(array, ELEMENT_THRESHOLD)


def diff_nets(first: caffe_pb2.NetParameter, second: caffe_pb2.NetParameter) -> list[FieldDiff]:
    """Compare the layers of two nets field by field.

    Layers are found by name and phase. One that a net lacks has the field ``layer``, with its type.
    """
    ours, theirs = _layers(first), _layers(second)
    found = []
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in ours or name not in theirs:
            types = (side[name].type if name in side else None for side in (ours, theirs))
            found.append(FieldDiff(name, "layer", *types))
            continue
        a, b = (dict(_fields(side[name], "")) for side in (ours, theirs))
        found += [
            FieldDiff(name, field, a.get(field), b.get(field))
            for field in dict.fromkeys((*a, *b))
            if a.get(field) != b.get(field)
        ]
    return found


def _layers(net: caffe_pb2.NetParameter) -> dict[str, caffe_pb2.LayerParameter]:
    found: dict[str, caffe_pb2.LayerParameter] = {}
    for layer in net.layer:
        phases = [caffe_pb2.Phase.Name(r.phase) for r in layer.include if r.HasField("phase")]
        plain = f"{layer.name} ({', '.join(phases)})" if phases else layer.name
        name, number = plain, 1
        while name in found:
            number += 1
            name = f"{plain} #{number}"
        found[name] = layer
    return found


def _fields(message: Any, path: str) -> Iterator[tuple[str, str]]:
    """Return the fields that are set, each by its path, such as ``param[0].lr_mult``."""
    for field, value in message.ListFields():
        if field.name == "blobs":
            continue
        many = not isinstance(value, str | bytes) and hasattr(value, "__len__")
        for i, item in enumerate(value if many else [value]):
            name = f"{path}{field.name}" + (f"[{i}]" if many else "")
            if field.message_type is not None:
                inside = list(_fields(item, f"{name}."))
                yield from inside or [(name, "{}")]
            elif field.enum_type is not None:
                yield name, field.enum_type.values_by_number[item].name
            else:
                yield name, f"{item:.6g}" if isinstance(item, float) else str(item)
