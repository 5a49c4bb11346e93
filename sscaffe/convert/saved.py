"""Weights without a net: the layers that have some, and files of them in one form or another."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import SscaffeError, WeightsError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import fill_blobproto

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]


class Format(StrEnum):
    """What a file is."""

    CAFFEMODEL = "caffemodel"
    HDF5 = "hdf5"
    NPZ = "npz"
    SAFETENSORS = "safetensors"
    PACKED = "packed"
    ONNX = "onnx"
    PROTOTXT = "prototxt"


ENDINGS = {
    ".caffemodel.h5": Format.HDF5,
    ".h5": Format.HDF5,
    ".hdf5": Format.HDF5,
    ".caffemodel": Format.CAFFEMODEL,
    ".npz": Format.NPZ,
    ".safetensors": Format.SAFETENSORS,
    ".packed": Format.PACKED,
    ".onnx": Format.ONNX,
    ".prototxt": Format.PROTOTXT,
}


def format_of(path: PathLike) -> Format:
    """Return the format that the ending of a file's name tells.

    Raises
    ------
    SscaffeError
        If it is none of `ENDINGS`.
    """
    name = os.fspath(path).lower()
    for ending, found in ENDINGS.items():
        if name.endswith(ending):
            return found
    raise SscaffeError(
        f"{os.fspath(path)}: expected a name that ends in {', '.join(ENDINGS)}, got "
        f"{Path(name).suffix or 'no ending'}; or say what it is, with --from or --to"
    )


@dataclass
class SavedLayer:
    """A layer in a file of weights.

    Attributes
    ----------
    name : str
        By which a net finds it.
    type : str
        Its type; empty where the file does not tell.
    arrays : list of ndarray
        Its blobs, as the file has them.
    """

    name: str
    type: str = ""
    arrays: list[Array] = field(default_factory=list)

    def singles(self) -> list[Array]:
        """Return the blobs as float32; that some lose digits is logged."""
        for array in self.arrays:
            if array.dtype == np.float64 and (array.astype(np.float32) != array).any():
                logger.warning("%s: weights in double precision are rounded to single", self.name)
                break
        return [np.asarray(array, np.float32, order="C") for array in self.arrays]


def named(layers: Sequence[SavedLayer]) -> dict[str, Array]:
    """Return each array by its key, ``<layer>/<number of the blob>``."""
    return {f"{s.name}/{i}": array for s in layers for i, array in enumerate(s.arrays)}


def from_named(arrays: dict[str, Array], source: PathLike) -> list[SavedLayer]:
    """Return the layers whose arrays have keys as `named` gives them.

    Raises
    ------
    WeightsError
        If a key is of another form, blobs of a layer are missing, or an array is not of numbers.
    """
    found: dict[str, dict[int, Array]] = {}
    for key, array in arrays.items():
        name, slash, number = key.rpartition("/")
        if not slash or not number.isdecimal() or len(number) > 3:
            raise WeightsError(
                f"{os.fspath(source)}: expected arrays with names such as conv1/0, got {key!r:.60}"
            )
        if array.dtype.kind not in "iuf":
            raise WeightsError(f"{os.fspath(source)}: {key}: expected numbers, got {array.dtype}")
        found.setdefault(name, {})[int(number)] = array
    layers = []
    for name, blobs in found.items():
        if sorted(blobs) != list(range(len(blobs))):
            numbers = ", ".join(map(str, sorted(blobs)))
            raise WeightsError(
                f"{os.fspath(source)}: expected blobs 0 to {len(blobs) - 1} for layer {name!r}, "
                f"got {numbers}"
            )
        layers.append(SavedLayer(name, "", [blobs[i] for i in range(len(blobs))]))
    return layers


def in_order_of(layers: Sequence[SavedLayer], net: caffe_pb2.NetParameter) -> list[SavedLayer]:
    """Return the layers of a file that a net has too, in its order, with their types.

    Raises
    ------
    WeightsError
        If it has none of them.
    """
    saved = {layer.name: layer for layer in layers}
    kinds = {layer.name: layer.type for layer in net.layer}
    for name in saved.keys() - kinds.keys():
        logger.info("Ignoring source layer %s", name)
    found = [SavedLayer(n, kind, saved[n].arrays) for n, kind in kinds.items() if n in saved]
    if not found and layers:
        raise WeightsError(
            f"expected weights for layers of the net, such as {next(iter(kinds), '')!r}, got "
            f"{layers[0].name!r} and others; layers are matched by name"
        )
    return found


def to_caffemodel(layers: Sequence[SavedLayer], name: str = "") -> caffe_pb2.NetParameter:
    """Return weights as the message of a caffemodel."""
    model = caffe_pb2.NetParameter(name=name)
    for saved in layers:
        layer = model.layer.add(name=saved.name, type=saved.type)
        for array in saved.singles():
            fill_blobproto(layer.blobs.add(), array)
    return model
