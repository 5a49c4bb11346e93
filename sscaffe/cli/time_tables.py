"""What ``sscaffe time`` prints: tables of 100 columns, and the same as JSON."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from sscaffe.cli.results import Cell, print_table, shortened
from sscaffe.timing import Comparison, LayerComparison, LayerTiming, ModeTiming, NetTiming
from sscaffe.timing.verdict import of_layer

_ROWS = ["layer", "kernel, or type", "forward\nms", "+-\n%", "backward\nms", "\nMFLOP", "kept\n%"]
_ROWS += ["zero\ncolumns %", "zero\nrows %"]
_MODES = [
    "layer",
    "mode",
    "kernel\nms",
    "lowering\nms",
    "layer\nms",
    "x LOWERED\n_GEMM",
    "x\ndense",
]
_MODES += ["MFLOP\ndense", "MFLOP\nkept", "% of\npeak"]
_BACKWARD = _ROWS.index("backward\nms")


def print_rows(name: str, timing: NetTiming) -> None:
    """Print a net row by row."""
    wide = timing.backward is None
    name_width, kernel_width = (30, 26) if wide else (24, 20)
    rows: list[list[Cell]] = [
        [
            row_name(layer.members, layer.types, name_width),
            shortened(_kernel(layer), kernel_width),
            *_times(layer.forward, layer.backward),
            *_work(layer.macs, layer.kept_macs),
            layer.zero_columns,
            layer.zero_rows,
        ]
        for layer in timing.layers
    ]
    work = _work(timing.macs, timing.kept_macs)
    totals: list[list[Cell]] = [
        ["all rows", "", *_times(timing.rows, timing.backward), *work, None, None],
        ["forward as a whole", "", *_times(timing.forward, None), None, None, None, None],
    ]
    columns = list(_ROWS)
    if wide:
        del columns[_BACKWARD]
        for row in (*rows, *totals):
            del row[_BACKWARD]
    title = f"{name}, {timing.iterations} runs: medians, and half the width of the middle 80 %"
    print_table(columns, rows, title=title, totals=totals, digits=3)
    _print_choices(timing.layers)


def _print_choices(layers: Sequence[LayerTiming]) -> None:
    """Print what AUTO chose where there was a choice."""
    for layer in layers:
        reason = re.search(r"\(AUTO: (.*)\)$", layer.kernel)
        if reason and not reason[1].endswith("too few"):
            kind = "dense" if ", but " in reason[1] else _kernel(layer)
            click.echo(wrapped(f"AUTO, {layer.members[0]}: {kind}; {reason[1]}"))


def print_comparison(name: str, comparison: Comparison) -> None:
    """Print every mode of every layer, and what to make of it."""
    rows: list[list[Cell]] = []
    for layer in comparison.layers:
        for number, timing in enumerate(layer.modes):
            rows.append(_mode_row(comparison, layer, timing, is_first=not number))
    totals = [_net_row(comparison, net) for net in comparison.nets]
    title = f"{name} on {comparison.place}; peak {comparison.peak:.0f} GFLOP/s, of sgemm 1024^3"
    print_table(_MODES, rows, title=title, totals=totals, digits=3)
    for layer in comparison.layers:
        click.echo(wrapped(of_layer(layer)))
    click.echo(wrapped(comparison.verdict))


def _net_row(comparison: Comparison, net: str) -> list[Cell]:
    dense, lowered, own = (comparison.nets[one].median for one in ("dense", "LOWERED_GEMM", net))
    return ["whole net", net, "", "", own, lowered / own, dense / own, "", "", ""]


def _mode_row(
    comparison: Comparison, layer: LayerComparison, timing: ModeTiming, is_first: bool
) -> list[Cell]:
    field = layer.field
    name = row_name(layer.name.split(" + "), layer.types, 20) if is_first else ""
    mark = "*" if timing.mode == layer.best else ""
    row: list[Cell] = [name, timing.mode + mark, timing.kernel, timing.lowering]
    row += [timing.layer.median]
    row += [layer.speedup(timing, field.lowered), layer.speedup(timing, field.dense)]
    row += [2e-6 * layer.macs, 2e-6 * layer.kept_macs] if is_first else ["", ""]
    return [*row, round(comparison.per_cent_of_peak(timing))]


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return all of a comparison for JSON, with what the tables make of it."""
    result = asdict(comparison)
    for layer, entry in zip(comparison.layers, result["layers"], strict=True):
        entry["verdict"] = of_layer(layer)
        entry["mflop_dense"], entry["mflop_kept"] = 2e-6 * layer.macs, 2e-6 * layer.kept_macs
        for timing, mode in zip(layer.modes, entry["modes"], strict=True):
            mode["over_lowered_gemm"] = layer.speedup(timing, layer.field.lowered)
            mode["over_dense"] = layer.speedup(timing, layer.field.dense)
            mode["per_cent_of_peak"] = comparison.per_cent_of_peak(timing)
    return result


def wrapped(text: str) -> str:
    """Break a sentence into lines of 100 columns."""
    return textwrap.fill(text, 100, subsequent_indent="  ", break_long_words=False)


def row_name(members: Sequence[str], types: Sequence[str], width: int) -> str:
    """Return the names of layers that run as one, or what of them there is room for."""
    whole = " + ".join(members)
    if len(whole) <= width or len(members) == 1:
        return shortened(whole, width)
    with_types = " + ".join([members[0], *types[1:]])
    if len(with_types) <= width:
        return with_types
    return f"{shortened(members[0], width - 4)} +.."


def _kernel(layer: LayerTiming) -> str:
    """Return which code ran, in few words; the type of a layer that has no choice."""
    text = re.sub(r" \(AUTO: .*\)$|:(avx|sse)\w*|, \d+ groups", "", layer.kernel)
    return text.replace("implicit GEMM of ", "") or layer.type


def _times(forward: Any, backward: Any) -> list[Cell]:
    half = 50 * (forward.high - forward.low) / forward.median if forward.median else 0.0
    return [forward.median, round(half), backward.median if backward else None]


def _work(macs: int | None, kept_macs: int | None) -> list[Cell]:
    """Return the dense MFLOP, and the per cent that is left."""
    if not macs or kept_macs is None:
        return [None, None]
    return [2e-6 * macs, 100 * kept_macs / macs]
