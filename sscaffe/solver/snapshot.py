"""Snapshots: a .caffemodel with the weights, a .solverstate with all else that training needs.

Each file is written whole or not at all, the .solverstate last, so that what it names is there.
Caffe reads both, and skips what only sscaffe writes: random numbers, masks, places in the data.
"""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from sscaffe import hdf5
from sscaffe.blob import Array, Blob, Param
from sscaffe.errors import WeightsError
from sscaffe.proto import caffe_pb2
from sscaffe.proto.texts import texts_are_valid
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import (
    blobproto_to_array,
    fill_blobproto,
    is_hdf5,
    read_binary,
    write_binary,
)

_OURS = "sscaffe"  # the dataset of an HDF5 state that has what Caffe does not write
_HISTORY = "history"
_CHUNK = 1 << 20
_MODELS = (".caffemodel", ".caffemodel.h5")  # no other file is opened because a state names it
_ENOUGH = 200  # of a name, in a message


@dataclass
class State:
    """What a .solverstate holds."""

    proto: caffe_pb2.SolverState  # without history
    history: list[Array]


def prefix(settings: caffe_pb2.SolverParameter, root: str, source: str, net_name: str) -> str:
    """Return what the names of snapshots start with.

    Parameters
    ----------
    settings : SolverParameter
        snapshot_prefix: the start of a name, or a folder.
    root : str
        The folder that relative paths start from.
    source : str
        The solver's file, whose name goes with a folder; may be empty.
    net_name : str
        The name that goes with a folder otherwise; may be empty.
    """
    given = settings.snapshot_prefix
    if given and not given.endswith("/") and not Path(root, given).is_dir():
        return given
    return str(Path(given, Path(source).stem or net_name or "solver"))


def write_state(path: Path, proto: caffe_pb2.SolverState, history: Sequence[Blob]) -> None:
    """Write a .solverstate, HDF5 if its name ends in ``.h5``, else binary.

    Parameters
    ----------
    path : Path
        The file; what stood there is replaced.
    proto : SolverState
        All but the history, which is added to it for a binary file.
    history : sequence of Blob
        In the order of the file.

    Raises
    ------
    SscaffeError
        If the file cannot be written.
    """
    if path.suffix != ".h5":
        for blob in history:
            fill_blobproto(proto.history.add(), blob.host_data)
        write_binary(path, proto)
        return
    arrays: dict[str, Array | None] = {
        "iter": np.array([proto.iter], np.int32),
        # With a byte of 0 at the end, as HDF5's own functions write a string.
        "learned_net": np.array(
            proto.learned_net.encode(), f"S{len(proto.learned_net.encode()) + 1}"
        ),
        "current_step": np.array([proto.current_step], np.int32),
        _HISTORY: None,
        _OURS: np.frombuffer(proto.SerializeToString(), np.uint8),
    }
    arrays.update({f"{_HISTORY}/{i}": blob.host_data for i, blob in enumerate(history)})
    hdf5.write_hdf5(path, arrays)


