"""pycaffe's draw: labels and colours, pydot's graph, pictures without pydot."""

import sys
from types import ModuleType

import pytest

from sscaffe import draw, prototxt
from sscaffe.errors import UnsupportedError

NET = """
name: "n"
layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 5 }
        include { phase: TRAIN } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" param { lr_mult: 3 }
        convolution_param { num_output: 7 kernel_size: 5 stride: 2 pad: 1 } }
layer { name: "w" type: "Deconvolution" bottom: "c" top: "w"
        convolution_param { num_output: 6 kernel_h: 5 kernel_w: 3 } }
layer { name: "p" type: "Pooling" bottom: "w" top: "p" pooling_param { kernel_size: 3 pool: AVE } }
layer { name: "r" type: "ReLU" bottom: "p" top: "p" }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip"
        inner_product_param { num_output: 9 } }
"""


@pytest.fixture
def net():
    return prototxt.parse_net(NET)


class Record:
    def __init__(self, *args, **options):
        self.args, self.options, self.nodes, self.edges = args, options, [], []

    def add_node(self, node):
        self.nodes.append(node)

    def add_edge(self, edge):
        self.edges.append(edge)


@pytest.fixture
def pydot(monkeypatch):
    module = ModuleType("pydot")
    module.Dot = module.Node = module.Edge = Record
    monkeypatch.setitem(sys.modules, "pydot", module)


@pytest.fixture
def no_pydot(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)


def test_words(net):
    layers = {layer.name: layer for layer in net.layer}
    labels = {name: draw.get_layer_label(layer, "TB") for name, layer in layers.items()}
    assert labels == {
        "d": '"d (Data)"',
        "c": '"c (Convolution) kernel size: 5 stride: 2 pad: 1"',
        "w": '"w (Deconvolution) kernel size: 5x3 stride: 1 pad: 0"',
        "p": '"p (Pooling AVE) kernel size: 3 stride: 1 pad: 0"',
        "r": '"r (ReLU)"',
        "ip": '"ip (InnerProduct)"',
    }
    assert draw.get_layer_label(layers["ip"], "LR", True) == (
        '"ip\\n(InnerProduct)\\nlr mult: 1.0, 1.0"'
    )
    edges = [draw.get_edge_label(layer) for layer in net.layer]
    assert edges == ["Batch 5", "7", "6", '""', '""', "9"]
    assert draw.get_layer_lr_mult(layers["c"]) == (3, 1)
    assert draw.choose_color_by_layertype("Pooling") == "#FF9900"
    assert draw.choose_color_by_layertype("Data") == "#6495ED"
    assert draw.get_pooling_types_dict()[1] == "AVE"
    with pytest.raises(ValueError, match="r: ReLU layers do not have a learning rate"):
        draw.get_layer_lr_mult(layers["r"])


@pytest.mark.usefixtures("pydot")
def test_the_graph(net):
    graph = draw.get_pydot_graph(net, "LR")
    assert (graph.args, graph.options["rankdir"]) == (("n",), "LR")
    names = [node.args[0] for node in graph.nodes]
    assert names[6:] == ['"data"', '"label"', '"c"', '"w"', '"p"', '"ip"']
    assert graph.nodes[4].options == draw.NEURON_LAYER_STYLE
    edges = [tuple(n.args[0].split("\\n")[0] for n in edge.args) for edge in graph.edges]
    assert edges[:4] == [('"d', '"data"'), ('"d', '"label"'), ('"data"', '"c'), ('"c', '"c"')]
    assert graph.edges[3].options == {"label": "7"}
    test = draw.get_pydot_graph(net, "LR", label_edges=False, phase=1, display_lrm=True)
    assert len(test.nodes) == 10
    assert {edge.options["label"] for edge in test.edges} == {'""'}


@pytest.mark.usefixtures("no_pydot")
@pytest.mark.parametrize("ext", ["png", "svg", "pdf", "dot"])
def test_pictures_without_pydot(net, tmp_path, ext):
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "dot": b"digraph"}[ext]
    assert draw.draw_net(net, "LR", ext, phase=0).startswith(start)
    draw.draw_net_to_file(net, str(tmp_path / f"a.{ext}"), display_lrm=True)
    assert (tmp_path / f"a.{ext}").read_bytes().startswith(start)


@pytest.mark.usefixtures("no_pydot")
def test_what_needs_pydot(net):
    with pytest.raises(UnsupportedError, match="needs pydot: pip install pydot"):
        draw.get_pydot_graph(net, "LR")
    with pytest.raises(UnsupportedError, match="expected png, svg, pdf, dot, got 'jpg'"):
        draw.draw_net(net, "LR", "jpg")
