"""What a net is and has, in words and as a table for notebooks."""

from __future__ import annotations

import html as escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sscaffe.net.scripting import Scripting

WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct")
_COLOURS = {"element": "#7a8794", "row": "#c4622d", "column": "#2d6cc4"}


def text(net: Scripting) -> str:
    """Return one line: layers, parameters, multiply-adds, inputs and outputs with their shapes."""
    ends = "; ".join(
        f"{title} {_shapes(net, names)}"
        for title, names in (("inputs", net.inputs), ("outputs", net.outputs))
        if names
    )
    phase = "TEST" if net.phase else "TRAIN"
    return (
        f"<Net {net.name!r} ({phase}): {len(net.layers)} layers, {_parameters(net):,} parameters, "
        f"{_macs(net):,} multiply-adds; {ends}>"
    )


def html(net: Scripting) -> str:
    """Return a table of the layers: type, shape of the tops, parameters, and bars of zeros."""
    zeros = net.sparsity()
    rows = []
    for layer, tops in zip(net.layers, net.tops, strict=True):
        shapes = ", ".join(" &times; ".join(map(str, top.shape)) or "1" for top in tops)
        count = sum(blob.count for blob in layer.blobs)
        cells = [escape.escape(layer.name), escape.escape(layer.type), shapes]
        cells.append(f"{count:,}" if count else "")
        bars = "".join(_bar(kind, share) for kind, share in zeros.get(layer.name, {}).items())
        rows.append("".join(f"<td style='text-align:left'>{cell}</td>" for cell in (*cells, bars)))
    titles = ("layer", "type", "tops", "parameters", "% zero elements, rows, columns")
    head = "".join(f"<th style='text-align:left'>{title}</th>" for title in titles)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    caption = escape.escape(text(net)[1:-1])
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"


def _bar(kind: str, share: float) -> str:
    """Return a bar as long as a share of zeros, with the figure beside it."""
    return (
        "<div style='display:flex;align-items:center;gap:6px;line-height:1.1'>"
        "<div style='width:100px;background:rgba(128,128,128,.2)'>"
        f"<div style='width:{share:.0f}%;height:8px;background:{_COLOURS[kind]}' "
        f"title='{kind}s'></div></div><small>{share:.1f} {kind}s</small></div>"
    )


def _shapes(net: Scripting, names: list[str]) -> str:
    return ", ".join(f"{name} {net.blobs[name].shape}" for name in names)


def _parameters(net: Scripting) -> int:
    seen = {id(param.blob.data_tensor): param.blob.count for param in net.all_params}
    return int(np.sum(list(seen.values()), dtype=np.int64)) if seen else 0


def _macs(net: Scripting) -> int:
    counted = (getattr(layer, "macs", None) for layer in net.layers)
    return sum(macs() for macs in counted if macs is not None)
