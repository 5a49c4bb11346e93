"""What a loss is divided by, as losses read loss_param."""

from typing import Any

from sscaffe.errors import UnsupportedError
from sscaffe.proto import caffe_pb2

LossParameter = caffe_pb2.LossParameter


def normalization_of(param: caffe_pb2.LossParameter, unset: int = LossParameter.VALID) -> int:
    """Return what a loss is divided by; the old field `normalize` decides where only it is set.

    Parameters
    ----------
    param : LossParameter
        The settings.
    unset : int
        What counts where neither field is set.

    Raises
    ------
    UnsupportedError
        If it is PRE_FIXED.
    """
    if param.HasField("normalization"):
        if param.normalization == LossParameter.PRE_FIXED:
            raise UnsupportedError(
                "normalization: expected FULL, VALID, BATCH_SIZE or NONE, got PRE_FIXED"
            )
        return param.normalization
    if param.HasField("normalize"):
        return LossParameter.VALID if param.normalize else LossParameter.BATCH_SIZE
    return unset


def divisor_of(normalization: int, *, batch: int, full: int, valid: Any) -> Any:
    """Return the number that a loss is divided by, at least 1; `valid` may be on the device."""
    sizes: dict[int, Any] = {
        LossParameter.FULL: full,
        LossParameter.VALID: valid,
        LossParameter.BATCH_SIZE: batch,
        LossParameter.NONE: 1,
    }
    return at_least_one(sizes[normalization])


def at_least_one(size: Any) -> Any:
    """Return a number, or an array of no axes on the device, that may be divided by."""
    return max(size, 1) if isinstance(size, int) else size.clip(1, None)
