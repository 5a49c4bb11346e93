"""Which axes of the first bottom a factor or bias covers, as Scale and Bias read it."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import canonical_axis
from sscaffe.proto import caffe_pb2

_Shape = tuple[int, ...]


def covered_axes(
    param: caffe_pb2.ScaleParameter | caffe_pb2.BiasParameter, bottom: list[Blob], noun: str
) -> tuple[int, _Shape]:
    """Return the first axis of x that is covered, and the shape of what covers.

    Parameters
    ----------
    param : ScaleParameter or BiasParameter
        `axis`, and `num_axes` for what is learned.
    bottom : list of Blob
        x, and what covers if it is given.
    noun : str
        What covers, for messages.

    Raises
    ------
    ShapeError
        If x has no such axes, or what is given does not fit them.
    """
    shape = bottom[0].shape
    if len(bottom) > 1:
        # A single number fits anywhere.
        axis = canonical_axis(param.axis, len(shape)) if bottom[1].ndim else 0
        if shape[axis : axis + bottom[1].ndim] != bottom[1].shape:
            raise ShapeError(
                f"expected a {noun} that fits {shape} at axis {axis}, got {bottom[1].shape}"
            )
        return axis, bottom[1].shape
    axis = canonical_axis(param.axis, len(shape)) if param.num_axes else 0
    axes = len(shape) - axis if param.num_axes == -1 else param.num_axes
    if not 0 <= axes <= len(shape) - axis:
        raise ShapeError(
            f"num_axes: expected -1, or 0 to {len(shape) - axis} from axis {axis} of {shape}, "
            f"got {param.num_axes}"
        )
    return axis, shape[axis : axis + axes]
