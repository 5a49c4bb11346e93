"""The inputs of a net in the forms of old, as a layer of type Input."""

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2

_DIMS = 4  # of an input in the oldest form


def inputs_to_layer(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """Turn ``input`` with ``input_shape`` or ``input_dim`` into a first layer named ``input``.

    Parameters
    ----------
    param : NetParameter
        The net; it is not changed.

    Returns
    -------
    NetParameter
        The net without these three fields; `param` itself if it has none of them.

    Raises
    ------
    PrototxtError
        If the shapes are not as many as the inputs.
    """
    if not (param.input or param.input_shape or param.input_dim):
        return param
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=param.input)
    layer.input_param.shape.extend(_shapes(param))
    upgraded = caffe_pb2.NetParameter()
    upgraded.CopyFrom(param)
    for name in ("input", "input_shape", "input_dim", "layer"):
        upgraded.ClearField(name)
    upgraded.layer.append(layer)
    upgraded.layer.extend(param.layer)
    return upgraded


def _shapes(param: caffe_pb2.NetParameter) -> list[caffe_pb2.BlobShape]:
    wanted = len(param.input)
    if param.input_shape and param.input_dim:
        raise PrototxtError("input_shape: the net has input_dim too; use input_shape only")
    if param.input_shape:
        if len(param.input_shape) != wanted:
            raise PrototxtError(
                f"input_shape: expected one for each of the {wanted} inputs, "
                f"got {len(param.input_shape)}"
            )
        return list(param.input_shape)
    if len(param.input_dim) != wanted * _DIMS:
        raise PrototxtError(
            f"input_dim: expected {wanted * _DIMS} sizes, {_DIMS} for each of the {wanted} inputs, "
            f"got {len(param.input_dim)}; use input_shape for any other number of axes"
        )
    dims = list(param.input_dim)
    return [
        caffe_pb2.BlobShape(dim=dims[start : start + _DIMS]) for start in range(0, len(dims), _DIMS)
    ]
