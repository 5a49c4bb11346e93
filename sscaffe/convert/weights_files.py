"""Files of weights in every format: read so that a crafted one does no harm, written whole."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sscaffe import hdf5
from sscaffe.convert.npz import read_npz, write_npz
from sscaffe.convert.safetensors_file import read_safetensors, write_safetensors
from sscaffe.convert.saved import Array, Format, PathLike, SavedLayer, from_named, to_caffemodel
from sscaffe.errors import WeightsError
from sscaffe.net.fused import MASKED, masked_blobs
from sscaffe.packed import pack, read_packed, write_packed
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import blobproto_to_array, has_legacy_shape, read_binary, write_binary
from sscaffe.upgrade import upgrade_net

Layers = Sequence[SavedLayer]

_DEEPEST = 32  # groups within groups; links may make rings
_FILTERS = ("Convolution", "Deconvolution")


class _Kind(NamedTuple):
    read: Callable[[PathLike], list[SavedLayer]]
    write: Callable[[PathLike, Layers], None]


def read_weights(path: PathLike, kind: Format) -> list[SavedLayer]:
    """Read all weights of a file.

    Parameters
    ----------
    path : path-like
        The file.
    kind : Format
        What it is: one of `KINDS`.

    Raises
    ------
    WeightsError
        If it cannot be read, or is something else, or has no weights.
    UnsupportedError
        If a library that reads it is not installed.
    """
    layers = [layer for layer in KINDS[kind].read(path) if layer.arrays]
    if not layers:
        raise WeightsError(f"{os.fspath(path)}: expected weights, got a file without any")
    return layers


def write_weights(path: PathLike, kind: Format, layers: Layers) -> None:
    """Write weights to a file, so that a crash leaves the old file or the new one.

    Raises
    ------
    SscaffeError
        If it cannot be written.
    UnsupportedError
        If a library that writes it is not installed.
    """
    KINDS[kind].write(path, layers)


def _read_caffemodel(path: PathLike) -> list[SavedLayer]:
    model = upgrade_net(read_binary(path, caffe_pb2.NetParameter), os.fspath(path))
    layers = []
    for layer in model.layer:
        saved = SavedLayer(layer.name, MASKED.get(layer.type, layer.type))
        try:
            blobs = masked_blobs(layer)
            saved.arrays = [_array(saved.type, i, blob) for i, blob in enumerate(blobs)]
        except WeightsError as error:
            raise WeightsError(f"{os.fspath(path)}: layer {layer.name!r}: {error}") from None
        layers.append(saved)
    return layers


def _array(kind: str, index: int, proto: caffe_pb2.BlobProto) -> Array:
    """Return an array, without the ones that files of old put in front of its shape."""
    array = blobproto_to_array(proto)
    if not has_legacy_shape(proto) or (kind in _FILTERS and index == 0):
        return array
    axes = 2 if kind == "InnerProduct" and index == 0 else 1
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array


def _write_caffemodel(path: PathLike, layers: Layers) -> None:
    write_binary(path, to_caffemodel(layers))


def _read_hdf5(path: PathLike) -> list[SavedLayer]:
    with hdf5.open_hdf5(path) as file:
        data = hdf5.find(file, "data")
        if not isinstance(data, hdf5.import_h5py().Group):
            raise WeightsError("expected weights in a group named data")
        arrays = {key: hdf5.read_array(data, key) for key in _keys(data, "", 0)}
    return from_named(arrays, path)


def _keys(group: Any, prefix: str, depth: int) -> list[str]:
    """Return the paths of all arrays below a group."""
    if depth > _DEEPEST:
        raise WeightsError(f"{prefix[:60]}: expected at most {_DEEPEST} groups within each other")
    found: list[str] = []
    for name in hdf5.names(group):
        place = hdf5.find(group, name)
        if isinstance(place, hdf5.import_h5py().Group):
            found += _keys(place, f"{prefix}{name}/", depth + 1)
        else:
            found.append(prefix + name)
    return found


def _write_hdf5(path: PathLike, layers: Layers) -> None:
    hdf5.write_hdf5(
        path, {f"data/{s.name}/{i}": array for s in layers for i, array in enumerate(s.singles())}
    )


def _read_packed(path: PathLike) -> list[SavedLayer]:
    return [
        SavedLayer(layer.name, layer.type, [blob.array() for blob in layer.blobs])
        for layer in read_packed(path)
    ]


def _write_packed(path: PathLike, layers: Layers) -> None:
    write_packed(path, [pack(layer.name, layer.type, layer.singles()) for layer in layers])


KINDS = {
    Format.CAFFEMODEL: _Kind(_read_caffemodel, _write_caffemodel),
    Format.HDF5: _Kind(_read_hdf5, _write_hdf5),
    Format.NPZ: _Kind(read_npz, write_npz),
    Format.SAFETENSORS: _Kind(read_safetensors, write_safetensors),
    Format.PACKED: _Kind(_read_packed, _write_packed),
}
