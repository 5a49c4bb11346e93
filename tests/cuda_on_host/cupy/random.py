"""Random arrays of the device, drawn on the host."""

import numpy as np
from cupy._call import call


class RandomState:
    """Draws of NumPy's generator; the stream is not CuPy's."""

    def __init__(self, seed=None, method=None):
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name):
        return lambda *args, **kwargs: self._draw(name, args, kwargs)

    def _draw(self, name, args, kwargs):
        dtype = kwargs.pop("dtype", None)
        renamed = {"rand": "random", "random_sample": "random", "randint": "integers"}
        function = getattr(self._generator, renamed.get(name, name))
        drawn = call(f"random.{name}", function, args, kwargs)
        return drawn if dtype is None else drawn.astype(dtype)


default_rng = RandomState
_state = RandomState()


def seed(value=None):
    global _state
    _state = RandomState(value)


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(_state, name)
