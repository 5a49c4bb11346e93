"""The newest snapshot that training can go on from."""

import re
from collections.abc import Collection
from pathlib import Path

from sscaffe.errors import SscaffeError, WeightsError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import read_binary
from sscaffe.solver.snapshot import find_model, read_state

_NAME = re.compile(r"_iter_(\d+)\.solverstate(?:\.h5)?")


Stamp = tuple[str, int]
"""The name of a solverstate, and when it was written."""


def stamps(prefix: str, root: str = "") -> frozenset[Stamp]:
    """Return the solverstates that are there now, whole or not, for `newest_complete`."""
    start = Path(prefix)
    return frozenset(_stamp(Path(root, start.with_name(n))) for n in _names(prefix, root))


def newest_complete(prefix: str, root: str = "", older: Collection[Stamp] = ()) -> str:
    """Return the solverstate with the most iterations that is whole, as is its caffemodel.

    Parameters
    ----------
    prefix : str
        What the names of the snapshots start with.
    root : str
        The folder that relative paths start from.
    older : collection of Stamp
        Solverstates of another training, which count for nothing.

    Returns
    -------
    str
        Its path, from `root`; empty if there are no snapshots at all.

    Raises
    ------
    WeightsError
        If there are solverstates, but none that could be used; the message says why.
    """
    start = Path(prefix)
    refused: list[str] = []
    for name in _names(prefix, root):
        path = start.with_name(name)
        if older and _stamp(Path(root, path)) in older:
            continue
        try:
            _require_complete(Path(root, path), root)
        except SscaffeError as error:
            logger.warning("%s is passed over: %s", path, error)
            refused.append(str(error))
        else:
            return str(path)
    if refused:
        raise WeightsError(
            f"snapshot: expected a complete pair of solverstate and caffemodel at {prefix}, got "
            f"{len(refused)} that cannot be used, the newest because of: {refused[0]}; remove "
            "them to start anew"
        )
    return ""


def _stamp(path: Path) -> Stamp:
    return path.name, path.stat().st_mtime_ns


def _names(prefix: str, root: str) -> list[str]:
    """Return the names of the solverstates, the most iterations first, then the latest."""
    path, start = Path(root, prefix), Path(prefix).name
    found: list[tuple[int, float, str]] = []
    for file in path.parent.glob("*.solverstate*"):
        match = _NAME.fullmatch(file.name.removeprefix(start))
        if match and file.name.startswith(start):
            found.append((int(match[1]), file.stat().st_mtime, file.name))
    return [name for _, _, name in sorted(found, reverse=True)]


def _require_complete(path: Path, root: str) -> None:
    state = read_state(path)
    model = find_model(state, path, root)
    # Caffe's states say nothing about their caffemodel, which may be cut short.
    if not state.proto.HasField("model_size") and model.suffix != ".h5":
        read_binary(model, caffe_pb2.NetParameter)
