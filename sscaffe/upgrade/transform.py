"""Scaling, cropping and the like, from the settings of old data layers to `transform_param`."""

from typing import Any

from sscaffe.proto import caffe_pb2

_Net = caffe_pb2.NetParameter
_V1 = caffe_pb2.V1LayerParameter

_SETTINGS = {
    _V1.DATA: "data_param",
    _V1.IMAGE_DATA: "image_data_param",
    _V1.WINDOW_DATA: "window_data_param",
}
_FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def is_needed(net: _Net) -> bool:
    """Tell whether a data layer of 2014 has such a field among its own settings."""
    return any(
        settings.HasField(name)
        for layer in net.layers
        for settings in _settings(layer)
        for name in _FIELDS
    )


def upgrade(net: _Net) -> _Net:
    """Return the net with these fields in `transform_param`."""
    upgraded = _Net()
    upgraded.CopyFrom(net)
    for layer in upgraded.layers:
        for settings in _settings(layer):
            for name in _FIELDS:
                if settings.HasField(name):
                    setattr(layer.transform_param, name, getattr(settings, name))
                    settings.ClearField(name)
    return upgraded


def _settings(layer: _V1) -> list[Any]:
    name = _SETTINGS.get(layer.type, "")
    return [getattr(layer, name)] if name and layer.HasField(name) else []
