"""Pictures of nets: boxes for layers, arrows for blobs; and pycaffe's ``caffe.draw``."""

from sscaffe.draw.graph import Box, Edge, NetGraph, net_graph
from sscaffe.draw.picture import FORMATS, draw
from sscaffe.draw.pydot_graph import (
    BLOB_STYLE,
    LAYER_STYLE_DEFAULT,
    NEURON_LAYER_STYLE,
    choose_color_by_layertype,
    draw_net,
    draw_net_to_file,
    get_edge_label,
    get_layer_label,
    get_layer_lr_mult,
    get_pooling_types_dict,
    get_pydot_graph,
)

__all__ = [
    "BLOB_STYLE",
    "FORMATS",
    "LAYER_STYLE_DEFAULT",
    "NEURON_LAYER_STYLE",
    "Box",
    "Edge",
    "NetGraph",
    "choose_color_by_layertype",
    "draw",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
    "net_graph",
]
