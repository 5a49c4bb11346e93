"""Weights in and out of nets: binary caffemodels, HDF5 files, packed files, other nets."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sscaffe import hdf5
from sscaffe.blob import Blob
from sscaffe.caffemodel import Caffemodel, Parts, open_caffemodel
from sscaffe.errors import ShapeError, WeightsError
from sscaffe.glog import logger
from sscaffe.net.fused import MASKED, masked_blobs
from sscaffe.packed import is_packed, read_packed
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import (
    blobproto_shape,
    blobproto_to_array,
    fill_blobproto,
    has_legacy_shape,
    is_hdf5,
)
from sscaffe.upgrade import tell_of_old_layers

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]
LayerBlobs = Mapping[str, Sequence[Blob]]  # the blobs of each layer that has some, by its name
_SavedLayer = tuple[str, Sequence[caffe_pb2.BlobProto]]
Shared = Collection[tuple[str, int]]  # layer and index of blobs that belong to another layer

_LEGACY_AXES = 4


class _Found(NamedTuple):
    """An array in a file, and where it goes."""

    what: str
    blob: Blob
    values: Parts


def load(path: Path, layers: LayerBlobs, shared: Shared = ()) -> None:
    """Copy the weights of a file into the layers of the same names.

    Layers that only the file has are passed over; layers that only the net has keep their weights.
    All is checked before anything is copied.

    Parameters
    ----------
    path : path-like
        A caffemodel, binary or HDF5, or a packed file; which of them its content tells.
    layers : mapping
        The blobs of each layer.
    shared : collection of (str, int)
        Layer name and index of blobs that belong to another layer; HDF5 files lack them.

    Raises
    ------
    WeightsError
        If the file cannot be read, does not fit the layers, or has nothing for any of them.
    UnsupportedError
        If it is an HDF5 file and h5py is not installed.
    """
    if is_hdf5(path):
        _set_from(path, layers, _read_hdf5(path, layers, shared))
        return
    if is_packed(path):
        _set_from(path, layers, _read_packed(path, layers))
        return
    with open_caffemodel(path, whole_types=MASKED) as file:
        _set_from(path, layers, _read_binary(path, file, layers))


def read_weights(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Read the weights, not the biases, of layers from a file, without a net.

    Parameters
    ----------
    path : path-like
        A caffemodel, binary or HDF5, or a packed file.
    names : sequence of str
        The layers; those that the file does not have are passed over.

    Returns
    -------
    dict of str to ndarray
        The first blob of each layer, if it has two or more axes that are not 1.

    Raises
    ------
    WeightsError
        If the file cannot be read, or has none of the layers.
    UnsupportedError
        If it is an HDF5 file and h5py is not installed.
    """
    if is_hdf5(path):
        with hdf5.open_hdf5(path) as file:
            places = {name: f"data/{name}/0" for name in names}
            there = {n: p for n, p in places.items() if hdf5.find(file, p) is not None}
            found = {name: hdf5.read_array(file, place) for name, place in there.items()}
    elif is_packed(path):
        packed = [layer for layer in read_packed(path) if layer.blobs and layer.name in names]
        found = {layer.name: layer.blobs[0].array() for layer in packed}
    else:
        with open_caffemodel(path, MASKED) as model:
            saved = [(n, blobs[0]) for n, blobs in saved_layers(model.model) if blobs]
            found = {name: array_of(proto, model) for name, proto in saved if name in names}
    if not found:
        raise WeightsError(f"{os.fspath(path)}: expected weights for layers of the net, got none")
    # V1 files have shape (1, 1, N, K) for what is (N, K) now, and (1, 1, 1, N) for (N,).
    kept = {name: array.reshape(real_shape(array.shape)) for name, array in found.items()}
    return {name: array for name, array in kept.items() if array.ndim > 1}


def array_of(proto: caffe_pb2.BlobProto, file: Caffemodel) -> Array:
    """Return the values of a blob of an open caffemodel."""
    parts = list(file.values(proto)())
    return np.concatenate(parts).reshape(blobproto_shape(proto)) if parts else np.empty(0)


def real_shape(shape: Sequence[int]) -> Sequence[int]:
    """Return a shape without the leading ones that files of old have."""
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:] if len(shape) == _LEGACY_AXES and first >= 2 else shape


def load_proto(model: caffe_pb2.NetParameter, layers: LayerBlobs) -> None:
    """Copy the weights that a net brings along into its layers; those it does not have stay.

    Parameters
    ----------
    model : NetParameter
        The net; layers may have blobs.
    layers : mapping
        The blobs of each layer.

    Raises
    ------
    WeightsError
        If they do not fit.
    """
    saved = [(layer.name, layer.blobs) for layer in model.layer if layer.blobs]
    _set(_match("the net", saved, layers, _values_within))


