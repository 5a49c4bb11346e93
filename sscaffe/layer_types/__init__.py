"""Every layer type, one file each; importing this package registers them all."""

import importlib
import pkgutil
from typing import Any

import numpy as np

from sscaffe import unsupported
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.layer import REGISTRY, TEST, Layer
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_names import nearest
from sscaffe.random_numbers import RandomNumbers

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def create_layer(
    layer_param: caffe_pb2.LayerParameter,
    phase: int = TEST,
    *,
    device: Device | None = None,
    dtype: Any = np.float32,
    rng: RandomNumbers | None = None,
    root: str = "",
) -> Layer:
    """Create the layer that a prototxt names; the arguments are those of `Layer`.

    Raises
    ------
    UnsupportedError
        If there is no such layer type, in which case the message names the nearest one, or a field
        of the layer would change the result and cannot be obeyed.
    """
    layer_class = REGISTRY.get(layer_param.type)
    if layer_class is None:
        raise UnsupportedError(_why_there_is_none(layer_param.type))
    unsupported.check(layer_param, f"layer {layer_param.name!r}")
    return layer_class(layer_param, phase, device=device, dtype=dtype, rng=rng, root=root)


# Types of Caffe and its forks; those that are registered are built.
_KNOWN = frozenset(
    [
        "AnnotatedData",
        "BoxAnnotatorOHEM",
        "BoxData",
        "CConvolution",
        "CInnerProduct",
        "ConvolutionReLU",
        "ConvolutionReLUPool",
        "ConvolutionReLUPoolLRN",
        "Crop",
        "Deconvolution",
        "DepthwiseConvolution",
        "DetectionEvaluate",
        "DetectionOutput",
        "EvalDetection",
        "HDF5Output",
        "Im2col",
        "ImageData",
        "InnerProductReLUDropout",
        "Interp",
        "LSTM",
        "LSTMUnit",
        "MultiBoxLoss",
        "PSROIPooling",
        "PriorBox",
        "Python",
        "RNN",
        "ROIPooling",
        "ReLUPooling",
        "RegionLoss",
        "Reorg",
        "SPP",
        "SmoothL1LossOHEM",
        "SoftmaxWithLossOHEM",
        "Sparsify",
        "SpatialDropout",
        "Upsample",
        "VideoData",
        "Winograd",
        "WindowData",
    ]
)


def _why_there_is_none(name: str) -> str:
    if not name:
        return "type: expected a layer type, got none"
    if name in _KNOWN:
        return f"type: {name} layers are not built yet"
    near = nearest(name, REGISTRY.keys() | _KNOWN)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"type: there is no layer type {name!r}{hint}"
