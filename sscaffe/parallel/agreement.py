"""Whether all ranks still have the same weights, to the last bit."""

import zlib
from collections.abc import Iterable, Sequence

from sscaffe.blob import Blob
from sscaffe.errors import SscaffeError
from sscaffe.net import Net
from sscaffe.parallel.world import World

INTERVAL = 100  # iterations


def require_agreement(world: World, net: Net, history: Sequence[Blob], iteration: int) -> None:
    """Compare what ranks train.

    Parameters
    ----------
    world : World
        The ranks.
    net : Net
        Its weights, and which of them are frozen.
    history : sequence of Blob
        What the update rule remembers.
    iteration : int
        Iterations done, for the message.

    Raises
    ------
    SscaffeError
        On all ranks, if one of them differs from the others.
    """
    masks = [param.mask for param in net.learnable_params if param.mask is not None]
    mine = {
        "weights": _crc32(param.host_data.tobytes() for param in net.learnable_params),
        "history": _crc32(blob.host_data.tobytes() for blob in history),
        "masks": _crc32(mask.tobytes() for mask in masks),
    }
    everyone = world.gather(mine)
    for what in mine:
        sums = [sums[what] for sums in everyone]
        usual = max(sums, key=sums.count)  # of rank 0, where as many have each
        others = [str(rank) for rank, found in enumerate(sums) if found != usual]
        if others:
            word = "rank" if len(others) == 1 else "ranks"
            raise SscaffeError(
                f"{what}: expected the same on all {world.size} ranks at iteration {iteration}, "
                f"and {word} {', '.join(others)} had others; go on from the last snapshot, "
                "on machines of one kind"
            )


def _crc32(contents: Iterable[bytes]) -> int:
    checksum = 0
    for content in contents:
        checksum = zlib.crc32(content, checksum)
    return checksum
