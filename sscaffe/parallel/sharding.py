"""Who reads what: each rank its own records, as one process with all of their batches would.

With batches of B records, rank r of N reads in its pass t the records from ``(t N + r) B`` on, of
whatever sequence of records one process would read. So a place in the data is the same on every
rank, and means the same on any number of them.
"""

from sscaffe.errors import UnsupportedError
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.net.rules import is_included
from sscaffe.parallel.world import World
from sscaffe.proto import caffe_pb2

_WITH_BATCH_SIZE = (
    "data_param",
    "image_data_param",
    "window_data_param",
    "hdf5_data_param",
    "memory_data_param",
)


def shard(net: Net, world: World) -> None:
    """Let the data layers of a net read what is for this rank.

    A layer that has a method ``shard(rank, size)`` reads, from then on, of each `size` batches the
    one with the number `rank`. Those that a program fills, Input and MemoryData, have what it gives
    them on each rank.

    Raises
    ------
    UnsupportedError
        If one would read the same on all ranks, or write to the same file.
    """
    for layer, top in zip(net.layers, net.tops, strict=True):
        own = getattr(layer, "shard", None)
        if own is not None:
            own(world.rank, world.size)
            records, batch = getattr(layer, "record_count", 0), top[0].shape[0]
            if world.is_first and 0 < records < world.size * batch:
                logger.warning(
                    "layer %r: %d ranks x batch %d is more than the %d records that there are, so "
                    "each iteration sees some of them several times",
                    layer.name,
                    world.size,
                    batch,
                    records,
                )
        elif layer.type == "Python" and not layer.layer_param.bottom:
            raise UnsupportedError(
                f"layer {layer.name!r}: a Python layer that reads data needs a method "
                "shard(rank, size), which lets it leave out the records of other ranks"
            )
        elif layer.type == "HDF5Output":
            raise UnsupportedError(
                f"layer {layer.name!r}: all {world.size} ranks would write to one file; leave it "
                "out of the training net"
            )


def batch_size(net: Net) -> int:
    """Return the records in a batch, the first axis of the first data; 0 if there is none."""
    tops = [
        top[0]
        for layer, top in zip(net.layers, net.tops, strict=True)
        if not layer.layer_param.bottom and top and top[0].ndim and not layer.blobs
    ]
    return tops[0].shape[0] if tops else 0


def split_batches(param: caffe_pb2.NetParameter, state: caffe_pb2.NetState, size: int) -> None:
    """Divide the batch of each data layer by the number of ranks.

    Parameters
    ----------
    param : NetParameter
        The net; it is changed.
    state : NetState
        Tells which of its layers are meant.
    size : int
        How many ranks there are.

    Raises
    ------
    UnsupportedError
        If a batch cannot be divided.
    """
    for layer in param.layer:
        if not is_included(layer, state):
            continue
        field = next((name for name in _WITH_BATCH_SIZE if layer.HasField(name)), None)
        if field is None and (layer.bottom or not layer.top or layer.type == "Parameter"):
            continue
        if field is None:
            raise UnsupportedError(
                f"--split-batch: layer {layer.name!r} ({layer.type}) has no batch_size to divide"
            )
        settings = getattr(layer, field)
        if settings.batch_size % size:
            raise UnsupportedError(
                f"--split-batch: expected a batch_size that {size} ranks can share, got "
                f"{settings.batch_size} in layer {layer.name!r}"
            )
        settings.batch_size //= size


def sentence(world: World, net: Net, passes: int, split: bool) -> str:
    """Return the words that say what an iteration sees."""
    batch = batch_size(net)
    factors = f"{world.size} ranks x batch {batch}" + (f" x iter_size {passes}" * (passes > 1))
    whole = f"{factors} = effective batch {world.size * batch * passes}"
    if split:
        return f"{whole} (--split-batch: as one process has)"
    return f"{whole} (Caffe's meaning); --split-batch keeps {batch * passes}"
