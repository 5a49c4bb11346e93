"""Nets: the graph of layers, their weights, and how to run them."""

from sscaffe.net.net import Net

__all__ = ["Net"]