def to_proto(
    param: caffe_pb2.NetParameter, blobs: Sequence[Sequence[Blob]], diff: bool = False
) -> caffe_pb2.NetParameter:
    """Return a net with its weights, as a caffemodel holds it.

    Parameters
    ----------
    param : NetParameter
        The net, with its Split layers.
    blobs : sequence
        For each of its layers, the blobs.
    diff : bool
        Add the gradients.
    """
    model = caffe_pb2.NetParameter(name=param.name, layer_count=len(param.layer))
    for layer_param, own in zip(param.layer, blobs, strict=True):
        layer = model.layer.add()
        layer.CopyFrom(layer_param)
        for blob in own:
            fill_blobproto(layer.blobs.add(), blob.host_data, blob.host_diff if diff else None)
    return model


def save_hdf5(
    path: Path,
    param: caffe_pb2.NetParameter,
    layers: LayerBlobs,
    shared: Shared = (),
    diff: bool = False,
) -> None:
    """Write the weights of a net to an HDF5 file: ``data/<layer>/<i>``, and ``diff/<layer>/<i>``.

    Parameters
    ----------
    path : path-like
        The file.
    param : NetParameter
        The net; each of its layers gets a group.
    layers : mapping
        The blobs of each layer.
    shared : collection of (str, int)
        Layer name and index of blobs that belong to another layer; they are left out.
    diff : bool
        Write the gradients too.

    Raises
    ------
    SscaffeError
        If the file cannot be written.
    UnsupportedError
        If h5py is not installed.
    """
    arrays: dict[str, Array | None] = {}
    for kind in ("data", "diff") if diff else ("data",):
        arrays.update({f"{kind}/{layer.name}": None for layer in param.layer})
        for name, blobs in layers.items():
            for i, blob in enumerate(blobs):
                if (name, i) not in shared:
                    array = blob.host_data if kind == "data" else blob.host_diff
                    arrays[f"{kind}/{name}/{i}"] = array
    hdf5.write_hdf5(path, arrays)


def share(source: LayerBlobs, target: LayerBlobs) -> None:
    """Make the blobs of a net the same arrays as those of another one, layer by layer.

    Parameters
    ----------
    source, target : mapping
        The blobs of each layer; layers that only one of them has are left alone.

    Raises
    ------
    ShapeError
        If layers of one name do not have blobs of the same shapes; then nothing is shared.
    """
    common = [(name, source[name], blobs) for name, blobs in target.items() if name in source]
    for name, theirs, ours in common:
        expected, got = ([blob.shape for blob in blobs] for blobs in (ours, theirs))
        if expected != got:
            raise ShapeError(f"blobs: expected shapes {expected} for layer {name!r}, got {got}")
    for _, theirs, ours in common:
        for blob, other in zip(ours, theirs, strict=True):
            blob.share_data(other)


def _set_from(path: Path, layers: LayerBlobs, found: Sequence[_Found]) -> None:
    if layers and not found:
        raise WeightsError(
            f"{os.fspath(path)}: expected weights for layers such as {next(iter(layers))!r}, got "
            "none for any layer of the net; layers are matched by name"
        )
    _set(found)


def _set(found: Sequence[_Found]) -> None:
    for what, _, values in found:
        if not all(np.isfinite(part).all() for part in values()):
            raise WeightsError(f"blobs: expected finite values, got NaN or infinity in {what}")
    for _, blob, values in found:
        target, start = blob.new_data().reshape(-1), 0
        for part in values():
            target[start : start + part.size] = blob.xp.asarray(part).reshape(-1)
            start += part.size


def _values_within(proto: caffe_pb2.BlobProto) -> Parts:
    return _whole(blobproto_to_array(proto))


def _whole(array: Array) -> Parts:
    return lambda: [array]


def _read_binary(path: Path, file: Caffemodel, layers: LayerBlobs) -> list[_Found]:
    tell_of_old_layers(file.model, os.fspath(path))
    saved = saved_layers(file.model)
    for name, protos in saved:
        if protos and name not in layers:
            logger.info("Ignoring source layer %s", name)
    _warn(path, layers, {name for name, _ in saved})
    return _match(os.fspath(path), saved, layers, file.values)


