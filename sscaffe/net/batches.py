"""Any number of images, in batches of a net's size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sscaffe.blob import Array
from sscaffe.errors import ShapeError


def cut(arrays: Mapping[str, Any], size: int) -> Iterator[dict[str, Array]]:
    """Cut arrays of as many images into batches; the last is filled up with zeros."""
    whole = {name: np.asarray(array) for name, array in arrays.items()}
    for begin in range(0, count_of(whole), size):
        batch = {name: array[begin : begin + size] for name, array in whole.items()}
        missing = size - len(next(iter(batch.values())))
        if missing:
            batch = {
                name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
                for name, array in batch.items()
            }
        yield batch


def join(parts: Sequence[Mapping[str, Array]], size: int, count: int) -> dict[str, Array]:
    """Join what batches gave: `count` rows where there is one for each image, else one a batch."""
    joined: dict[str, Array] = {}
    for name in parts[0] if parts else ():
        arrays = [part[name] for part in parts]
        if arrays[0].ndim and len(arrays[0]) == size:
            joined[name] = np.concatenate(arrays)[:count]
        else:
            joined[name] = np.stack(arrays)
    return joined


def count_of(arrays: Mapping[str, Any]) -> int:
    """Return how many images arrays have, all alike.

    Raises
    ------
    ShapeError
        If there is no array, or they differ.
    """
    counts = {name: len(array) for name, array in arrays.items()}
    if not counts:
        raise ShapeError("expected an array for each input of the net, got none")
    if len(set(counts.values())) > 1:
        raise ShapeError(f"expected as many images in each array, got {counts}")
    return next(iter(counts.values()))
