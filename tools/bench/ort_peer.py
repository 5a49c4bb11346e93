"""ONNX Runtime as a contestant."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from bench.inputs import image_batch, save_output
from bench.nets import NETS


class Graph:
    """Turns Caffe's layers into ONNX's nodes."""

    def __init__(self, arrays):
        self.arrays, self.nodes, self.constants, self.names = arrays, [], [], {"data": "data"}

    def constant(self, name, array):
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        """Add a node; return its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def add(self, layer):
        """Add a layer. Blobs that Caffe overwrites have a new name after each layer."""
        inputs = [self.names[b] for b in layer.bottoms]
        self.names[layer.top] = getattr(self, layer.type.lower())(
            layer, inputs, layer.name + ".out"
        )

    def weights(self, layer, count):
        """Return the names of a layer's blobs as constants."""
        keys = [f"{layer.name}/{i}" for i in range(count)]
        return [self.constant(key, self.arrays[key]) for key in keys]

    def convolution(self, layer, inputs, out):
        """Add a convolution."""
        p = layer.param()
        fields = {"strides": [p.get("stride", 1)] * 2, "pads": [p.get("pad", 0)] * 4}
        inputs = inputs + self.weights(layer, 1 + p["bias_term"])
        return self.node("Conv", inputs, out, group=p.get("group", 1), **fields)

    def innerproduct(self, layer, inputs, out):
        """Add a matrix product."""
        flat = self.node("Flatten", inputs, out + ".flat")
        return self.node("Gemm", [flat, *self.weights(layer, 2)], out, transB=1)

    def pooling(self, layer, inputs, out):
        """Add a pooling layer."""
        p = layer.param()
        kind = {"MAX": "MaxPool", "AVE": "AveragePool"}[p["pool"]]
        if p.get("global_pooling"):
            return self.node("Global" + kind, inputs, out)
        sizes = {"kernel_shape": [p["kernel_size"]] * 2, "strides": [p["stride"]] * 2}
        return self.node(kind, inputs, out, ceil_mode=1, **sizes)

    def lrn(self, layer, inputs, out):
        """Add normalization, across or within channels."""
        p = layer.param()
        n, alpha, beta = p["local_size"], p["alpha"], p["beta"]
        if "norm_region" not in p:
            return self.node("LRN", inputs, out, size=n, alpha=alpha, beta=beta, bias=1.0)
        numbers = {"alpha": alpha, "one": 1.0, "beta": beta}
        alpha, one, beta = (self.constant(f"{out}.{k}", np.float32(v)) for k, v in numbers.items())
        square = self.node("Mul", inputs * 2, out + ".square")
        window = {"kernel_shape": [n, n], "pads": [n // 2] * 4, "count_include_pad": 1}
        mean = self.node("AveragePool", [square], out + ".mean", **window)
        scaled = self.node("Mul", [mean, alpha], out + ".scaled")
        total = self.node("Add", [scaled, one], out + ".total")
        return self.node("Div", [*inputs, self.node("Pow", [total, beta], out + ".pow")], out)

    def batchnorm(self, layer, inputs, out):
        """Add BatchNorm with the Scale that follows it."""
        mean, variance, factor = (self.arrays[f"{layer.name}/{i}"] for i in range(3))
        name = layer.name.replace("_batchnorm", "_scale")
        arrays = [self.arrays[f"{name}/{i}"] for i in range(2)] + [mean / factor, variance / factor]
        constants = [self.constant(f"{out}.{i}", array) for i, array in enumerate(arrays)]
        return self.node("BatchNormalization", inputs + constants, out, epsilon=1e-5)

    def scale(self, layer, inputs, out):
        """Add nothing: `batchnorm` did."""
        return inputs[0]

    dropout = scale

    def relu(self, layer, inputs, out):
        """Add a rectifier."""
        return self.node("Relu", inputs, out)

    def eltwise(self, layer, inputs, out):
        """Add a sum."""
        return self.node("Add", inputs, out)

    def concat(self, layer, inputs, out):
        """Add a concatenation of channels."""
        return self.node("Concat", inputs, out, axis=1)


def prepare(spec):
    """Write the net as an ONNX file, so that the process that is timed holds the weights once."""
    net = NETS[spec["net"]]()
    graph = Graph(np.load(Path(spec["folder"], "weights.npz")))
    for layer in net.list:
        graph.add(layer)
    flat = graph.node("Flatten", [graph.names[net.last]], "flat")
    graph.node("Softmax", [flat], "prob")
    sizes = {"data": ["N", *net.shapes["data"]], "prob": ["N", net.shapes[net.last][0]]}
    data, prob = (helper.make_tensor_value_info(k, 1, v) for k, v in sizes.items())
    made = helper.make_graph(graph.nodes, spec["net"], [data], [prob], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, Path(spec["folder"], "net.onnx"))


def infer(spec):
    """Return a function that takes the images from an array and the results to an array."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec["threads"]
    session = onnxruntime.InferenceSession(
        str(Path(spec["folder"], "net.onnx")), options, providers=["CPUExecutionProvider"]
    )
    images = image_batch(spec)

    def run():
        return session.run(None, {"data": images})[0]

    save_output(spec, run())
    return run
