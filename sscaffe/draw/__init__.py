"""Pictures of nets: boxes for layers, arrows for blobs."""

from sscaffe.draw.graph import Box, Edge, NetGraph, net_graph
from sscaffe.draw.picture import FORMATS, draw

__all__ = ["FORMATS", "Box", "Edge", "NetGraph", "draw", "net_graph"]
