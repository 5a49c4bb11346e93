"""The sections of a report."""

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

from sscaffe.report.charts import Series, chart, strips
from sscaffe.report.collect import Run
from sscaffe.training_log import Row, TrainingLog, columns

_OWN = {"NumIters", "Seconds", "LearningRate", "Loss", "Regularization"}
_KINDS = ("row", "column", "element")


def highlights(run: Run) -> Iterator[tuple[str, str]]:
    """Return the figures at the top of the page: those of the last training."""
    if run.trials:
        done = sum(trial.get("status") == "done" for trial in run.trials)
        yield "trials done", f"{done} of {len(run.trials)}"
    if run.logs:
        name, log = list(run.logs.items())[-1]
        of = f", {name}" if len(run.logs) > 1 else ""
        rows = [*log.train, *(row for test in log.test.values() for row in test)]
        yield f"iterations{of}", f"{max(int(_number(row['NumIters'])) for row in rows)}"
        for score in _outputs(log.test.get(0, [])):
            yield f"test {score}{of}", f"{_number(log.test[0][-1].get(score)):.4g}"
    if run.weights:
        size = sum(one.matrix.size for one in run.weights)
        zero = sum(int((one.matrix == 0).sum()) for one in run.weights)
        yield "weights that are zero", f"{100 * zero / size:.1f} %"


def training(name: str, log: TrainingLog) -> str:
    """Show the curves of a training, and its zeros over time."""
    losses, scores = _losses(log), _scores(log)
    rates = [s for s in [_series(log.train, "LearningRate", "learning rate")] if s.x]
    parts = []
    if losses:
        all_positive = all(v > 0 for s in losses for v in s.y if math.isfinite(v))
        parts.append(("Loss", chart(losses, label="loss", log=all_positive)))
    if scores:
        parts.append(("Test", chart(scores, label="score")))
    if rates:
        parts.append(("Learning rate", chart(rates, label="learning rate", log=True)))
    terms = _series(log.train, "Regularization", "regularization")
    if any(terms.y):
        parts.append(("Regularization", chart([terms], label="all terms together")))
    parts += list(_zeros(log.sparsity))
    drawn = "".join(f"<div><h3>{title}</h3>{drawing}</div>" for title, drawing in parts)
    return f'<section><h2>{html.escape(name)}</h2><div class="charts">{drawn}</div></section>'


def _losses(log: TrainingLog) -> list[Series]:
    found = [_series(log.train, "Loss", "training, smoothed")]
    for number, rows in sorted(log.test.items()):
        found += [
            _series(rows, name, f"test {name}" + (f" #{number}" if number else ""))
            for name in _outputs(rows)
            if "loss" in name.lower()
        ]
    return [one for one in found if one.x]


def _scores(log: TrainingLog) -> list[Series]:
    return [
        _series(rows, name, name + (f" #{number}" if number else ""))
        for number, rows in sorted(log.test.items())
        for name in _outputs(rows)
        if "loss" not in name.lower()
    ]


def _outputs(rows: list[Row]) -> list[str]:
    return [name for name in columns(rows) if name not in _OWN][:6]


def _series(rows: list[Row], column: str, name: str) -> Series:
    known = [row for row in rows if row.get(column) is not None]
    x = [_number(row["NumIters"]) for row in known]
    return Series(name, x, [_number(row[column]) for row in known])


def _number(value: float | int | None) -> float:
    return math.nan if value is None else float(value)


def _zeros(rows: list[Row]) -> Iterator[tuple[str, str]]:
    iterations = [_number(row["NumIters"]) for row in rows]
    names = [name for name in columns(rows) if name not in _OWN]
    for kind in _KINDS:
        chosen = [n for n in names if n.endswith(f" {kind}") and "bias" not in n]
        strip = [
            (n.removesuffix(f" {kind}").removesuffix(" weight"), [_number(r.get(n)) for r in rows])
            for n in chosen
        ]
        if strip:
            yield f"Zero {kind}s over time", strips(strip, iterations)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the cells are HTML already."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _cell(text: str) -> str:
    return f'<td class="wide">{text}</td>' if "class=" in text else f"<td>{text}</td>"


