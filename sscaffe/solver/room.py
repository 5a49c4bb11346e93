"""Whether there is room for a snapshot: on the disk, and within the limits of the process."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from sscaffe.blob import Blob
from sscaffe.errors import FullError, SscaffeError
from sscaffe.net import Net

_REST = 1 << 16  # bytes of names, shapes, random numbers, places in the data
_GROUP = 1 << 13  # bytes that HDF5 spends on a layer, and more
_LINE = 1 << 7  # bytes of a layer's line in a solverstate besides what it says itself
_FLOAT = 4


def sizes(net: Net, history: Sequence[Blob], *, diff: bool) -> tuple[int, int]:
    """Return about how many bytes a caffemodel and a solverstate have, never too few.

    Parameters
    ----------
    net : Net
        The net in training.
    history : sequence of Blob
        What the update rule remembers.
    diff : bool
        Whether gradients are written too.
    """
    weights = sum(blob.count for layer in net.layers for blob in layer.blobs)
    masks = sum(param.blob.count // 8 + 64 for param in net.learnable_params)
    texts = net.param.ByteSize()
    remembered = sum(blob.count for blob in history)
    return (
        _FLOAT * weights * (1 + diff) + texts + _GROUP * len(net.layers) + _REST,
        _FLOAT * remembered + masks + texts + _LINE * len(net.layers) + _REST,
    )


def require_room(folder: Path, needed: Sequence[int]) -> None:
    """Check that files of these sizes can be written beside each other.

    Parameters
    ----------
    folder : Path
        Where.
    needed : sequence of int
        The bytes of each file.

    Raises
    ------
    FullError
        If the disk has too few bytes left, or a file would be larger than the process may write.
    SscaffeError
        If there is no such folder.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise SscaffeError(
            f"snapshot_prefix: folder {folder} cannot be used: {error.strerror}; make it, or "
            "choose another snapshot_prefix"
        ) from error
    free = found.f_bavail * found.f_frsize
    if free < sum(needed):
        raise FullError(
            f"snapshot_prefix: a snapshot needs about {sum(needed)} bytes, and {folder} has {free} "
            "left; make room, or choose another snapshot_prefix"
        )
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and limit < max(needed):
        raise FullError(
            f"snapshot_prefix: a snapshot needs a file of about {max(needed)} bytes in {folder}, "
            f"and this process may write {limit}; raise the limit with: ulimit -f unlimited"
        )
