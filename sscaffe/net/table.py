"""What a net is and has, in words and as a table for notebooks."""

from __future__ import annotations

import html as escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sscaffe.net.scripting import Scripting

WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct")
_COLOURS = {"element": "#8592a0", "row": "#d9733a", "column": "#4a86d8"}
_SHOWN = 0.05  # per cent: less than that is 0.0 in print


def text(net: Scripting) -> str:
    """Return one line: layers, parameters, multiply-adds, inputs and outputs with their shapes."""
    ends = "; ".join(
        f"{title} {_shapes(net, names)}"
        for title, names in (("inputs", net.inputs), ("outputs", net.outputs))
        if names
    )
    phase = "TEST" if net.phase else "TRAIN"
    name = f"Net {net.name!r}" if net.name else "Net"
    return (
        f"<{name} ({phase}): {len(net.layers)} layers, {_parameters(net):,} parameters, "
        f"{_macs(net):,} multiply-adds a batch; {ends}>"
    )


def html(net: Scripting) -> str:
    """Return a table of the layers: type, shape of the tops, parameters, and bars of zeros.

    Colours of text and background are left to the page, which may be light or dark.
    """
    zeros = net.sparsity()
    rows = []
    for layer, tops in zip(net.layers, net.tops, strict=True):
        shapes = ", ".join(" &times; ".join(map(str, top.shape)) or "1" for top in tops)
        count = sum(blob.count for blob in layer.blobs)
        cells = [escape.escape(layer.name), escape.escape(layer.type), shapes]
        cells.append(f"{count:,}" if count else "")
        cells.append(_bars(zeros[layer.name]) if layer.name in zeros else "")
        rows.append(_row("td", cells))
    head = _row("th", ["layer", "type", "tops", "parameters", "zeros"])
    caption = escape.escape(text(net)[1:-1])
    return (
        f"<table><caption style='text-align:left;color:inherit;padding:4px 0'>{caption}</caption>"
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(tag: str, cells: list[str]) -> str:
    """Return a row of five cells; figures, in the fourth, stand to the right."""
    aligned = zip(cells, ("left", "left", "left", "right", "left"), strict=True)
    style = "white-space:nowrap;text-align"
    whole = "".join(f"<{tag} style='{style}:{to}'>{cell}</{tag}>" for cell, to in aligned)
    return f"<tr>{whole}</tr>"


def _bars(shares: dict[str, float]) -> str:
    """Return a bar for each kind of zeros that there are, as long as their share."""
    bars = [_bar(kind, share) for kind, share in shares.items() if share >= _SHOWN]
    return "".join(bars) or "none"


def _bar(kind: str, share: float) -> str:
    """Return a bar with its figure beside it."""
    return (
        "<div style='display:flex;align-items:center;gap:6px;line-height:1.1'>"
        "<div style='width:100px;background:rgba(128,128,128,.25)'>"
        f"<div style='width:{share:.0f}%;height:8px;background:{_COLOURS[kind]}'></div></div>"
        f"<small>{share:.1f} % of {kind}s</small></div>"
    )


def _shapes(net: Scripting, names: list[str]) -> str:
    return ", ".join(f"{name} {net.blobs[name].shape}" for name in names)


def _parameters(net: Scripting) -> int:
    seen = {id(param.blob.data_tensor): param.blob.count for param in net.all_params}
    return int(np.sum(list(seen.values()), dtype=np.int64)) if seen else 0


def _macs(net: Scripting) -> int:
    counted = (getattr(layer, "macs", None) for layer in net.layers)
    return sum(macs() for macs in counted if macs is not None)
