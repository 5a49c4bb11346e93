"""What a file of weights holds, layer by layer, without a net."""

import os
from dataclasses import dataclass

import numpy as np

from sscaffe import hdf5
from sscaffe.blob import Array, Blob, Param
from sscaffe.caffemodel import open_caffemodel
from sscaffe.errors import WeightsError
from sscaffe.net.fused import MASKED
from sscaffe.net.weights import array_of, real_shape, saved_layers
from sscaffe.packed import is_packed, read_packed
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import is_hdf5

_CONVOLUTIONS = ("Convolution", "Deconvolution", "DepthwiseConvolution")


@dataclass(frozen=True)
class SavedLayer:
    """The blobs of a layer in a file.

    Attributes
    ----------
    arrays : list of ndarray
        Its blobs.
    param : LayerParameter
        What the file says of it; empty but for the name where it does not, as in HDF5.
    """

    arrays: list[Array]
    param: caffe_pb2.LayerParameter

    @property
    def weights(self) -> Param | None:
        """Its weight matrix, or the factors of Scale as one; None if it has none."""
        if not self.arrays or self.arrays[0].size == 0:
            return None
        if self.arrays[0].ndim < 2 and self.param.type != "Scale":
            return None
        array, layer = self.arrays[0], self.param
        blob = Blob(array.shape, array.dtype)
        blob.set_data(array)
        spec = layer.param[0] if layer.param else caffe_pb2.ParamSpec()
        is_convolution = layer.type in _CONVOLUTIONS
        group = layer.convolution_param.group if is_convolution else 1
        if array.ndim and array.shape[0] % max(1, group):
            group = 1
        kernel = int(np.prod(array.shape[2:])) if is_convolution else 1
        return Param(blob, layer.name, 0, spec, max(1, group), kernel)


def read_saved(path: str | os.PathLike[str]) -> dict[str, SavedLayer]:
    """Read the layers that have blobs, of a caffemodel, binary or HDF5, or of a packed file.

    Raises
    ------
    WeightsError
        If the file cannot be read, or has no weights.
    UnsupportedError
        If it is an HDF5 file and h5py is not installed.
    """
    read = _from_hdf5 if is_hdf5(path) else _from_packed if is_packed(path) else _from_binary
    found = read(path)
    if not found:
        raise WeightsError(f"{os.fspath(path)}: expected layers with weights, got none")
    return found


def _from_binary(path: str | os.PathLike[str]) -> dict[str, SavedLayer]:
    with open_caffemodel(path, MASKED) as file:
        described = {layer.name: layer for layer in file.model.layer}
        found = {}
        for name, protos in saved_layers(file.model):
            if not protos:
                continue
            param = caffe_pb2.LayerParameter(name=name)
            if name in described:
                param.CopyFrom(described[name])
                param.ClearField("blobs")
            found[name] = SavedLayer([_plain(array_of(p, file)) for p in protos], param)
    return found


def _from_hdf5(path: str | os.PathLike[str]) -> dict[str, SavedLayer]:
    with hdf5.open_hdf5(path) as file:
        found = {}
        for name in _layer_names(hdf5.find(file, "data"), ""):
            blobs = [b for b in hdf5.names(hdf5.find(file, f"data/{name}")) if b.isdigit()]
            arrays = [hdf5.read_array(file, f"data/{name}/{b}") for b in sorted(blobs, key=int)]
            if arrays:
                found[name] = SavedLayer(arrays, caffe_pb2.LayerParameter(name=name))
    return found


def _from_packed(path: str | os.PathLike[str]) -> dict[str, SavedLayer]:
    return {
        layer.name: SavedLayer(
            [blob.array() for blob in layer.blobs],
            caffe_pb2.LayerParameter(name=layer.name, type=layer.type),
        )
        for layer in read_packed(path)
        if layer.blobs
    }


def _layer_names(group: object, start: str) -> list[str]:
    """Return the groups that hold blobs; those of layers such as ``a/b`` lie within others."""
    found = []
    for name in hdf5.names(group):
        inside = hdf5.names(hdf5.find(group, name))
        if any(part.isdigit() for part in inside):
            found.append(start + name)
        found += _layer_names(hdf5.find(group, name), f"{start}{name}/") if inside else []
    return found


def _plain(array: Array) -> Array:
    return array.reshape(real_shape(array.shape))
