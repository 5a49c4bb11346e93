"""Every layer type, one file each; importing this package registers them all."""

import importlib
import pkgutil
from difflib import get_close_matches
from typing import Any

import numpy as np

from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.layer import REGISTRY, TEST, Layer
from sscaffe.proto import caffe_pb2
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
        If there is no such layer type; the message names the nearest one.
    """
    layer_class = REGISTRY.get(layer_param.type)
    if layer_class is None:
        near = get_close_matches(layer_param.type, REGISTRY, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnsupportedError(f"type: there is no layer type {layer_param.type!r}{hint}")
    return layer_class(layer_param, phase, device=device, dtype=dtype, rng=rng, root=root)
