"""What `debug_info` logs: the mean magnitude of every blob and parameter in each pass."""

from collections.abc import Iterator, Sequence

import numpy as np

from sscaffe.blob import Array, Param
from sscaffe.glog import logger
from sscaffe.net.step import Step


def log_forward(step: Step, names: Sequence[str]) -> None:
    """Log a layer's tops and parameters after its forward pass.

    Parameters
    ----------
    step : Step
        The layer.
    names : sequence of str
        The names of all blobs of the net.
    """
    for i, blob in zip(step.top_ids, step.top, strict=True):
        _log("Forward", step, f"top blob {names[i]} data", blob.host_data)
    for i, name in _param_names(step):
        _log("Forward", step, f"param blob {name} data", step.layer.blobs[i].host_data)


def log_backward(step: Step) -> None:
    """Log the gradients that a layer has computed in its backward pass."""
    for name, blob, wanted in zip(step.bottom_names, step.bottom, step.propagate_down, strict=True):
        if wanted:
            _log("Backward", step, f"bottom blob {name} diff", blob.host_diff)
    specs = step.layer.layer_param.param
    for i, name in _param_names(step):
        if step.layer.learns and (i >= len(specs) or specs[i].lr_mult):
            _log("Backward", step, f"param blob {name} diff", step.layer.blobs[i].host_diff)


def log_norms(params: Sequence[Param]) -> None:
    """Log the norms of all parameters and their gradients after a whole backward pass."""
    data = [param.blob.host_data for param in params]
    diff = [param.blob.host_diff for param in params]
    sums = [sum(float(abs(array).sum()) for array in arrays) for arrays in (data, diff)]
    squares = [sum(float((array**2).sum()) for array in arrays) for arrays in (data, diff)]
    # An error is what Caffe logs it as, too, so that it is seen where the rest is not.
    logger.error(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        *sums,
        *np.sqrt(squares),
    )


def _param_names(step: Step) -> Iterator[tuple[int, str]]:
    """Yield the number of each parameter of a layer, and its name or else the number again."""
    specs = step.layer.layer_param.param
    for i in range(len(step.layer.blobs)):
        yield i, (specs[i].name if i < len(specs) else "") or str(i)


def _log(which: str, step: Step, what: str, values: Array) -> None:
    mean = float(abs(values).mean()) if values.size else 0.0
    logger.info("    [%s] Layer %s, %s: %g", which, step.layer.name, what, mean)
