"""LSTMUnit: one time step of an LSTM, without its weights."""

from types import ModuleType
from typing import NamedTuple

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


class LSTMStep(NamedTuple):
    """What a step computed, for its backward pass. All arrays are (N, H), `cont` is (N, 1)."""

    cell_before: Array
    cont: Array
    input_gate: Array
    forget: Array  # before cont
    output_gate: Array
    candidate: Array
    squashed: Array  # tanh of the cell


def lstm_forward(
    xp: ModuleType, cell: Array, sums: Array, cont: Array
) -> tuple[Array, Array, LSTMStep]:
    """Compute one step.

    Parameters
    ----------
    xp : module
        The array module.
    cell : ndarray, shape (N, H)
        The cell before.
    sums : ndarray, shape (N, 4 H)
        Input gate, forget gate, output gate and candidate, before their nonlinearities.
    cont : ndarray, shape (N, 1)
        0 where a sequence begins, else 1.

    Returns
    -------
    cell, hidden : ndarray, shape (N, H)
        The new cell and state.
    LSTMStep
        For `lstm_backward`.
    """
    size = cell.shape[1]
    gates = _sigmoid(xp, sums[:, : 3 * size])
    input_gate, forget, output_gate = (gates[:, i * size : (i + 1) * size] for i in range(3))
    candidate = xp.tanh(sums[:, 3 * size :])
    new = cont * forget * cell + input_gate * candidate
    squashed = xp.tanh(new)
    step = LSTMStep(cell, cont, input_gate, forget, output_gate, candidate, squashed)
    return new, output_gate * squashed, step


def lstm_backward(
    xp: ModuleType, step: LSTMStep, cell_diff: Array, hidden_diff: Array
) -> tuple[Array, Array]:
    """Return the gradients of the cell before (N, H), and of the sums (N, 4 H)."""
    s = step
    total = cell_diff + hidden_diff * s.output_gate * (1 - s.squashed * s.squashed)
    size = total.shape[1]
    sums_diff = xp.empty((len(total), 4 * size), total.dtype)
    parts = (
        total * s.candidate * s.input_gate * (1 - s.input_gate),
        total * s.cell_before * s.cont * s.forget * (1 - s.forget),
        hidden_diff * s.squashed * s.output_gate * (1 - s.output_gate),
        total * s.input_gate * (1 - s.candidate * s.candidate),
    )
    for i, part in enumerate(parts):
        sums_diff[:, i * size : (i + 1) * size] = part
    return total * s.cont * s.forget, sums_diff


def _sigmoid(xp: ModuleType, x: Array) -> Array:
    # By way of tanh, which does not overflow.
    values: Array = 0.5 * xp.tanh(0.5 * x) + 0.5
    return values


@register("LSTMUnit")
class LSTMUnitLayer(Layer):
    """``c = cont f c_before + i g``, ``h = o tanh(c)``.

    i, f and o are the sigmoids of the first three parts of the second bottom, g is the tanh of the
    fourth.

    Bottoms: c_before ``(1, N, H)``, the sums of the gates ``(1, N, 4 H)``, cont ``(1, N)``: 0
    where a sequence begins, else 1. Tops: c and h, ``(1, N, H)``.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 1997.
    """

    num_bottom = 3
    num_top = 2

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give both tops the shape of the cell."""
        cell = bottom[0].shape
        if len(cell) != 3 or cell[0] != 1:
            raise ShapeError(f"bottom 0: expected a shape (1, N, H), got {cell}")
        for i, shape in ((1, (1, cell[1], 4 * cell[2])), (2, (1, cell[1]))):
            if bottom[i].shape != shape:
                raise ShapeError(f"bottom {i}: expected {shape}, got {bottom[i].shape}")
        for blob in top:
            blob.reshape(*cell)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the step."""
        cell, sums, cont = (blob.const_data[0] for blob in bottom)
        *values, self._step = lstm_forward(self.xp, cell, sums, cont[:, None])
        for blob, value in zip(top, values, strict=True):
            blob.set_data(value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients of the cell and the sums; cont has none."""
        diffs = lstm_backward(self.xp, self._step, top[0].const_diff[0], top[1].const_diff[0])
        for blob, wanted, diff in zip(bottom, propagate_down, diffs, strict=False):
            if wanted:
                blob.set_diff(diff)
        if propagate_down[2]:
            bottom[2].clear_diff()

    def allow_force_backward(self, index: int) -> bool:
        """Tell that cont has no diff."""
        return index != 2
