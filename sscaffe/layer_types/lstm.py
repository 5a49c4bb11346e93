"""LSTM: long short-term memory."""

from sscaffe.blob import Array
from sscaffe.layer import register
from sscaffe.layer_types.lstm_unit import LSTMStep, lstm_backward, lstm_forward
from sscaffe.layer_types.products import product
from sscaffe.layer_types.recurrent import RecurrentLayer


@register("LSTM")
class LSTMLayer(RecurrentLayer):
    """Steps of `LSTMUnitLayer` whose sums are ``W_xc x_t + W_hc cont_t h_(t-1) + b_c``.

    Bottoms and tops: see `RecurrentLayer`; the states are h and c, in this order.
    Blobs, with H = num_output: W_xc ``(4 H, inputs)``, b_c ``(4 H,)``, W_xc of the constant input
    if there is one, W_hc ``(4 H, H)``.

    Source: Donahue et al., "Long-term Recurrent Convolutional Networks for Visual Recognition and
    Description", CVPR 2015.
    """

    num_states = 2
    gates = 4

    def add_hidden_params(self) -> None:
        """Create W_hc."""
        shape = (4 * self.hidden, self.hidden)
        self.add_param(shape, self.layer_param.recurrent_param.weight_filler)

    def run(self, sums: Array, first: list[Array]) -> tuple[Array, list[Array]]:
        """Go through the steps."""
        weights = self.blobs[self.hidden_index].const_data
        hidden, cell = first
        out = self.xp.empty((*sums.shape[:2], self.hidden), self.dtype)
        self._before = self.xp.empty_like(out)  # the kept states that each step starts from
        self._steps: list[LSTMStep] = []
        for t, part in enumerate(sums):
            self._before[t] = self.cont[t] * hidden
            gates = part + product(self, self._before[t], weights, transpose_b=True)
            cell, hidden, step = lstm_forward(self.xp, cell, gates, self.cont[t])
            self._steps.append(step)
            out[t] = hidden
        return out, [hidden, cell]

    def run_back(self, diff: Array, last: list[Array]) -> tuple[Array, list[Array]]:
        """Go back through the steps."""
        weights = self.blobs[self.hidden_index].const_data
        hidden_diff, cell_diff = last
        sums_diff = self.xp.empty((*diff.shape[:2], 4 * self.hidden), self.dtype)
        for t in reversed(range(len(diff))):
            cell_diff, sums_diff[t] = lstm_backward(
                self.xp, self._steps[t], cell_diff, hidden_diff + diff[t]
            )
            hidden_diff = self.cont[t] * product(self, sums_diff[t], weights)
        flat = sums_diff.reshape(-1, 4 * self.hidden)
        before = self._before.reshape(-1, self.hidden)
        self.add_diff(self.hidden_index, product(self, flat, before, transpose_a=True))
        return sums_diff, [hidden_diff, cell_diff]
