"""Numerical gradient checks for layers, built-in or written by users."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.layer import Layer

Array = npt.NDArray[Any]


def check_gradient(
    layer: Layer,
    inputs: list[Array],
    *,
    check_bottom: list[bool] | None = None,
    num_top: int | None = None,
    step: float = 1e-5,
    rtol: float = 1e-6,
    seed: int = 1701,
) -> None:
    """Compare a layer's backward pass with central finite differences.

    The tops are reduced to one number by a fixed random weighting, so that a wrong sign or a
    transposed axis cannot cancel out.

    Parameters
    ----------
    layer : Layer
        A layer in float64 that has not been set up yet; of any device.
    inputs : list of ndarray
        One array for each bottom, away from any point where the layer has no derivative.
    check_bottom : list of bool, optional
        Which bottoms to differentiate; labels, for one, have no gradient. All of them by default.
    num_top : int, optional
        How many tops the layer has; by default what its class says, or else 1.
    step : float
        Half the width of the finite difference.
    rtol : float
        Largest error allowed, relative to the largest gradient of the blob.
    seed : int
        Seed of the random weighting.

    Raises
    ------
    AssertionError
        If any element of any gradient differs; the message names the blob.
    """
    check_bottom = check_bottom or [True] * len(inputs)
    bottom = [_blob_of(array, layer.device) for array in inputs]
    top = [
        Blob((), np.float64, layer.device)
        for _ in range(num_top or layer.num_top or layer.min_top or 1)
    ]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    # Other numbers than those of a test that draws its inputs from the same seed: of a layer that
    # normalizes, the gradient along the input itself is 0, and would be right however wrong.
    rng = np.random.default_rng([seed, 1])

    layer.forward(bottom, top)
    weights = [rng.standard_normal(blob.shape) for blob in top]
    for blob, weight in zip(top, weights, strict=True):
        blob.set_diff(weight)
    for blob in layer.blobs:
        blob.clear_diff()
    layer.backward(top, check_bottom, bottom)

    def objective() -> float:
        layer.forward(bottom, top)
        pairs = zip(top, weights, strict=True)
        return sum(float((blob.host_data * weight).sum()) for blob, weight in pairs)

    named = [(f"bottom[{i}]", bottom[i]) for i, wanted in enumerate(check_bottom) if wanted]
    if layer.learns:
        named += [(f"blobs[{i}]", blob) for i, blob in enumerate(layer.blobs)]
    gradients = [(name, blob, blob.host_diff.copy()) for name, blob in named]
    for name, blob, gradient in gradients:
        expected = _finite_difference(objective, blob, step)
        np.testing.assert_allclose(
            gradient,
            expected,
            rtol=0,
            atol=rtol * max(1, abs(expected).max(initial=0)),
            err_msg=f"gradient of {name}",
        )


def _finite_difference(objective: Callable[[], float], blob: Blob, step: float) -> Array:
    gradient = np.empty(blob.shape)
    for index in np.ndindex(blob.shape):
        original = blob.host_data[index]
        blob.data[index] = original + step
        above = objective()
        blob.data[index] = original - step
        below = objective()
        blob.data[index] = original
        gradient[index] = (above - below) / (2 * step)
    return gradient


def _blob_of(array: Array, device: Device) -> Blob:
    blob = Blob(array.shape, np.float64, device)
    blob.set_data(array)
    return blob
