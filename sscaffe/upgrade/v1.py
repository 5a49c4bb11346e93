"""Layers of 2014, ``layers { type: CONVOLUTION ... }``, in the form of today."""

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2
from sscaffe.upgrade.fields import copy_field

_Net = caffe_pb2.NetParameter
_V1 = caffe_pb2.V1LayerParameter
_Layer = caffe_pb2.LayerParameter

# The types whose names are not those of 2014 with each word capitalized.
_NAMES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "LRN_MAP": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}

# Lists with a value for each blob, and the field of its `param` of today.
_PARAM = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}


def type_name(number: int) -> str:
    """Return the name of a layer type of 2014."""
    old = _V1.LayerType.Name(number)
    return _NAMES.get(old, "".join(word.capitalize() for word in old.split("_")))


def is_needed(net: _Net) -> bool:
    """Tell whether a net has layers of 2014."""
    return bool(net.layers)


def upgrade(net: _Net) -> _Net:
    """Return the net with its layers in the form of today.

    Raises
    ------
    PrototxtError
        If some of its layers have the form of today already: their order is not known.
    """
    if net.layer:
        raise PrototxtError(
            f"layers: expected layer or layers, got {len(net.layer)} layer and "
            f"{len(net.layers)} layers; write each as layer, with a type such as "
            '"Convolution"'
        )
    upgraded = _Net()
    upgraded.CopyFrom(net)
    del upgraded.layers[:]
    upgraded.ClearField("version")
    for old in net.layers:
        _upgrade_layer(old, upgraded.layer.add())
    return upgraded


def _upgrade_layer(old: _V1, new: _Layer) -> None:
    for descriptor, value in old.ListFields():
        name = descriptor.name
        if name == "type":
            new.type = type_name(value)
        elif name not in _PARAM:
            copy_field(new, name, value)
    for old_name, field in _PARAM.items():
        for i, value in enumerate(getattr(old, old_name)):
            if i == len(new.param):
                new.param.add()
            setattr(new.param[i], field, value)
    if old.type == _V1.LRN_MAP:
        new.lrn_param.norm_region = caffe_pb2.LRNParameter.WITHIN_CHANNEL
