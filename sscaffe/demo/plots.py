"""The pictures of the demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.demo.stage import Stage
from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]

_COLOURS = {"baseline": "#4477aa", "ssl": "#cc6677", "finetune": "#228833"}
_ZERO = "#e8e8e8"


def draw_all(folder: Path, stages: Sequence[Stage]) -> list[Path]:
    """Draw every picture of a run.

    Parameters
    ----------
    folder : Path
        Gets the PNGs.
    stages : sequence of Stage
        Baseline, SSL, fine-tuning.

    Returns
    -------
    list of Path
        The pictures.

    Raises
    ------
    UnsupportedError
        If matplotlib is not installed.
    """
    before, after = stages[0].weights["conv2"], stages[-1].weights["conv2"]
    figures = {
        "curves.png": curves(stages),
        "sparsity.png": heat_map(stages),
        "weights_conv2.png": weight_matrices("conv2", before, after),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=120)
    return [folder / name for name in figures]


def curves(stages: Sequence[Stage]) -> Any:
    """Draw training loss and test accuracy over the iterations of all stages."""
    figure = _figure(9, 5.5)
    loss_axes, accuracy_axes = figure.subplots(2, 1, sharex=True)
    start = 0
    for stage in stages:
        colour, count = _COLOURS[stage.name], stage.iterations[-1]
        x = start + np.array(stage.iterations)
        loss_axes.plot(x, stage.losses, color=colour, alpha=0.3, linewidth=1)
        loss_axes.plot(x, _smooth(stage.losses), color=colour, label=stage.name)
        tested = start + np.array(stage.tested)
        accuracy_axes.plot(
            tested, stage.accuracies, "o-", color=colour, markersize=4, clip_on=False
        )
        # Along the bottom, where no line of a trained net passes.
        accuracy_axes.annotate(
            f"{stage.accuracy:.2f} % at the end",
            (start + 0.98 * count, 0.04),
            xycoords=accuracy_axes.get_xaxis_transform(),
            ha="right",
            color=colour,
        )
        start += count
        for axes in (loss_axes, accuracy_axes):
            axes.axvline(start, color="0.8", linewidth=1)
    loss_axes.set(title="LeNet: training loss (pale: single batches)", yscale="log")
    loss_axes.set_ylabel("softmax loss")
    loss_axes.legend(loc="upper right")
    accuracy_axes.set(title="Test accuracy", ylabel="per cent", xlabel="iteration", xlim=(0, start))
    for axes in (loss_axes, accuracy_axes):
        axes.grid(axis="y", color="0.92")
    figure.align_ylabels()
    return figure


def heat_map(stages: Sequence[Stage]) -> Any:
    """Draw how many filters and columns of each layer are zero, over the iterations."""
    rows = list(stages[0].zeros[0])
    values = np.array([[zeros[row] for s in stages for zeros in s.zeros] for row in rows])
    counts = [stage.iterations[-1] for stage in stages]
    ends = np.cumsum(counts)
    figure = _figure(9, 3)
    axes = figure.subplots()
    image = axes.imshow(
        values, aspect="auto", cmap="viridis", vmin=0, vmax=100, interpolation="nearest"
    )
    image.set_extent((0, float(ends[-1]), len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title("Zero filters (rows) and columns of the weight matrices", pad=22)
    axes.set_xlabel("iteration")
    for stage, end, count in zip(stages, ends, counts, strict=True):
        axes.axvline(end, color="white", linewidth=1.5)
        middle = (end - count / 2, -0.62)
        axes.annotate(stage.name, middle, ha="center", va="bottom", annotation_clip=False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [f"{value:.0f} %" for value in values[:, -1]])
    right.set_ylabel("at the end")
    figure.colorbar(image, ax=axes, label="per cent zero", pad=0.02)
    return figure


def weight_matrices(name: str, before: Array, after: Array) -> Any:
    """Draw a weight matrix before and after; zeros are pale."""
    figure = _figure(11, 5)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    limit = float(np.percentile(np.abs(before), 99.5))
    for axes, title, matrix in zip(panels, ("baseline", "after SSL"), (before, after), strict=True):
        kept = f"{matrix.any(axis=1).sum()} of {len(matrix)} filters, "
        kept += f"{matrix.any(axis=0).sum()} of {matrix.shape[1]} columns are not zero"
        image = axes.imshow(
            np.ma.masked_equal(np.abs(matrix), 0),
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=limit,
            interpolation="nearest",
        )
        axes.set_facecolor(_ZERO)
        axes.set(title=f"{name}, {title}: {kept}", ylabel="filter")
    panels[1].set_xlabel("column: input channel x kernel row x kernel column (zeros are pale grey)")
    figure.colorbar(image, ax=panels, label="magnitude of the weight", extend="max")
    return figure


def _figure(width: float, height: float) -> Any:
    """Return an empty figure that needs no display, in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            "demo: the pictures need matplotlib: pip install 'sscaffe[plot]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _smooth(values: Sequence[float], width: int = 5) -> Array:
    """Return the running mean over the last few values."""
    return np.array([np.mean(values[max(0, i + 1 - width) : i + 1]) for i in range(len(values))])
