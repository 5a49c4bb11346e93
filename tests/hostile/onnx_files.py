"""20 ONNX files that are damaged, or made to do harm; they need the package onnx."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.hostile.cases import Case


def _model(change: Callable[[Any], None] = lambda model: None) -> bytes:
    """Return a net of a convolution and a product, after a change of it."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    arrays = {
        "w": rng.standard_normal((4, 3, 3, 3)),
        "b": rng.standard_normal(4),
        "m": rng.standard_normal((64, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "m"], ["y"], name="ip"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    change(model)
    content: bytes = model.SerializeToString()
    return content


def _external(location: str) -> Callable[[Any], None]:
    """Return a change that puts the first weights into another file."""

    def change(model: Any) -> None:
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = 1
        weights.external_data.add(key="location", value=location)

    return change


def _set(path: str, **values: Any) -> Callable[[Any], None]:
    """Return a change that sets fields of a message of the model."""

    def change(model: Any) -> None:
        message = model
        for step in path.split("."):
            message = message[int(step)] if step.isdigit() else getattr(message, step)
        for name, value in values.items():
            field = getattr(message, name)
            if isinstance(value, list):
                del field[:]
                field.extend(value)
            else:
                setattr(message, name, value)

    return change


def _cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "r"


def _bad_attribute(model: Any) -> None:
    from onnx import helper

    model.graph.node[0].attribute.append(helper.make_attribute("strides", [0, 0]))


def _python_operator(model: Any) -> None:
    model.graph.node[1].op_type, model.graph.node[1].domain = "PyOp", "ai.onnx.contrib"


def files() -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Yield each file, and what lies beside it."""
    good = _model()
    for content in (b"", b"no model", good[:20], good[: len(good) // 2], good[:-1], good[1:]):
        yield content, {}
    for location in ("../secret", "/etc/passwd", "beside.bin", "sub/../../secret"):
        yield _model(_external(location)), {"beside.bin": bytes(432)}
    first = "graph.initializer.0"
    changes = (
        _set(first, dims=[4, 3, 3, 4]),
        _set(first, dims=[2**31, 2**31, 2**31]),
        _set(first, dims=[-4, 3, 3, 3]),
        _set(first, data_type=8),
        _set(first, raw_data=b"123"),
        _set("graph.node.0", op_type="NoSuchOperator"),
        _set("graph.node.3", input=["f", "not there"]),
        _cycle,
        _bad_attribute,
        _python_operator,
    )
    for change in changes:
        yield _model(change), {}


def onnx_cases(count: int) -> Iterator[Case]:
    """Yield the cases."""
    for i, (content, others) in zip(range(count), files(), strict=True):
        name = f"model_{i:02}.onnx"
        yield Case(name, {name: content, **others}, f"convert {name} model_{i:02}.caffemodel")
