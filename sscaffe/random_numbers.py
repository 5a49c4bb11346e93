"""The stream of random numbers behind fillers, dropout and shuffles.

Caffe draws 32-bit numbers from boost's Mersenne twister. NumPy has the same generator, so a seed
gives the same uniform weights and the same dropout masks as it gives in Caffe.
"""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core

Array = npt.NDArray[Any]

LARGEST = 4294967295  # of a 32-bit draw
_MANY = 4096  # draws from which on the core's twister is faster than NumPy's


_seeds: "RandomNumbers | None" = None  # what set_default_seed began


def set_default_seed(seed: int) -> None:
    """Draw the seeds of streams that are given none from this one, not the operating system."""
    global _seeds
    _seeds = RandomNumbers(seed & LARGEST)


class RandomNumbers:
    """A seeded stream of random numbers, whose place in the stream can be saved.

    Parameters
    ----------
    seed : int, optional
        32 bits; where None or negative, drawn from the operating system or from what
        `set_default_seed` began, and kept in `seed`.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is None or seed < 0:
            drawn = _seeds.raw(1)[0] if _seeds else int.from_bytes(os.urandom(4), "little")
            seed = int(drawn)
        self.seed = seed & LARGEST
        self._twister = np.random.MT19937()
        self._twister._legacy_seeding(self.seed)
        self._gaussian = np.random.Generator(self._twister)

    def raw(self, count: int) -> Array:
        """Return `count` draws, uint32, from 0 to 4294967295."""
        if count < _MANY:
            return self._twister.random_raw(count).astype(np.uint32)
        draws, state = np.empty(count, np.uint32), self._twister.state
        words = state["state"]
        words["pos"] = _core.twister_draw(words["key"], words["pos"], draws)
        self._twister.state = state
        return draws

    def uniform(self, low: float, high: float, count: int) -> Array:
        """Return float32 numbers in [low, high], the same that boost's uniform_real gives."""
        low32, high32 = np.float32(low), np.float32(high)
        span = np.nextafter(high32, np.float32(np.inf)) - low32
        scaled: Array = self.raw(count).astype(np.float32) / np.float32(LARGEST)
        scaled *= span
        scaled += low32
        return scaled

    def gaussian(self, mean: float, std: float, count: int) -> Array:
        """Return float32 normal numbers; the distribution is Caffe's, the draws are NumPy's."""
        draws = self._gaussian.standard_normal(count)
        return (mean + std * draws).astype(np.float32)

    def bernoulli(self, probability: float, count: int) -> Array:
        """Return bools, true with `probability`; the same that Caffe's dropout keeps."""
        return self.raw(count) <= np.float64(probability) * LARGEST

    def permutation(self, count: int) -> Array:
        """Return the numbers 0 to count - 1 in random order, int64."""
        return self._gaussian.permutation(count)

    def get_state(self) -> bytes:
        """Return the place in the stream, to be given to `set_state`."""
        state = self._twister.state["state"]
        key = np.asarray(state["key"], dtype="<u4")
        return key.tobytes() + int(state["pos"]).to_bytes(4, "little")

    def set_state(self, state: bytes) -> None:
        """Go to a place in the stream that `get_state` returned.

        Raises
        ------
        ValueError
            If `state` is not a state.
        """
        if len(state) != 625 * 4:
            raise ValueError(f"random state: expected 2500 bytes, got {len(state)}")
        key = np.frombuffer(state[: 624 * 4], dtype="<u4").astype(np.uint32)
        position = int.from_bytes(state[624 * 4 :], "little")
        if position > len(key):  # NumPy would read past the end
            raise ValueError(f"random state: expected a place up to {len(key)}, got {position}")
        self._twister.state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": position},
        }
