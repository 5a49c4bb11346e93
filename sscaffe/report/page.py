"""The page itself: sections of a run, put together with the style."""

import base64
import html
from collections.abc import Iterable, Sequence

from sscaffe import __version__
from sscaffe.report import sections
from sscaffe.report.collect import Run
from sscaffe.report.style import STYLE
from sscaffe.weight_picture import weight_picture
from sscaffe.zero_table import zero_table


def page(run: Run) -> str:
    """Return the report of a run as HTML that needs nothing else."""
    parts = [sections.sweep(run.trials)] if run.trials else []
    for name, log in run.logs.items():
        parts.append(sections.training(name, log))
    if run.weights:
        parts.append(_weights(run))
    parts += [sections.speed(name, timing) for name, timing in run.timings.items()]
    title = html.escape(run.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} - sscaffe</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{title}</h1>{_tiles(sections.highlights(run))}</header>{''.join(parts)}"
        f"<footer>sscaffe {__version__}</footer></main></body></html>\n"
    )


def _tiles(facts: Iterable[tuple[str, str]]) -> str:
    tiles = "".join(
        f"<div><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>"
        for name, value in facts
    )
    return f'<div class="tiles">{tiles}</div>'


def _weights(run: Run) -> str:
    rows: list[Sequence[str]] = []
    pictures = []
    for one, zero in zip(run.weights, zero_table(run.weights), strict=True):
        name = html.escape(zero.layer)
        shares = [f"{share:.1f}" for share in (zero.element, zero.row, zero.column)]
        ratio = "-" if zero.structured_speedup is None else f"{zero.structured_speedup:.3g}x"
        rows.append([name, f"{zero.rows} x {zero.columns}", *shares, ratio])
        if not one.is_matrix:
            continue
        data = base64.b64encode(weight_picture(one.matrix)).decode()
        about = f"{zero.rows} filters x {zero.columns} columns"
        pictures.append(
            f'<figure><img alt="weights of {name}" src="data:image/png;base64,{data}">'
            f"<figcaption><b>{name}</b> {about}</figcaption></figure>"
        )
    heads = ["layer", "weights", "zero %", "zero rows %", "zero columns %", "less work"]
    note = "Rows of a picture are filters or neurons; pale is zero, dark is large."
    return (
        f"<section><h2>Weights <small>{html.escape(run.weights_file)}</small></h2>"
        f"{sections.table(heads, rows)}<p>{note}</p>"
        f'<div class="pictures">{"".join(pictures)}</div></section>'
    )
