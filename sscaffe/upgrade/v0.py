"""Layers of 2013, ``layers { layer { type: "conv" ... } }``, in the form of 2014."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.upgrade.fields import copy_field

_Net = caffe_pb2.NetParameter
_V1 = caffe_pb2.V1LayerParameter

_PADDING = "padding"  # a layer type that became a field of those after it

# For each type, its name of 2014, and the message that has its settings.
_TYPES = {
    "accuracy": ("ACCURACY", ""),
    "bnll": ("BNLL", ""),
    "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"),
    "data": ("DATA", "data_param"),
    "dropout": ("DROPOUT", "dropout_param"),
    "euclidean_loss": ("EUCLIDEAN_LOSS", ""),
    "flatten": ("FLATTEN", ""),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"),
    "hdf5_output": ("HDF5_OUTPUT", ""),
    "im2col": ("IM2COL", "convolution_param"),
    "images": ("IMAGE_DATA", "image_data_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", ""),
    "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU", ""),
    "sigmoid": ("SIGMOID", ""),
    "softmax": ("SOFTMAX", ""),
    "softmax_loss": ("SOFTMAX_LOSS", ""),
    "split": ("SPLIT", ""),
    "tanh": ("TANH", ""),
    "window_data": ("WINDOW_DATA", "window_data_param"),
}

_WEIGHTED, _WINDOWS = ("conv", "innerproduct"), ("conv", "im2col", "pool")

# For each field, the types that obey it, and what it is called in their settings.
_FIELDS = {
    "num_output": (_WEIGHTED, "num_output"),
    "biasterm": (_WEIGHTED, "bias_term"),
    "weight_filler": (_WEIGHTED, "weight_filler"),
    "bias_filler": (_WEIGHTED, "bias_filler"),
    "pad": (_WINDOWS, "pad"),
    "kernelsize": (_WINDOWS, "kernel_size"),
    "stride": (_WINDOWS, "stride"),
    "group": (("conv",), "group"),
    "pool": (("pool",), "pool"),
    "dropout_ratio": (("dropout",), "dropout_ratio"),
    "local_size": (("lrn",), "local_size"),
    "alpha": (("lrn",), "alpha"),
    "beta": (("lrn",), "beta"),
    "k": (("lrn",), "k"),
    "source": (("data", "hdf5_data", "images", "window_data", "infogain_loss"), "source"),
    "batchsize": (("data", "hdf5_data", "images", "window_data"), "batch_size"),
    "rand_skip": (("data", "images"), "rand_skip"),
    "shuffle_images": (("images",), "shuffle"),
    "new_height": (("images",), "new_height"),
    "new_width": (("images",), "new_width"),
    "concat_dim": (("concat",), "concat_dim"),
    "det_fg_threshold": (("window_data",), "fg_threshold"),
    "det_bg_threshold": (("window_data",), "bg_threshold"),
    "det_fg_fraction": (("window_data",), "fg_fraction"),
    "det_context_pad": (("window_data",), "context_pad"),
    "det_crop_mode": (("window_data",), "crop_mode"),
}
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_PER_AXIS = ("pad", "kernel_size", "stride")
_UNCHANGED = ("name", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param")


def is_needed(net: _Net) -> bool:
    """Tell whether a net has layers of 2013."""
    return any(layer.HasField("layer") for layer in net.layers)


def upgrade(net: _Net) -> _Net:
    """Return the net with its layers in the form of 2014, and padding where it is obeyed.

    Fields that the type of a layer never obeyed are left out, and logged.

    Raises
    ------
    PrototxtError
        If a layer has a type that there was not, or padding leads to a layer that has none.
    """
    upgraded = _Net()
    upgraded.CopyFrom(net)
    del upgraded.layers[:]
    for layer in _without_padding(net):
        _upgrade_layer(layer, upgraded.layers.add())
    return upgraded


def _without_padding(net: _Net) -> Iterator[_V1]:
    """Yield the layers but those of padding, whose readers get the field `pad` instead."""
    makers: dict[str, _V1] = {}
    for layer in net.layers:
        padding = [makers[name] for name in layer.bottom if name in makers]
        padding = [maker for maker in padding if maker.layer.type == _PADDING]
        makers.update((top, layer) for top in layer.top)
        if layer.layer.type == _PADDING:
            continue
        if padding:
            _check_padding(layer, padding[0])
            padded = _V1()
            padded.CopyFrom(layer)
            padded.layer.pad = padding[0].layer.pad
            padded.bottom[0] = padding[0].bottom[0]
            yield padded
        else:
            yield layer


def _check_padding(layer: _V1, padding: _V1) -> None:
    what = f"padding layer {padding.layer.name!r}"
    if layer.layer.type not in _WINDOWS:
        raise PrototxtError(
            f"bottom: {what} leads to layer {layer.layer.name!r} of type {layer.layer.type!r}; "
            f"expected {' or '.join(_WINDOWS)}"
        )
    if len(layer.bottom) != 1 or len(padding.bottom) != 1 or len(padding.top) != 1:
        raise PrototxtError(
            f"bottom: expected one bottom and one top of {what}, and one bottom of layer "
            f"{layer.layer.name!r} that reads it"
        )


def _upgrade_layer(old: _V1, new: _V1) -> None:
    if not old.HasField("layer"):
        new.CopyFrom(old)
        return
    v0 = old.layer
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    settings = ""
    if v0.HasField("type"):
        if v0.type not in _TYPES:
            raise PrototxtError(
                f"type: {v0.type!r} of layer {v0.name!r} is no layer type of 2013; write it as "
                'layer, with a type such as "Convolution"'
            )
        type_name, settings = _TYPES[v0.type]
        new.type = getattr(_V1, type_name)
    for descriptor, value in v0.ListFields():
        name = descriptor.name
        takers, new_name = _FIELDS.get(name, ((), ""))
        if name in _UNCHANGED:
            _put(new, name, value)
        elif name in _TRANSFORM:
            _put(new.transform_param, _TRANSFORM[name], value)
        elif v0.type in takers:
            _put(getattr(new, settings), new_name, value)
        elif name != "type":
            logger.warning("Unknown parameter %s for layer type %s", name, v0.type)


def _put(message: Message, name: str, value: Any) -> None:
    """Set a field of any kind; where there may be one size an axis, there is one for all."""
    if isinstance(message, caffe_pb2.ConvolutionParameter) and name in _PER_AXIS:
        value = [value]
    copy_field(message, name, value)