def _match(
    source: str,
    saved: Sequence[_SavedLayer],
    layers: LayerBlobs,
    values: Callable[[caffe_pb2.BlobProto], Parts],
) -> list[_Found]:
    """Return what a message has for the layers; of several of one name, the last with blobs."""
    found: list[_Found] = []
    for name, protos in dict(sorted(saved, key=lambda layer: bool(layer[1]))).items():
        if name not in layers:
            continue
        if len(protos) != len(layers[name]):
            raise _wrong_number(source, name, len(layers[name]), len(protos))
        for i, (blob, proto) in enumerate(zip(layers[name], protos, strict=True)):
            what = f"blob {i} of layer {name!r} in {source}"
            found.append(_read_proto(what, blob, proto, values))
    return found


def _read_packed(path: Path, layers: LayerBlobs) -> list[_Found]:
    found: list[_Found] = []
    saved = {layer.name: layer.blobs for layer in read_packed(path)}
    for name, packed in saved.items():
        if name not in layers:
            logger.info("Ignoring source layer %s", name)
            continue
        if len(packed) != len(layers[name]):
            raise _wrong_number(os.fspath(path), name, len(layers[name]), len(packed))
        for i, (blob, values) in enumerate(zip(layers[name], packed, strict=True)):
            what = f"blob {i} of layer {name!r} in {os.fspath(path)}"
            if values.shape != blob.shape:
                raise _wrong_shape(what, blob, values.shape)
            found.append(_Found(what, blob, _whole(values.array())))
    _warn(path, layers, saved)
    return found


def saved_layers(model: caffe_pb2.NetParameter) -> list[_SavedLayer]:
    """Return name and blobs of each layer, in whichever of the three forms it was written."""
    saved: list[_SavedLayer] = [(layer.name, masked_blobs(layer)) for layer in model.layer]
    for old in model.layers:
        oldest = old.HasField("layer")
        saved.append((old.layer.name, old.layer.blobs) if oldest else (old.name, old.blobs))
    return saved


def _read_proto(
    what: str,
    blob: Blob,
    proto: caffe_pb2.BlobProto,
    values: Callable[[caffe_pb2.BlobProto], Parts],
) -> _Found:
    try:
        shape = blobproto_shape(proto)
        parts = values(proto)
    except WeightsError as error:
        error.add_note(f"  in:     {what}")
        raise
    # Such files fill up with ones in front: a bias is (1, 1, 1, N).
    ones = (1,) * (_LEGACY_AXES - blob.ndim) if has_legacy_shape(proto) else ()
    if shape != ones + blob.shape:
        raise _wrong_shape(what, blob, shape)
    return _Found(what, blob, parts)


def _read_hdf5(path: Path, layers: LayerBlobs, shared: Shared) -> list[_Found]:
    found: dict[str, list[_Found]] = {}
    with hdf5.open_hdf5(path) as file:
        data = hdf5.find(file, "data")
        if not isinstance(data, hdf5.import_h5py().Group):
            raise WeightsError(f"{os.fspath(path)}: expected weights in a group named data")
        for name, blobs in layers.items():
            if hdf5.find(data, name) is not None:
                found[name] = _read_group(os.fspath(path), name, data, blobs, shared)
        used = {name.split("/")[0] for name in layers}
        for name in set(hdf5.names(data)) - used:
            if hdf5.names(hdf5.find(data, name)):
                logger.info("Ignoring source layer %s", name)
    _warn(path, layers, found)
    return [one for blobs in found.values() for one in blobs]


def _read_group(
    source: str, name: str, data: Any, blobs: Sequence[Blob], shared: Shared
) -> list[_Found]:
    entries = hdf5.names(hdf5.find(data, name))
    present = sorted(int(entry) for entry in entries if entry.isdecimal())
    owned = [i for i in range(len(blobs)) if (name, i) not in shared]
    if not set(owned) <= set(present) <= set(range(len(blobs))):
        raise _wrong_number(source, name, len(owned), len(present))
    return [
        _Found(
            f"blob {i} of layer {name!r} in {source}",
            blobs[i],
            _whole(hdf5.read_array(data, f"{name}/{i}", blobs[i].shape)),
        )
        for i in present
    ]


def _wrong_number(source: str, name: str, wanted: int, got: int) -> WeightsError:
    return WeightsError(
        f"blobs: expected {wanted} for layer {name!r}, got {got} in {source}; "
        "rename the layer to learn it from scratch"
    )


def _wrong_shape(what: str, blob: Blob, shape: tuple[int, ...]) -> WeightsError:
    return WeightsError(
        f"blobs: expected shape {blob.shape}, got {shape} for {what}; rename the layer to "
        "learn it from scratch"
    )


def _warn(path: Path, layers: LayerBlobs, found: Collection[str]) -> None:
    for name in layers:
        if name not in found:
            logger.warning("%s has no weights for layer %s, which keeps its own", path, name)
