"""What RNN and LSTM have in common."""

from abc import abstractmethod
from typing import ClassVar

from sscaffe.blob import Array, Blob
from sscaffe.errors import PrototxtError, ShapeError, UnsupportedError
from sscaffe.layer import Layer
from sscaffe.layer_types.products import product


class RecurrentLayer(Layer):
    """A layer that goes through time steps, each with what the one before it left.

    Bottoms: x ``(T, N, ...)``, T steps of N sequences; cont ``(T, N)``, 0 where a sequence begins,
    which forgets the state, else 1; then, if there is one more, an input ``(N, ...)`` that is the
    same at each step; with ``expose_hidden``, the first states ``(1, N, num_output)`` last.
    Tops: ``(T, N, num_output)``; with ``expose_hidden``, the last states ``(1, N, num_output)``.

    Without ``expose_hidden``, a forward pass begins with the states that the last one ended with.
    """

    num_states: ClassVar[int]
    gates: ClassVar[int]  # rows of the input's weights, in units of num_output

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms and create `blobs`."""
        param = self.layer_param.recurrent_param
        self.hidden = int(param.num_output)
        if not self.hidden:
            raise ShapeError("num_output: expected 1 or more, got 0")
        self._exposed = self.num_states if param.expose_hidden else 0
        self._check_counts(len(bottom), len(top))
        self.has_static = len(bottom) - self._exposed == 3
        if bottom[0].ndim < 2:
            raise ShapeError(f"bottom: expected a shape (T, N, ...), got {bottom[0].shape}")
        self.states: list[Array] = []
        self._next: list[Array] = []
        if not self.blobs:
            self._add_params(bottom)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops; states of another number of sequences are forgotten."""
        steps, batch = bottom[0].shape[:2]
        self._require(bottom, 1, (steps, batch))
        if self.has_static and bottom[2].shape[:1] != (batch,):
            raise ShapeError(f"bottom 2: expected a shape ({batch}, ...), got {bottom[2].shape}")
        state = (1, batch, self.hidden)
        for i in range(len(bottom) - self._exposed, len(bottom)):
            self._require(bottom, i, state)
        top[0].reshape(steps, batch, self.hidden)
        for blob in top[1:]:
            blob.reshape(*state)
        if not self._next or self._next[0].shape != state[1:]:
            self.reset()
            self._next = [self.xp.zeros(state[1:], self.dtype) for _ in range(self.num_states)]

    def reset(self) -> None:
        """Forget the states: the next forward pass begins with zeros."""
        for state in self._next:
            state[...] = 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Go through the steps."""
        if self._exposed:
            first = [blob.const_data[0].copy() for blob in bottom[-self._exposed :]]
        else:
            # Copies: a graph that is replayed finds the states where they were.
            first = [state.copy() for state in self._next]
        steps, batch = bottom[0].shape[:2]
        self.x = bottom[0].const_data.reshape(steps * batch, -1)
        self.cont = bottom[1].const_data[..., None]
        sums = product(self, self.x, self.blobs[0].const_data, transpose_b=True)
        sums += self.blobs[1].const_data
        sums = sums.reshape(steps, batch, -1)
        if self.has_static:
            static = bottom[2].const_data.reshape(batch, -1)
            sums += product(self, static, self.blobs[2].const_data, transpose_b=True)
        out, last = self.run(sums, first)
        top[0].set_data(out)
        for blob, state in zip(top[1:], last, strict=False):
            blob.set_data(state)
        for own, state in zip(self._next, last, strict=True):
            own[...] = state

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Go back through the steps."""
        if propagate_down[1]:
            raise UnsupportedError(
                "propagate_down: bottom 1, which tells where sequences begin, "
                "has no gradient; set it to false"
            )
        last = [blob.const_diff[0] for blob in top[1:]]
        last += [self.xp.zeros_like(state) for state in self._next[len(last) :]]
        sums_diff, first = self.run_back(top[0].const_diff, last)
        self._add_input_diffs(sums_diff, bottom)
        flat = sums_diff.reshape(-1, sums_diff.shape[2])
        if propagate_down[0]:
            diff = product(self, flat, self.blobs[0].const_data)
            bottom[0].set_diff(diff.reshape(bottom[0].shape))
        if self.has_static and propagate_down[2]:
            diff = product(self, sums_diff.sum(axis=0), self.blobs[2].const_data)
            bottom[2].set_diff(diff.reshape(bottom[2].shape))
        if self._exposed:
            exposed = zip(bottom[-self._exposed :], propagate_down[-self._exposed :], strict=True)
            for (blob, wanted), diff in zip(exposed, first, strict=True):
                if wanted:
                    blob.set_diff(diff)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that all but the marks of beginnings have a diff."""
        return index != 1

    @abstractmethod
    def run(self, sums: Array, first: list[Array]) -> tuple[Array, list[Array]]:
        """Go through the steps.

        Parameters
        ----------
        sums : ndarray, shape (T, N, gates * H)
            What the inputs contribute to each step.
        first : list of ndarray, shapes (N, H)
            The states before the first step.

        Returns
        -------
        ndarray, shape (T, N, H)
            The top.
        list of ndarray, shapes (N, H)
            The states after the last step.
        """

    @abstractmethod
    def run_back(self, diff: Array, last: list[Array]) -> tuple[Array, list[Array]]:
        """Go back through the steps of the last `run`.

        Parameters
        ----------
        diff : ndarray, shape (T, N, H)
            The gradient of the top.
        last : list of ndarray, shapes (N, H)
            The gradients of the states after the last step.

        Returns
        -------
        ndarray, shape (T, N, gates * H)
            The gradient of `sums`.
        list of ndarray, shapes (N, H)
            The gradients of the states before the first step.
        """

    @abstractmethod
    def add_hidden_params(self) -> None:
        """Create the blobs that follow those of the inputs."""

    def add_diff(self, index: int, diff: Array) -> None:
        """Add to the diff of a blob, if it learns."""
        if self.param_propagate_down[index]:
            own = self.blobs[index].mutable_diff
            own += diff

    @property
    def hidden_index(self) -> int:
        """The first of the blobs that follow those of the inputs."""
        return 3 if self.has_static else 2

    def _add_input_diffs(self, sums_diff: Array, bottom: list[Blob]) -> None:
        flat = sums_diff.reshape(-1, sums_diff.shape[2])
        self.add_diff(0, product(self, flat, self.x, transpose_a=True))
        self.add_diff(1, flat.sum(axis=0))
        if self.has_static:
            batch = bottom[2].shape[0]
            static = bottom[2].const_data.reshape(batch, -1)
            self.add_diff(2, product(self, sums_diff.sum(axis=0), static, transpose_a=True))

    def _add_params(self, bottom: list[Blob]) -> None:
        param = self.layer_param.recurrent_param
        rows = self.gates * self.hidden
        steps, batch = bottom[0].shape[:2]
        self.add_param((rows, bottom[0].count // max(steps * batch, 1)), param.weight_filler)
        self.add_param((rows,), param.bias_filler)
        if self.has_static:
            size = bottom[2].count // max(bottom[2].shape[0], 1)
            self.add_param((rows, size), param.weight_filler)
        self.add_hidden_params()

    def _check_counts(self, bottoms: int, tops: int) -> None:
        least = 2 + self._exposed
        if bottoms not in (least, least + 1):
            raise PrototxtError(f"bottom: expected {least} or {least + 1}, got {bottoms}")
        if tops != 1 + self._exposed:
            raise PrototxtError(f"top: expected {1 + self._exposed}, got {tops}")

    def _require(self, bottom: list[Blob], index: int, shape: tuple[int, ...]) -> None:
        if bottom[index].shape != shape:
            raise ShapeError(f"bottom {index}: expected {shape}, got {bottom[index].shape}")
