"""The fields of a net that choose the kernels of its layers, and how to set them for a run."""

from collections.abc import Mapping
from dataclasses import dataclass

from sscaffe import conv
from sscaffe.proto import caffe_pb2


@dataclass(frozen=True)
class ModeField:
    """The field of a layer type that chooses its kernel."""

    message: str  # the field of LayerParameter that holds it
    name: str
    values: tuple[str, ...]  # the modes that have a kernel of their own, in the order of the enum
    dense: str  # the mode of all weights
    lowered: str | None = None  # the mode that does what Caffe has always done, if it is another


MODE_FIELDS = {
    "Convolution": ModeField(
        "convolution_param",
        "conv_mode",
        tuple(
            name
            for name, number in caffe_pb2.ConvolutionParameter.ConvMode.items()
            if number in conv.KERNELS and name != "AUTO"
        ),
        dense="DIRECT_DCONV",
        lowered="LOWERED_GEMM",
    ),
    "InnerProduct": ModeField(
        "inner_product_param",
        "gemm_mode",
        tuple(
            name
            for name in caffe_pb2.InnerProductParameter.GemmMode.DESCRIPTOR.values_by_name
            if name != "AUTO"
        ),
        dense="GEMM",
    ),
}
"""By layer type."""

CONV_MODES = tuple(caffe_pb2.ConvolutionParameter.ConvMode.keys())
"""What ``conv_mode`` may be."""


def set_mode(layer: caffe_pb2.LayerParameter, mode: str) -> None:
    """Choose the kernel of a layer of a type that has several."""
    field = MODE_FIELDS[layer.type]
    message = getattr(layer, field.message)
    number = message.DESCRIPTOR.fields_by_name[field.name].enum_type.values_by_name[mode].number
    setattr(message, field.name, number)


def set_conv_mode(param: caffe_pb2.NetParameter, mode: str) -> None:
    """Set the conv_mode of every convolution of a net, in place."""
    for layer in param.layer:
        if layer.type == "Convolution":
            set_mode(layer, mode)


def set_modes(param: caffe_pb2.NetParameter, modes: Mapping[str, str]) -> None:
    """Set the modes of some layers of a net, by their names, in place."""
    for layer in param.layer:
        if layer.name in modes and layer.type in MODE_FIELDS:
            set_mode(layer, modes[layer.name])