def _bar(value: float, largest: float) -> str:
    share = 100 * value / largest if largest else 0
    return f'<span class="bar" style="width:{share:.1f}%"></span>'


def speed(name: str, timing: dict[str, Any]) -> str:
    """Show how long each layer takes, dense and at its best where both were measured."""
    layers = timing["layers"]
    if "modes" in layers[0]:
        heads, rows = ["layer", "best mode", "ms", "dense ms", "x dense", ""], []
        for layer in layers:
            best = next(m for m in layer["modes"] if m["mode"] == layer["best"])
            times = best["layer"]["median"], best["layer"]["median"] * best["over_dense"]
            rows.append((layer["name"], best["mode"], *times, best["over_dense"]))
        largest = max((row[2] for row in rows), default=0.0)
        cells = [
            [html.escape(n), mode, f"{ms:.3g}", f"{dense:.3g}", f"{x:.2f}", _bar(ms, largest)]
            for n, mode, ms, dense, x in rows
        ]
        note = html.escape(str(timing.get("verdict", "")))
    else:
        heads = ["layer", "type", "forward ms", "MFLOP", "kept %", ""]
        largest = max((layer["forward"]["median"] for layer in layers), default=0.0)
        cells = [_timed(layer, largest) for layer in layers]
        note = f"Forward as a whole: {timing['forward']['median']:.4g} ms."
    return (
        f"<section><h2>Speed <small>{html.escape(name)}</small></h2>{table(heads, cells)}"
        f"<p>{note}</p></section>"
    )


def _timed(layer: dict[str, Any], largest: float) -> list[str]:
    time, macs, kept = layer["forward"]["median"], layer.get("macs"), layer.get("kept_macs")
    work = [f"{2e-6 * macs:.4g}", f"{100 * (kept or 0) / macs:.1f}"] if macs else ["", ""]
    names = [html.escape(layer["name"]), html.escape(layer["type"])]
    return [*names, f"{time:.3g}", *work, _bar(time, largest)]


def sweep(trials: Sequence[dict[str, Any]]) -> str:
    """Show the trials of a sweep; the front are those that no other one beats in both figures."""
    done = [t for t in trials if t.get("score") is not None and t.get("flops") is not None]
    best = front(done)
    drawing = ""
    if done:
        rest = [t for t in done if t not in best]
        dots = [_trial_dots("front", best), _trial_dots("beaten", rest)]
        shown = [one for one in dots if one.x]
        drawing = chart(shown, label="score", x_label="multiply-adds left, per cent")
    rows = [
        [
            f"{trial.get('number', i)}",
            f"{trial.get('strength', math.nan):.3g}",
            html.escape(str(trial.get("status", ""))),
            "-" if trial.get("score") is None else f"{trial['score']:.4g}",
            "-" if trial.get("flops") is None else f"{100 * trial['flops']:.1f}",
            "yes" if trial in best else "",
        ]
        for i, trial in enumerate(trials)
    ]
    heads = ["trial", "lambda", "status", "score", "multiply-adds %", "front"]
    return (
        f'<section><h2>Sweep</h2><div class="charts"><div>{drawing}</div>'
        f"<div>{table(heads, rows)}</div></div></section>"
    )


def front(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trials that no other one beats: as good in both figures, better in one."""
    return [
        t
        for t in trials
        if not any(
            o["score"] >= t["score"]
            and o["flops"] <= t["flops"]
            and (o["score"], o["flops"]) != (t["score"], t["flops"])
            for o in trials
        )
    ]


def _trial_dots(name: str, trials: Sequence[dict[str, Any]]) -> Series:
    labels = [f"lambda {t['strength']:.3g}: {t['score']:.4g}" for t in trials]
    x = [100 * t["flops"] for t in trials]
    return Series(name, x, [t["score"] for t in trials], True, labels)
