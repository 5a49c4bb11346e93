"""The inputs of a net in the forms of old, as a layer of type Input."""

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2

_Net = caffe_pb2.NetParameter

_DIMS = 4  # of an input in the oldest form


def is_needed(net: _Net) -> bool:
    """Tell whether a net has inputs in the forms of old."""
    return bool(net.input or net.input_shape or net.input_dim)


def upgrade(net: _Net) -> _Net:
    """Turn ``input`` with ``input_shape`` or ``input_dim`` into a first layer named ``input``.

    In a net that has its weights with it, inputs may be without shapes, as in Caffe; they are left
    out there.

    Raises
    ------
    PrototxtError
        If the shapes are not as many as the inputs.
    """
    upgraded = _Net()
    upgraded.CopyFrom(net)
    for name in ("input", "input_shape", "input_dim", "layer"):
        upgraded.ClearField(name)
    is_model = any(layer.blobs for layer in net.layer)
    if net.input_shape or net.input_dim or not is_model:
        layer = upgraded.layer.add(name="input", type="Input", top=net.input)
        layer.input_param.shape.extend(_shapes(net))
    upgraded.layer.extend(net.layer)
    return upgraded


def _shapes(net: _Net) -> list[caffe_pb2.BlobShape]:
    wanted = len(net.input)
    if net.input_shape and net.input_dim:
        raise PrototxtError("input_shape: the net has input_dim too; use input_shape only")
    if net.input_shape:
        if len(net.input_shape) != wanted:
            raise PrototxtError(
                f"input_shape: expected one for each of the {wanted} inputs, "
                f"got {len(net.input_shape)}"
            )
        return list(net.input_shape)
    if len(net.input_dim) != wanted * _DIMS:
        raise PrototxtError(
            f"input_dim: expected {wanted * _DIMS} sizes, {_DIMS} for each of the {wanted} inputs, "
            f"got {len(net.input_dim)}; use input_shape for any other number of axes"
        )
    dims = list(net.input_dim)
    return [
        caffe_pb2.BlobShape(dim=dims[start : start + _DIMS]) for start in range(0, len(dims), _DIMS)
    ]