def read_state(path: str | os.PathLike[str]) -> State:
    """Read a .solverstate, binary or HDF5, of sscaffe or of Caffe.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    if is_hdf5(path):
        return _read_hdf5(path)
    proto = read_binary(path, caffe_pb2.SolverState)
    try:
        history = [blobproto_to_array(blob) for blob in proto.history]
    except WeightsError as error:
        error.add_note(f"  in:     history of {os.fspath(path)}")
        raise
    proto.ClearField("history")
    return State(proto, history)


def _read_hdf5(path: str | os.PathLike[str]) -> State:
    with hdf5.open_hdf5(path) as file:
        proto = _read_ours(file)
        proto.iter = int(hdf5.read_array(file, "iter", (1,))[0])
        proto.current_step = int(hdf5.read_array(file, "current_step", (1,))[0])
        proto.learned_net = hdf5.read_text(file, "learned_net")
        entries = hdf5.names(hdf5.find(file, _HISTORY))
        history = [hdf5.read_array(file, f"{_HISTORY}/{i}") for i in range(len(entries))]
    return State(proto, history)


def _read_ours(file: Any) -> caffe_pb2.SolverState:
    if hdf5.find(file, _OURS) is None:
        return caffe_pb2.SolverState()
    content = hdf5.read_array(file, _OURS).astype(np.uint8).tobytes()
    try:
        proto = caffe_pb2.SolverState.FromString(content)
    except DecodeError as error:
        raise WeightsError(f"{_OURS}: expected a SolverState, got something else") from error
    if not texts_are_valid(proto):
        raise WeightsError(f"{_OURS}: expected texts in UTF-8, got something else")
    return proto


def describe_model(proto: caffe_pb2.SolverState, path: Path, name: str) -> None:
    """Note in a state which file has its weights.

    Parameters
    ----------
    proto : SolverState
        The state.
    path : Path
        The file.
    name : str
        What to call it, for another run that starts in the same folder.
    """
    proto.learned_net = name
    proto.model_size, proto.model_crc32 = path.stat().st_size, _crc32(path)


def find_model(state: State, path: Path, root: str) -> Path:
    """Return the file with the weights that go with a state.

    Parameters
    ----------
    state : State
        The state.
    path : Path
        Its file; the weights may lie beside it.
    root : str
        The folder that relative paths start from.

    Raises
    ------
    WeightsError
        If there is no such file, or it is not the one that was written with the state.
    """
    proto = state.proto
    if not proto.learned_net:
        raise WeightsError(f"{path}: expected a solverstate with a learned_net, got none")
    named = Path(root, proto.learned_net)
    if not named.name.endswith(_MODELS):
        raise WeightsError(
            f"learned_net: expected a name that ends in {' or '.join(_MODELS)}, got "
            f"{proto.learned_net[:_ENOUGH]!r} in {path}"
        )
    places = list(dict.fromkeys((named, path.parent / named.name)))
    models = [place for place in places if _is_file(place)]
    if not models:
        raise WeightsError(
            f"learned_net: {str(named)[:_ENOUGH]}, which has the weights for {path}, does not exist"
        )
    if not proto.HasField("model_size"):
        return models[0]
    got: list[str] = []
    for model in models:
        size, checksum = model.stat().st_size, _crc32(model)
        if (size, checksum) == (proto.model_size, proto.model_crc32):
            return model
        got.append(f"{size} bytes with {checksum:08x} in {model}")
    raise WeightsError(
        f"learned_net: expected the file that was written with {path}, {proto.model_size} bytes "
        f"with CRC-32 {proto.model_crc32:08x}, got {' and '.join(got)}"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def check_state(state: State, history: Sequence[Blob], solver_type: str, path: Path) -> None:
    """Check that a state was written by a solver of this type, for such a net, and is whole.

    Raises
    ------
    WeightsError
        If not.
    """
    proto = state.proto
    if proto.iter < 0:
        raise WeightsError(f"iter: expected 0 or more, got {proto.iter} in {path}")
    try:
        for place in filter(None, (proto.random_state, *proto.rank_random_state)):
            RandomNumbers(0).set_state(place)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    if proto.HasField("solver_type") and proto.solver_type != solver_type:
        raise WeightsError(
            f"type: expected a state of {solver_type}, got one of {proto.solver_type} in {path}; "
            f"set type: {proto.solver_type!r}, or start from its weights alone"
        )
    if len(history) != len(state.history):
        raise WeightsError(
            f"history: expected {len(history)} blobs for {solver_type}, got "
            f"{len(state.history)} in {path}; it belongs to another net or type of solver"
        )
    for i, (blob, array) in enumerate(zip(history, state.history, strict=True)):
        if blob.count != array.size:
            raise WeightsError(
                f"history: expected shape {blob.shape} for blob {i}, got {array.shape} in {path}; "
                "it belongs to another net"
            )


def save_masks(proto: caffe_pb2.SolverState, params: Sequence[Param]) -> None:
    """Note in a state which weights are frozen."""
    for param in params:
        if param.mask is not None:
            bits = np.packbits(param.mask.reshape(-1), bitorder="little").tobytes()
            mask = proto.mask.add(layer=param.layer_name, param=param.index, bits=bits)
            mask.shape.dim.extend(param.shape)


def read_masks(proto: caffe_pb2.SolverState, params: Sequence[Param]) -> dict[str, Array]:
    """Return the masks in a state, by the name of the parameter.

    Raises
    ------
    WeightsError
        If one does not fit its parameter.
    """
    known = {(param.layer_name, param.index): param for param in params}
    masks: dict[str, Array] = {}
    for mask in proto.mask:
        param = known.get((mask.layer, mask.param))
        if param is None or tuple(mask.shape.dim) != param.shape:
            raise WeightsError(
                f"mask: expected one for a parameter of the net, got one for blob {mask.param} of "
                f"layer {mask.layer!r}, shape {tuple(mask.shape.dim)}"
            )
        packed = np.frombuffer(mask.bits, np.uint8)
        if packed.size != (param.blob.count + 7) // 8:
            raise WeightsError(
                f"mask: expected {param.blob.count} bits for {param.name}, got {8 * packed.size}"
            )
        bits = np.unpackbits(packed, count=param.blob.count, bitorder="little")
        masks[param.name] = param.xp.asarray(bits.astype(bool)).reshape(param.shape)
    return masks


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
