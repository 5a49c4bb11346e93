"""Every layer type, one file each; importing this package registers them all."""

import importlib
import pkgutil
from typing import Any

import numpy as np

from sscaffe import unsupported
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.layer import REGISTRY, TEST, Layer
from sscaffe.layer_types.python import PythonLayer, is_of_script, make_python_layer
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
    allow_python: bool = False,
) -> Layer:
    """Create the layer that a prototxt names.

    The arguments are those of `Layer`; `allow_python` lets layers of type Python run their code.

    Raises
    ------
    UnsupportedError
        If there is no such layer type, in which case the message names the nearest one, or a field
        of the layer would change the result and cannot be obeyed, or the layer runs code and may
        not.
    """
    layer_class = REGISTRY.get(layer_param.type)
    if layer_class is None:
        raise UnsupportedError(_why_there_is_none(layer_param.type))
    unsupported.check(layer_param, f"layer {layer_param.name!r}")
    runs = layer_class is PythonLayer and (allow_python or is_of_script(layer_param))
    make = make_python_layer if runs else layer_class
    return make(layer_param, phase, device=device, dtype=dtype, rng=rng, root=root)


# Types of Caffe and its forks; those that are registered are built.
_KNOWN = frozenset(
    [
        "AnnotatedData",
        "BoxAnnotatorOHEM",
        "BoxData",
        "DetectionEvaluate",
        "EvalDetection",
        "MultiBoxLoss",
        "RegionLoss",
        "Reorg",
        "SmoothL1LossOHEM",
        "SoftmaxWithLossOHEM",
        "SpatialDropout",
        "VideoData",
        "Winograd",
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
