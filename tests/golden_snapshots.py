"""Snapshot files that were written, compared with those of a golden case."""

import h5py
import numpy as np

from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import read_binary


def compare_state(case, check, name):
    """Compare a solverstate that was written with what the recorded one holds."""
    info = case.info
    if name.endswith(".h5"):
        own = _tree(name)
        for path, entry in info["state_tree"].items():
            check.equal("state", path, own.get(path), entry)
        return
    state = read_binary(name, caffe_pb2.SolverState)
    for field, value in info["state"].items():
        check.equal("state", field, getattr(state, field), value)
    for number, array in case.group("history").items():
        got = np.array(state.history[int(number)].data).reshape(array.shape)
        check.close("state", f"history {number}", got, array)


def compare_model(case, check, name):
    """Compare a caffemodel that was written with what the recorded one holds."""
    info = case.info
    if name.endswith(".h5"):
        check.equal("model", "tree", _tree(name), info["model_tree"])
    else:
        own = read_binary(name, caffe_pb2.NetParameter)
        layers = [_describe(layer) for layer in own.layer]
        check.equal("model", "layers", layers, info["model_layers"])
    net = Net("net.prototxt", TRAIN, weights=name)
    for weight, array in case.group("final").items():
        check.close("model", weight, blob_of(net, weight).host_data, array)


def _describe(layer):
    return {
        "bottom": list(layer.bottom),
        "n_blobs": len(layer.blobs),
        "name": layer.name,
        "phase": layer.phase,
        "shapes": [list(blob.shape.dim) for blob in layer.blobs],
        "top": list(layer.top),
        "type": layer.type,
        "with_diff": [len(blob.diff) > 0 for blob in layer.blobs],
    }


def _tree(path):
    entries = {}

    def note(name, entry):
        is_array = isinstance(entry, h5py.Dataset)
        entries[name] = [list(entry.shape), str(entry.dtype)] if is_array else "group"

    with h5py.File(path) as file:
        file.visititems(note)
    return entries


def blob_of(net, name):
    """Return the blob of a net that a golden case calls ``layer/index``."""
    layer, _, index = name.rpartition("/")
    return net.params[layer][int(index)]
