"""What joins, cuts or turns arrays, and what is known before the net runs."""

import math

import numpy as np

from sscaffe.convert.from_onnx.net import Node, imports

_MOST_COMPUTED = 4096  # elements of a constant that is computed, such as a shape


@imports("Identity", "Dropout")
def identity(node: Node) -> None:
    """Add nothing."""
    if len([value for value in node.outputs if value]) > 1:
        raise node.refuse("a second output")
    node.pass_on()


@imports("Constant")
def constant(node: Node) -> None:
    """Add nothing: the value is known."""
    array = node.tensor("value")
    if array is None:
        number = node.number("value_float", math.nan)
        whole = node.numbers("value_ints")
        if not whole and math.isnan(number):
            raise node.refuse("a value that is not a tensor, a number or whole numbers")
        array = np.array(whole, np.int64) if whole else np.array(number, np.float32)
    node.make_constant(array)


@imports("Shape")
def shape_of(node: Node) -> None:
    """Add nothing: the shape is known."""
    shape = node.shape()
    end = node.number("end", len(shape))
    node.make_constant(np.array(shape[int(node.number("start", 0)) : int(end)], np.int64))


@imports("Gather")
def gather(node: Node) -> None:
    """Pick from a constant."""
    array, places = node.constant(0, "first input"), node.constant(1, "second input")
    axis = int(node.number("axis", 0))
    if places.size > _MOST_COMPUTED:
        raise node.refuse(f"{places.size} places")
    try:
        node.make_constant(np.take(array, places, axis))
    except (IndexError, ValueError, TypeError) as error:
        raise node.refuse(str(error)) from None


@imports("Cast")
def cast(node: Node) -> None:
    """Turn a constant into another type; pass anything else on, as all that flows is float32."""
    kinds = {1: np.float32, 6: np.int32, 7: np.int64, 11: np.float64}
    kind = int(node.number("to", 1))
    if node.is_constant(0) and kind in kinds:
        node.make_constant(node.constant(0, "input").astype(kinds[kind]))
    elif kind == 1:
        raise node.refuse("numbers that are not float32")
    else:
        raise node.refuse("another type than float32")


@imports("Concat")
def concat(node: Node) -> None:
    """Add Concat."""
    if all(node.is_constant(i) for i in range(len(node.inputs))):
        arrays = [node.constant(i, "input") for i in range(len(node.inputs))]
        if sum(array.size for array in arrays) <= _MOST_COMPUTED:
            node.make_constant(np.concatenate(arrays, int(node.number("axis", 0))))
            return
    if len(node.inputs) == 1:
        node.pass_on()
        return
    bottoms = [node.blob(i) for i in range(len(node.inputs))]
    node.add("Concat", bottoms=bottoms).concat_param.axis = node.axis(1)


@imports("Flatten")
def flatten(node: Node) -> None:
    """Add Flatten, or Reshape where axes in front become one, too."""
    if node.axis(1) == 1 and len(node.shape()) > 1:
        node.add("Flatten")
    else:
        _reshape(node)


@imports("Reshape", "Squeeze", "Unsqueeze")
def reshape(node: Node) -> None:
    """Add Reshape to the shape that is known."""
    if node.is_constant(0):
        node.make_constant(node.constant(0, "input").reshape(node.output_shape()))
    else:
        _reshape(node)


def _reshape(node: Node) -> None:
    bottom, top = node.shape(), node.output_shape()
    if bottom == top:
        node.pass_on()
        return
    # 0 keeps the batch, so that it can be changed later.
    kept = [0] if bottom and top and bottom[0] == top[0] else []
    node.add("Reshape").reshape_param.shape.dim.extend([*kept, *top[len(kept) :]])


@imports("Transpose")
def transpose(node: Node) -> None:
    """Add Permute."""
    axes = range(len(node.shape()))
    order = node.numbers("perm", tuple(reversed(axes)))
    if node.is_constant(0):
        node.make_constant(node.constant(0, "input").transpose(order))
    else:
        node.add("Permute").permute_param.order.extend(order)


@imports("Softmax")
def softmax(node: Node) -> None:
    """Add Softmax."""
    shape = node.shape()
    axis = node.axis(-1 if node.opset >= 13 else 1)
    if node.opset < 13 and any(size != 1 for size in shape[axis + 1 :]):
        raise node.refuse(f"axis {axis} of {shape} and all behind it as one")
    node.add("Softmax").softmax_param.axis = axis


@imports("Split")
def split(node: Node) -> None:
    """Add Slice."""
    axis = node.axis(0)
    ends = np.cumsum([node.output_shape(i)[axis] for i in range(len(node.outputs))])
    node.cut(axis, [int(end) for end in ends[:-1]], node.outputs)


@imports("Slice")
def slices(node: Node) -> None:
    """Add Slice for each axis that is cut."""
    shape, output = node.shape(), node.output_shape()
    starts = _given(node, 1, "starts")
    axes = _given(node, 3, "axes") or tuple(range(len(starts)))
    if any(step != 1 for step in _given(node, 4, "steps")):
        raise node.refuse("steps")
    parts = []
    for axis, start in zip(axes, starts, strict=True):
        axis %= len(shape)
        first = min(max(start + shape[axis] if start < 0 else start, 0), shape[axis])
        if output[axis] != shape[axis]:
            parts.append((axis, first, first + output[axis]))
    if not parts:
        node.pass_on()
        return
    node.crop(parts, shape)


def _given(node: Node, index: int, name: str) -> tuple[int, ...]:
    """Return whole numbers that are an input, or were an attribute before operators 10."""
    if node.has(index):
        return tuple(int(value) for value in node.constant(index, name).reshape(-1))
    return node.numbers(name)
