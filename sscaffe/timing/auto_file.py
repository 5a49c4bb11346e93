"""A prototxt with the modes that were measured to be the best."""

import os
from collections.abc import Mapping
from pathlib import Path

from sscaffe import prototxt
from sscaffe.errors import SscaffeError
from sscaffe.files import write_atomically
from sscaffe.net.modes import MODE_FIELDS, set_mode, set_modes
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_edit import Setting, set_in_layers


def require_another_file(path: str, source: str) -> None:
    """Refuse to write where the net was read from, or where nothing can be written.

    Raises
    ------
    SscaffeError
        If it is the same file, or its folder is not there.
    """
    target = Path(path)
    if target.exists() and target.samefile(source):
        raise SscaffeError(f"write_auto: {path} is the net itself; give another file")
    if target.is_dir():
        raise SscaffeError(f"write_auto: {path} is a folder; give a file")
    if not target.parent.is_dir():
        raise SscaffeError(f"write_auto: folder {target.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise SscaffeError(f"write_auto: folder {target.parent} cannot be written to")


def write_modes(path: str, source: str, modes: Mapping[str, str]) -> None:
    """Write a prototxt with other modes.

    Its comments and spaces are kept, where the fields stand in a form that can be edited.

    Parameters
    ----------
    path : str
        What to write.
    source : str
        The net.
    modes : mapping of str to str
        The mode of each layer, by its name. A dense InnerProduct is left as it is.

    Raises
    ------
    SscaffeError
        If a file cannot be read or written.
    """
    param = prototxt.read_net(source)
    wanted = {
        layer.name: _setting(layer.type, modes[layer.name])
        for layer in param.layer
        if layer.name in modes and _is_wanted(layer, modes[layer.name])
    }
    set_modes(param, {name: setting.value for name, setting in wanted.items()})
    edited = set_in_layers(Path(source).read_bytes().decode("utf-8-sig"), wanted)
    if prototxt.parse_net(edited, path) != param:
        edited = prototxt.format_net(param)
    write_atomically(path, edited.encode())


def _is_wanted(layer: caffe_pb2.LayerParameter, mode: str) -> bool:
    """Tell whether a mode should stand in the file: that of a dense InnerProduct goes unsaid."""
    changed = caffe_pb2.LayerParameter()
    changed.CopyFrom(layer)
    field = MODE_FIELDS[layer.type]
    set_mode(changed, mode)
    before, after = (getattr(getattr(one, field.message), field.name) for one in (layer, changed))
    return layer.type == "Convolution" or bool(before != after)


def _setting(layer_type: str, mode: str) -> Setting:
    field = MODE_FIELDS[layer_type]
    return Setting(field.message, field.name, mode)


def trains(param: caffe_pb2.NetParameter) -> bool:
    """Tell whether a net has layers that are there in TRAIN only, so that it is trained too."""
    return any(
        rule.phase == caffe_pb2.TRAIN
        for layer in param.layer
        for rule in layer.include
        if rule.HasField("phase")
    )
