"""Scalars of a training for TensorBoard."""

import os
from typing import Any

import numpy as np

from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.solver import Solver


class TensorBoard:
    """Writes what a solver displays: loss, outputs, learning rate, regularization, zeros.

    Parameters
    ----------
    solver : Solver
        The solver; whenever it displays, the figures are written.
    folder : path-like
        Gets the event file; made if it is not there.

    Raises
    ------
    UnsupportedError
        If tensorboardX is not installed.
    SscaffeError
        If the folder cannot be written to, or the solver never displays.
    """

    def __init__(self, solver: Solver, folder: str | os.PathLike[str]) -> None:
        if not solver.param.display:
            raise SscaffeError("tensorboard: the solver never displays; set display, such as 100")
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UnsupportedError(
                "tensorboard: needs tensorboardX: pip install 'sscaffe[tensorboard]'"
            ) from error
        try:
            self._writer: Any = SummaryWriter(os.fspath(folder))
        except OSError as error:
            raise SscaffeError(
                f"tensorboard: {os.fspath(folder)} cannot be written to: {error.strerror}"
            ) from error
        self._solver = solver
        solver.on_display(self._write)
        solver.callbacks.append(self._write_terms)

    def close(self) -> None:
        """Write what is still in memory, and look no more."""
        self._solver.callbacks.remove(self._write_terms)
        self._writer.close()

    def _write_terms(self, solver: Solver) -> None:
        """Write the regularization terms, which only the update of an iteration works out."""
        step = solver.iter - 1
        if step % solver.param.display == 0:
            self._writer.add_scalar("train/regularization", solver.regularization, step)

    def _write(self, facts: dict[str, Any]) -> None:
        step = facts["iter"]
        values = {"train/loss": facts["loss"], "train/lr": facts["lr"]}
        values |= _scalars("train/output", facts["outputs"])
        for number, test in enumerate(facts["tests"]):
            values |= _scalars(f"test{number or ''}", test)
        for layer, zeros in facts["sparsity"].items():
            values |= {f"zero_{kind}s/{layer}": share for kind, share in zeros.items()}
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)


def _scalars(title: str, outputs: dict[str, Any]) -> dict[str, float]:
    """Return the outputs that are one number."""
    found = {name: np.asarray(value) for name, value in outputs.items()}
    return {f"{title}/{name}": float(v.reshape(())) for name, v in found.items() if v.size == 1}
