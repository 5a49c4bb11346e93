"""Import of ONNX: operators as other programs write them, against ONNX Runtime; hostile files."""

import numpy as np
import pytest

from sscaffe.convert.from_onnx import IMPORTERS, read_onnx
from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.timing.inputs import fill_inputs
from tests.convert.onnx_runs import ABSENT, assert_close, run_onnx
from tests.convert.test_round_trip import net_from

onnx = pytest.importorskip("onnx", reason=ABSENT)

NCHW = (2, 6, 9, 8)
RNG = np.random.default_rng(5)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def node(op, *inputs, outputs=("y",), **attributes):
    return onnx.helper.make_node(op, list(inputs), list(outputs), **attributes)


def model_of(nodes, shape=NCHW, *, opset=17, outputs=("y",), **constants):
    declare = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [declare("x", 1, shape)],
        [declare(name, 1, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def i64(*values):
    return np.array(values, np.int64)


CASES = {
    "conv same upper": model_of(
        [node("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[1, 1])], w=f32(4, 6, 3, 3)
    ),
    "conv same lower, sides": model_of(
        [node("Conv", "x", "w", "b", auto_pad="SAME_LOWER", strides=[2, 2])],
        w=f32(4, 6, 4, 3),
        b=f32(4),
    ),
    "conv valid": model_of([node("Conv", "x", "w", auto_pad="VALID", group=3)], w=f32(6, 2, 3, 3)),
    "conv constant node": model_of(
        [
            node("Constant", outputs=["w"], value=onnx.numpy_helper.from_array(f32(4, 6, 1, 1))),
            node("Conv", "x", "w"),
        ]
    ),
    "conv transpose": model_of(
        [node("ConvTranspose", "x", "w", strides=[2, 2], pads=[1, 1, 1, 1])], w=f32(6, 3, 4, 4)
    ),
    "gemm": model_of(
        [node("Gemm", "x", "w", "c", alpha=0.5, beta=2.0)], (3, 5), w=f32(5, 4), c=f32(1, 4)
    ),
    "gemm scalar": model_of(
        [node("Gemm", "x", "w", "c", transB=1)], (3, 5), w=f32(4, 5), c=np.float32(2)
    ),
    "matmul and add": model_of(
        [node("MatMul", "x", "w", outputs=["m"]), node("Add", "b", "m")],
        (3, 5),
        w=f32(5, 4),
        b=f32(4),
    ),
    "matmul of three axes": model_of([node("MatMul", "x", "w")], (2, 3, 5), w=f32(5, 4)),
    "batch norm": model_of(
        [node("BatchNormalization", "x", "s", "b", "m", "v", epsilon=0.01)],
        s=f32(6),
        b=f32(6),
        m=f32(6),
        v=abs(f32(6)) + 0.1,
    ),
    "max pool ceil": model_of(
        [node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]
    ),
    "max pool floor": model_of([node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2])]),
    "average not counting pads": model_of(
        [node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]
    ),
    "average counting pads": model_of(
        [
            node(
                "AveragePool",
                "x",
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1, 1, 1, 1],
                count_include_pad=1,
            )
        ]
    ),
    "average ceil": model_of(
        [node("AveragePool", "x", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)]
    ),
    "global": model_of([node("GlobalAveragePool", "x")]),
    "reduce mean": model_of([node("ReduceMean", "x", axes=[2, -1], keepdims=0)]),
    "reduce mean keepdims": model_of([node("ReduceMean", "x", "a")], opset=18, a=i64(2, 3)),
    "clip attributes": model_of([node("Clip", "x", min=-0.5, max=0.5)], opset=7),
    "clip one side": model_of([node("Clip", "x", "", "m")], m=np.float32(0.5)),
    "scalars": model_of(
        [
            node("Div", "x", "two", outputs=["a"]),
            node("Sub", "one", "a", outputs=["b"]),
            node("Sub", "b", "two", outputs=["c"]),
            node("Abs", "c", outputs=["d"]),
            node("Add", "d", "one", outputs=["e"]),
            node("Div", "two", "e", outputs=["f"]),
            node("Sqrt", "f", outputs=["g"]),
            node("Neg", "g", outputs=["h"]),
            node("Reciprocal", "h"),
        ],
        one=np.float32(1),
        two=np.float32([[2]]),
    ),
    "constants of channels": model_of(
        [
            node("Mul", "x", "c", outputs=["a"]),
            node("Sub", "a", "c", outputs=["b"]),
            node("Div", "b", "d", outputs=["e"]),
            node("Add", "w", "e"),
        ],
        c=f32(6, 1, 1),
        d=abs(f32(1, 6, 1, 1)) + 0.5,
        w=f32(9, 8),
    ),
    "squeeze and excite": model_of(
        [
            node("GlobalAveragePool", "x", outputs=["p"]),
            node("Sigmoid", "p", outputs=["s"]),
            node("Mul", "s", "x", outputs=["m"]),
            node("Add", "m", "p", outputs=["n"]),
            node("Sub", "n", "x"),
        ]
    ),
    "sum of three": model_of(
        [node("Relu", "x", outputs=["r"]), node("Sum", "x", "r", "x")],
    ),
    "flatten by shape arithmetic": model_of(
        [
            node("Shape", "x", outputs=["s"]),
            node("Gather", "s", "zero", outputs=["n"], axis=0),
            node("Unsqueeze", "n", "axes", outputs=["u"]),
            node("Concat", "u", "rest", outputs=["to"], axis=0),
            node("Reshape", "x", "to"),
        ],
        zero=np.array(0, np.int64),
        axes=i64(0),
        rest=i64(-1),
    ),
    "flatten axis 2": model_of([node("Flatten", "x", axis=2)]),
    "squeeze": model_of([node("Squeeze", "x", "a")], (2, 6, 1, 1), a=i64(2, 3)),
    "unsqueeze": model_of([node("Unsqueeze", "x", "a")], (2, 6), a=i64(2)),
    "transpose": model_of([node("Transpose", "x", perm=[0, 2, 3, 1])]),
    "softmax of old": model_of([node("Softmax", "x")], (2, 6), opset=11),
    "softmax": model_of([node("Softmax", "x", axis=1)]),
    "dropout": model_of([node("Dropout", "x", outputs=["d"]), node("Relu", "d")]),
    "split and one part": model_of(
        [node("Split", "x", "n", outputs=["a", "y", "b"], axis=1)], n=i64(1, 2, 3)
    ),
    "slice": model_of(
        [node("Slice", "x", "s", "e", "a")], s=i64(1, -4), e=i64(5, 1000), a=i64(1, 3)
    ),
    "output read on": model_of(
        [node("Relu", "x"), node("Tanh", "y", outputs=["z"])], outputs=("y", "z")
    ),
    "a node that nobody reads": model_of([node("Tanh", "x", outputs=["t"]), node("Relu", "x")]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_net_computes_what_onnx_runtime_does(name, tmp_path):
    content = CASES[name].SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content)
    net = net_from(tmp_path / "m.onnx")
    fill_inputs(net)
    net.run_forward()
    expected = run_onnx(content, net)
    found = dict(zip(expected, (net.blobs[o].const_data for o in net.outputs), strict=True))
    if len(found) == 1:
        assert_close(found, expected)
        return
    by_name = {name.removesuffix("_2"): net.blobs[name].const_data for name in net.outputs}
    assert_close(by_name, expected)


BIASES = {
    "of channels": (["Convolution"], "Conv", f32(4, 1, 1), ()),
    "of an axis": (["Convolution", "Bias"], "Conv", f32(6), ()),
    "read twice": (
        ["Convolution", "Bias", "Eltwise"],
        "Conv",
        f32(4, 1, 1),
        (node("Mul", "y", "c"),),
    ),
}


@pytest.mark.parametrize("name", BIASES)
def test_a_bias_goes_into_the_layer_before_it(name, tmp_path):
    kinds, op, bias, more = BIASES[name]
    nodes = [node(op, "x", "w", outputs=["c"]), node("Add", "c", "b"), *more]
    if more:
        more[0].output[0] = "z"
    model = model_of(nodes, outputs=("z" if more else "y",), w=f32(4, 6, 3, 3), b=bias)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    param, _ = read_onnx(tmp_path / "m.onnx")
    assert [layer.type for layer in param.layer[1:]] == kinds
    net = net_from(tmp_path / "m.onnx")
    fill_inputs(net)
    net.run_forward()
    found = {name: net.blobs[name].const_data for name in net.outputs}
    assert_close(found, run_onnx(model.SerializeToString(), net))


def test_the_batch_that_a_file_leaves_open(tmp_path):
    model = model_of([node("Relu", "x")], ("N", 3))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    param, _ = read_onnx(tmp_path / "m.onnx", batch=5)
    assert list(param.layer[0].input_param.shape[0].dim) == [5, 3]


def external():
    model = model_of([node("Add", "x", "w")], w=f32(6, 9, 8))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../etc/passwd"), ("length", "10")):
        tensor.external_data.add(key=key, value=value)
    return model


def external_in_a_constant():
    model = model_of([node("Constant", outputs=["w"], value=external().graph.initializer[0])])
    model.graph.node.append(node("Add", "x", "w"))
    return model


def changed(change):
    model = model_of([node("Add", "x", "w")], w=f32(6, 9, 8))
    change(model)
    return model


REFUSED = {
    "external": (external, WeightsError, "'w' is kept in another file, which is not read"),
    "external in a node": (external_in_a_constant, WeightsError, "is kept in another file"),
    "shape bomb": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**40)),
        WeightsError,
        "cannot have the shape",
    ),
    "negative": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -6)),
        WeightsError,
        "cannot have the shape",
    ),
    "too few": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 7)),
        WeightsError,
        "'w' cannot be read",
    ),
    "unknown type": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_type", 99)),
        WeightsError,
        "'w' cannot be read",
    ),
    "sparse": (
        lambda: changed(lambda m: m.graph.sparse_initializer.add()),
        WeightsError,
        "sparse initializers",
    ),
    "nothing": (lambda: onnx.ModelProto(), WeightsError, "a file without nodes"),
    "cycle": (
        lambda: model_of([node("Add", "x", "z"), node("Relu", "y", outputs=["z"])]),
        (WeightsError, UnsupportedError),
        "m.onnx: ",
    ),
    "unknown operator": (
        lambda: model_of([node("Selu", "x")]),
        UnsupportedError,
        "node 'y' has operator Selu, which is not imported",
    ),
    "other domain": (
        lambda: model_of([node("Relu", "x", domain="evil")]),
        UnsupportedError,
        r"operator evil\.Relu",
    ),
    "open axis": (
        lambda: model_of([node("Relu", "x")], (1, 3, "H", "W")),
        UnsupportedError,
        "axis 2 of input 'x' is left open",
    ),
    "old": (lambda: model_of([node("Relu", "x")], opset=6), UnsupportedError, "version 7 or later"),
    "weights that are made": (
        lambda: model_of([node("Relu", "x", outputs=["w"]), node("Conv", "x", "w")]),
        UnsupportedError,
        "'y' .Conv. has no layer: its weight is not constant",
    ),
    "pads": (
        lambda: model_of([node("MaxPool", "x", kernel_shape=[3, 3], pads=[0, 0, 2, 2])]),
        UnsupportedError,
        "Caffe pads behind as it does in front",
    ),
    "dilated pool": (
        lambda: model_of([node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2])]),
        UnsupportedError,
        "dilations",
    ),
    "huge gather": (
        lambda: model_of(
            [
                node("Gather", "t", "p", outputs=["g"]),
                node("Reshape", "x", "g"),
            ],
            t=i64(1),
            p=np.zeros(5000, np.int64),
        ),
        UnsupportedError,
        "5000 places",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    make, error, message = REFUSED[name]
    (tmp_path / "m.onnx").write_bytes(make().SerializeToString())
    with pytest.raises(error, match=message) as caught:
        read_onnx(tmp_path / "m.onnx")
    assert "m.onnx: " in str(caught.value)


def test_files_cut_anywhere_or_changed_are_refused_or_read(tmp_path):
    whole = model_of(
        [node("Conv", "x", "w", outputs=["c"]), node("MaxPool", "c", kernel_shape=[2, 2])],
        w=f32(2, 6, 3, 3),
    ).SerializeToString()
    rng = np.random.default_rng(2)
    contents = [whole[:size] for size in range(0, len(whole), 13)]
    for _ in range(300):
        place = int(rng.integers(len(whole)))
        changed_byte = bytes([int(rng.integers(256))])
        contents.append(whole[:place] + changed_byte + whole[place + 1 :])
    refused = 0
    for content in contents:
        (tmp_path / "m.onnx").write_bytes(content)
        try:
            read_onnx(tmp_path / "m.onnx")
        except (WeightsError, UnsupportedError):
            refused += 1
    assert refused > len(whole) // 13


def test_operators_have_cases():
    models = [*CASES.values(), *(make() for make, _, _ in REFUSED.values())]
    covered = {node.op_type for model in models for node in model.graph.node}
    by_round_trip = {"LRN", "PRelu", "LeakyRelu", "Elu", "Softplus", "Exp", "Log", "Pow", "Max"}
    by_round_trip |= {"GlobalMaxPool", "Identity", "Cast"}
    assert set(IMPORTERS) <= covered | by_round_trip
