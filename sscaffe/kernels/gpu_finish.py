"""What follows a product by weights on a GPU: bias, sum and rectifier, in one launch."""

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sscaffe.kernels.gpu_runtime import launch_each

if TYPE_CHECKING:
    from sscaffe.blob import Blob

Array = npt.NDArray[Any]
Sizes = tuple[int, int, int]  # batch, channels, elements of each channel

_FILE = "finish.cu"


def finish_top(top: "Blob", sizes: Sizes, bias: "Blob | None", add: Any, relu: bool) -> None:
    """Add what there is to a top that holds a product, `add` an array, and rectify it."""
    if bias is None and add is None and not relu:
        return
    start_values = None if bias is None else bias.const_data
    finish_rows(None, None, start_values, add, top.mutable_data.reshape(sizes), relu)


def finish_rows(
    product: Array | None,
    rows: Array | None,
    bias: Array | None,
    add: Array | None,
    tops: Array,
    relu: bool,
) -> None:
    """Write a product to the tops of its images, with what follows it.

    Parameters
    ----------
    product : ndarray, shape (R, n * P), optional
        C-contiguous; None where the tops hold it already.
    rows : ndarray of int32, shape (M,), optional
        The row of each channel, -1 for none; the rows are the channels by default.
    bias : ndarray, shape (M,), optional
        Added to each channel.
    add : ndarray, shape (n, M, P), optional
        Added too; may be `tops`.
    tops : ndarray, shape (n, M, P)
        Overwritten.
    relu : bool
        Whether what is negative becomes 0.
    """
    _, channels, size = tops.shape
    total = 0 if product is None else product.shape[1]
    arguments = product, rows, bias, add, tops, channels, size, total, relu
    launch_each(_FILE, "finish", tops.size, arguments, tops.dtype)
