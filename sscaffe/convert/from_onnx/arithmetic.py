"""Arithmetic and neurons as layers."""

import math
from typing import NamedTuple

import numpy as np

from sscaffe.convert.from_onnx.net import Node, imports
from sscaffe.convert.saved import Array
from sscaffe.proto import caffe_pb2

_Eltwise = caffe_pb2.EltwiseParameter
_LARGEST = float(np.finfo(np.float32).max)

_SAME = {
    "Relu": "ReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "TanH",
    "Abs": "AbsVal",
    "Softplus": "BNLL",
    "Exp": "Exp",
    "Log": "Log",
}


class _Power(NamedTuple):
    """``(shift + scale x) ^ power``."""

    power: float = 1
    scale: float = 1
    shift: float = 0


_POWERS = {"Sqrt": _Power(0.5), "Neg": _Power(scale=-1), "Reciprocal": _Power(-1)}


@imports(*_SAME)
def same(node: Node) -> None:
    """Add the layer that means the same."""
    node.add(_SAME[node.op])


@imports(*_POWERS)
def power(node: Node) -> None:
    """Add Power."""
    _add_power(node, _POWERS[node.op])


def _add_power(node: Node, values: _Power, index: int = 0) -> None:
    param = node.add("Power", bottoms=[node.blob(index)]).power_param
    for name, value, default in zip(values._fields, values, _Power(), strict=True):
        if value != default:
            setattr(param, name, value)


@imports("LeakyRelu")
def leaky_relu(node: Node) -> None:
    """Add ReLU with a negative slope."""
    node.add("ReLU").relu_param.negative_slope = node.number("alpha", 0.01)


@imports("Elu")
def elu(node: Node) -> None:
    """Add ELU."""
    node.add("ELU").elu_param.alpha = node.number("alpha", 1.0)


@imports("Clip")
def clip(node: Node) -> None:
    """Add Clip."""
    limits = [node.number("min", -_LARGEST), node.number("max", _LARGEST)]
    for i, what in ((1, "min"), (2, "max")):
        if node.has(i):
            limits[i - 1] = float(node.constant(i, what).reshape(-1)[0])
    param = node.add("Clip").clip_param
    param.min, param.max = (max(-_LARGEST, min(_LARGEST, limit)) for limit in limits)


@imports("Add", "Sub", "Mul", "Div", "Pow")
def binary(node: Node) -> None:
    """Add Power, Scale or Bias where one side is constant, else Eltwise."""
    constants = [i for i in (0, 1) if node.is_constant(i)]
    if len(constants) == 2:
        functions = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
        if node.op not in functions:
            raise node.refuse("two constants")
        first, second = (node.constant(i, "input") for i in (0, 1))
        node.make_constant(functions[node.op](first, second).astype(first.dtype))
    elif constants:
        _with_constant(node, constants[0])
    else:
        _of_two(node)


def _with_constant(node: Node, index: int) -> None:
    array = node.constant(index, "input")
    if array.dtype.kind != "f":
        raise node.refuse(f"numbers of type {array.dtype}")
    array = array.astype(np.float64)
    other = 1 - index
    if node.output_shape() != node.shape(other):
        raise node.refuse(f"a constant of shape {array.shape} that widens {node.shape(other)}")
    if array.size and (array == array.flat[0]).all():
        _add_power(node, _single(node, float(array.flat[0]), index), other)
        return
    if node.op == "Pow" or (node.op == "Div" and index == 0):
        raise node.refuse("a constant that is not one number")
    if node.op == "Sub" and index == 0:
        raise node.refuse("a difference from a constant that is not one number")
    axis, cut = _covered(node, array, node.shape(other))
    cut = 1 / cut if node.op == "Div" else -cut if node.op == "Sub" else cut
    if node.op in ("Mul", "Div"):
        factor = node.add("Scale", cut, bottoms=[node.blob(other)]).scale_param
        factor.axis, factor.num_axes = axis, cut.ndim
    else:
        term = node.add("Bias", cut, bottoms=[node.blob(other)]).bias_param
        term.axis, term.num_axes = axis, cut.ndim


def _single(node: Node, value: float, index: int) -> _Power:
    """Return what the node is, where one side is one number."""
    if node.op == "Add":
        return _Power(shift=value)
    if node.op == "Mul":
        return _Power(scale=value)
    if node.op == "Sub":
        return _Power(scale=-1, shift=value) if index == 0 else _Power(shift=-value)
    if index == 0:
        if node.op == "Div" and value != 0:
            return _Power(-1, scale=1 / value)
        raise node.refuse("a constant as its first input")
    if node.op == "Pow":
        return _Power(value)
    if value == 0:
        raise node.refuse("a division by 0")
    return _Power(scale=1 / value)


def _covered(node: Node, array: Array, shape: tuple[int, ...]) -> tuple[int, Array]:
    """Return the first axis that a constant covers, and the constant without ones around it."""
    full = (1,) * (len(shape) - array.ndim) + array.shape
    wide = [axis for axis, size in enumerate(full) if size != 1]
    first, last = wide[0], wide[-1] + 1
    if full[first:last] != shape[first:last]:
        raise node.refuse(f"a constant of shape {array.shape} for {shape}")
    return first, array.reshape(full[first:last])


def _of_two(node: Node) -> None:
    shapes = node.shape(0), node.shape(1)
    operations = {"Add": _Eltwise.SUM, "Sub": _Eltwise.SUM, "Mul": _Eltwise.PROD}
    if node.op not in operations:
        raise node.refuse("two inputs that are not constant")
    if shapes[0] == shapes[1]:
        bottoms = [node.blob(0), node.blob(1)]
        param = node.add("Eltwise", bottoms=bottoms).eltwise_param
        param.operation = operations[node.op]
        if node.op == "Sub":
            param.coeff.extend((1, -1))
        return
    # Factors or terms of whole axes in front, such as those of each channel of each image.
    large = 0 if math.prod(shapes[0]) > math.prod(shapes[1]) else 1
    x, given = shapes[large], shapes[1 - large]
    given = (1,) * (len(x) - len(given)) + given
    wide = [axis for axis, size in enumerate(given) if size != 1] or [0]
    first, last = wide[0], wide[-1] + 1
    if node.op == "Sub" or given[first:last] != x[first:last]:
        raise node.refuse(f"inputs of shapes {shapes[0]} and {shapes[1]}")
    cut = node.before("Reshape", node.blob(1 - large), "flat")
    cut.reshape_param.shape.dim.extend(given[first:last])
    bottoms = [node.blob(large), cut.top[0]]
    if node.op == "Mul":
        node.add("Scale", bottoms=bottoms).scale_param.axis = first
    else:
        node.add("Bias", bottoms=bottoms).bias_param.axis = first


@imports("Sum", "Max")
def several(node: Node) -> None:
    """Add Eltwise."""
    if len(node.inputs) == 1:
        node.pass_on()
        return
    shapes = {node.shape(i) for i in range(len(node.inputs))}
    if len(shapes) > 1:
        raise node.refuse(f"inputs of shapes {', '.join(map(str, sorted(shapes)))}")
    bottoms = [node.blob(i) for i in range(len(node.inputs))]
    param = node.add("Eltwise", bottoms=bottoms).eltwise_param
    param.operation = _Eltwise.SUM if node.op == "Sum" else _Eltwise.MAX
