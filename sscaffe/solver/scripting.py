"""What scripts do with a solver, in pycaffe's words, and what is called while it trains."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sscaffe.blob import Array
from sscaffe.net import Net
from sscaffe.net.hooks import require_callable
from sscaffe.proto import caffe_pb2
from sscaffe.solver.learning_rate import current_step, learning_rate
from sscaffe.solver.nets import share_weights

Call = Callable[[], None]
Display = Callable[[dict[str, Any]], None]


@dataclass
class Calls:
    """What is called before each iteration, between gradients and update, and at each display."""

    on_start: list[Call] = field(default_factory=list)
    on_gradients_ready: list[Call] = field(default_factory=list)
    on_display: list[Display] = field(default_factory=list)


class Scripting:
    """The part of `Solver` that scripts use; `Solver` has the rest."""

    param: caffe_pb2.SolverParameter
    net: Net
    test_nets: list[Net]
    test_results: list[dict[str, Array]]
    iter: int
    calls: Calls
    regularization: float = 0.0  # all terms together, as they were at the last display
    _step: int

    @property
    def smoothed_loss(self) -> float:
        """See `Solver`."""
        raise NotImplementedError

    @property
    def lr(self) -> float:
        """The learning rate of the next update, before lr_mult."""
        step = current_step(self.param, self.iter, self._step)
        return learning_rate(self.param, self.iter, step)

    def add_callback(self, on_start: Call, on_gradients_ready: Call) -> None:
        """Call functions in each iteration, without arguments.

        Parameters
        ----------
        on_start : callable
            Called before the forward pass.
        on_gradients_ready : callable
            Called when the gradients are there, before they are clipped, regularized and applied;
            it may change them, in the diffs of the parameters.
        """
        require_callable(on_start)
        require_callable(on_gradients_ready)
        self.calls.on_start.append(on_start)
        self.calls.on_gradients_ready.append(on_gradients_ready)

    def on_display(self, callback: Display) -> None:
        """Call a function whenever the solver displays: each `display` iterations.

        Parameters
        ----------
        callback : callable
            Called with a dict: ``iter``, ``loss`` (smoothed), ``lr``, ``outputs`` (dict of str to
            ndarray), ``tests`` (for each test net, the mean outputs of the last test) and
            ``sparsity`` (as `Net.sparsity` returns it). The last call of `solve`, if max_iter is a
            multiple of `display`, tells of the trained net.
        """
        require_callable(callback)
        self.calls.on_display.append(callback)

    def share_weights(self, net: Net) -> None:
        """Let another net use the weights in training, which are then those of both.

        Raises
        ------
        ShapeError
            If layers of one name differ in the shapes of their blobs.
        """
        share_weights(self.net, [net])

    def tell_display(self) -> None:
        """Call what `on_display` was given, if a display is due."""
        if not (self.calls.on_display and self._is_display_due()):
            return
        facts = {
            "iter": self.iter,
            "loss": self.smoothed_loss,
            "lr": self.lr,
            "outputs": {name: self.net.blobs[name].host_data.copy() for name in self.net.outputs},
            "tests": self.test_results,
            "sparsity": self.net.sparsity(),
        }
        for callback in self.calls.on_display:
            callback(facts)

    def __repr__(self) -> str:
        return f"<{self._title()}; {self.net!r}>"

    def _repr_html_(self) -> str:
        return f"<div>{self._title()}</div>{self.net._repr_html_()}"

    def _title(self) -> str:
        loss = f", loss {self.smoothed_loss:g}" if self.iter else ""
        end = f" of {self.param.max_iter}" if self.param.max_iter else ""
        return f"{self.param.type} solver: iteration {self.iter}{end}, lr {self.lr:g}{loss}"

    def _is_test_due(self) -> bool:
        return bool(self.param.test_iter) and self.iter % self.param.test_interval == 0

    def _is_display_due(self) -> bool:
        return bool(self.param.display) and self.iter % self.param.display == 0

    def _is_snapshot_due(self) -> bool:
        return bool(self.param.snapshot) and self.iter % self.param.snapshot == 0
