"""RNN: the plain recurrent network."""

from sscaffe.blob import Array
from sscaffe.layer import register
from sscaffe.layer_types.products import product
from sscaffe.layer_types.recurrent import RecurrentLayer


@register("RNN")
class RNNLayer(RecurrentLayer):
    """``h_t = tanh(W_xh x_t + W_hh cont_t h_(t-1) + b_h)``, ``top_t = tanh(W_ho h_t + b_o)``.

    Bottoms and tops: see `RecurrentLayer`; the state is h.
    Blobs, with H = num_output: W_xh ``(H, inputs)``, b_h ``(H,)``, W_xh of the constant input if
    there is one, W_hh ``(H, H)``, W_ho ``(H, H)``, b_o ``(H,)``.
    """

    num_states = 1
    gates = 1

    def add_hidden_params(self) -> None:
        """Create W_hh, W_ho and b_o."""
        param = self.layer_param.recurrent_param
        self.add_param((self.hidden, self.hidden), param.weight_filler)
        self.add_param((self.hidden, self.hidden), param.weight_filler)
        self.add_param((self.hidden,), param.bias_filler)

    def run(self, sums: Array, first: list[Array]) -> tuple[Array, list[Array]]:
        """Go through the steps."""
        weights, to_output, bias = (
            blob.const_data for blob in self.blobs[self.hidden_index : self.hidden_index + 3]
        )
        state = first[0]
        self._before = self.xp.empty_like(sums)  # the kept states that each step starts from
        self._after = self.xp.empty_like(sums)
        for t, part in enumerate(sums):
            self._before[t] = self.cont[t] * state
            state = self.xp.tanh(part + product(self, self._before[t], weights, transpose_b=True))
            self._after[t] = state
        self._out = product(self, self._after, to_output, transpose_b=True)
        self._out += bias
        self.xp.tanh(self._out, out=self._out)
        return self._out, [state]

    def run_back(self, diff: Array, last: list[Array]) -> tuple[Array, list[Array]]:
        """Go back through the steps."""
        first = self.hidden_index
        weights, to_output = (blob.const_data for blob in self.blobs[first : first + 2])
        out_diff = diff * (1 - self._out * self._out)
        flat = out_diff.reshape(-1, self.hidden)
        after = self._after.reshape(-1, self.hidden)
        self.add_diff(first + 1, product(self, flat, after, transpose_a=True))
        self.add_diff(first + 2, flat.sum(axis=0))
        from_output = product(self, out_diff, to_output)
        state_diff, sums_diff = last[0], self.xp.empty_like(diff)
        for t in reversed(range(len(diff))):
            state_diff = state_diff + from_output[t]
            sums_diff[t] = state_diff * (1 - self._after[t] * self._after[t])
            state_diff = self.cont[t] * product(self, sums_diff[t], weights)
        flat = sums_diff.reshape(-1, self.hidden)
        before = self._before.reshape(-1, self.hidden)
        self.add_diff(first, product(self, flat, before, transpose_a=True))
        return sums_diff, [state_diff]
