"""How the coordinates of one blob of a net lie in another one, to crop the one to the other.

A coordinate map is ``(axis, a, b)``: the coordinate x of the spatial axes (those after `axis`) is
``a * x + b`` in the other blob. `a` and `b` are numbers, or arrays with one for each spatial axis;
`axis` is None where any would do.
"""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import ShapeError, SscaffeError
from sscaffe.net_spec import Function, Top, layers as L

Numbers = npt.NDArray[Any]
CoordMap = tuple[int | None, Any, Any]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN",
    "Power", "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
"""Types that leave every coordinate where it is."""

_IDENTITY: CoordMap = (None, 1, 0)
_SIZES = {"kernel_size": "kernel", "stride": "stride", "pad": "pad"}


class UndefinedMapException(SscaffeError):  # noqa: N818 - pycaffe's name
    """A layer after which coordinates have no place in its bottom."""


class AxisMismatchException(SscaffeError):  # noqa: N818 - pycaffe's name
    """Layers that take different axes for spatial."""


class CropError(ShapeError, AssertionError):
    """A blob that no crop makes fit the other one."""


class UnconnectedError(SscaffeError, RuntimeError):
    """Blobs that no chain of spatial layers connects."""


def conv_params(fn: Function) -> tuple[int, Numbers, Numbers, Numbers]:
    """Return how a convolution or pooling moves its window.

    Parameters
    ----------
    fn : Function
        A Convolution, Deconvolution, Im2col or Pooling layer; its sizes may be in a dict
        `convolution_param` (or `pooling_param`), and in the form ``kernel_h``, ``kernel_w``.

    Returns
    -------
    axis : int
        The one before the first spatial axis.
    stride, kernel, pad : ndarray
        In pixels, of one number, or of one for each spatial axis; `kernel` with its dilation.

    Raises
    ------
    ShapeError
        If the layer has no kernel size.
    """
    name = "pooling_param" if fn.type_name == "Pooling" else "convolution_param"
    params = fn.params.get(name, fn.params)
    kernel = _sizes(params, "kernel_size", None)
    if kernel is None:
        raise ShapeError(f"kernel_size: expected one in this {fn.type_name} layer, got none")
    dilation = _sizes(params, "dilation", 1)
    extent = (kernel - 1) * dilation + 1
    return params.get("axis", 1), _sizes(params, "stride", 1), extent, _sizes(params, "pad", 0)


def _sizes(params: Any, name: str, default: int | None) -> Any:
    stem = _SIZES.get(name, name)
    both = [params.get(f"{stem}_{side}") for side in "hw"]
    if None not in both:
        return np.array(both)
    value = params.get(name, default)
    return None if value is None else np.array(value, ndmin=1)


def crop_params(fn: Function) -> tuple[int, Numbers]:
    """Return the first axis that a Crop layer cuts, and where it starts to keep, in pixels."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> CoordMap:
    """Return the map from the coordinates of a layer's bottom to those of its top.

    Raises
    ------
    UndefinedMapException
        If the layer's type has none, as an inner product.
    ShapeError
        If the layer has no kernel size.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"{fn.type_name}: coordinates have no map through such a layer")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """Return the map that is `next_map`, then `base_map`.

    Raises
    ------
    AxisMismatchException
        If they are of different axes.
    """
    base_axis, base_scale, base_offset = base_map
    axis, scale, offset = next_map
    if None not in (base_axis, axis) and base_axis != axis:
        raise AxisMismatchException(f"axis: expected one in all layers, got {axis} and {base_axis}")
    both = axis if base_axis is None else base_axis
    return both, base_scale * scale, base_scale * offset + base_offset


def inverse(coord_map: CoordMap) -> CoordMap:
    """Return the map of the other direction."""
    axis, scale, offset = coord_map
    return axis, 1 / scale, -offset / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """Return the map between two blobs of a net, one of which is made from the other or both from
    a third.

    Parameters
    ----------
    top_from, top_to : Top
        The blobs.

    Returns
    -------
    axis : int or None
        The axis before the spatial ones.
    a, b : float or ndarray
        The coordinate x in `top_to` is ``a * x + b`` in `top_from`.

    Raises
    ------
    UnconnectedError
        If no spatial layers connect them.
    AxisMismatchException
        If layers in between are of different axes.
    """  # noqa: D205
    from_maps = _maps_of_ancestors(top_from)
    for top, to_map in _maps_of_ancestors(top_to).items():
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise UnconnectedError(
        "top_from, top_to: expected blobs that spatial layers connect, got others"
    )


def _maps_of_ancestors(top: Top) -> dict[Top, CoordMap]:
    """Return the maps from all blobs that a blob is made from, the nearest first."""
    maps, waiting = {top: _IDENTITY}, deque([top])
    while waiting:
        current = waiting.popleft()
        fn = current.fn
        try:
            own = coord_map(fn) if fn.inputs else _IDENTITY
        except UndefinedMapException:
            continue
        # The second bottom of a Crop layer gives a shape, no values.
        for bottom in fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs:
            if bottom not in maps:
                maps[bottom] = compose(maps[current], own)
                waiting.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """Return a Crop layer that cuts the part out of one blob that lies on another one.

    Parameters
    ----------
    top_from : Top
        The blob to cut.
    top_to : Top
        The blob whose size and place the result has.

    Raises
    ------
    CropError
        If the scales of both differ, or the offset is negative or no whole number of pixels.
    UnconnectedError
        If no spatial layers connect them.
    """
    axis, scale, offset = coord_map_from_to(top_from, top_to)
    if not np.all(np.asarray(scale) == 1):
        raise CropError(f"crop: expected blobs of one scale, got scale {scale}")
    starts = -np.atleast_1d(np.asarray(offset, float))
    if (starts < 0).any():
        raise CropError(
            f"crop: expected offsets of 0 or more, got {starts}; the blob to cut is the smaller one"
        )
    if (np.round(starts) != starts).any():
        raise CropError(f"crop: expected offsets in whole pixels, got {starts}")
    first = 2 if axis is None else axis + 1
    made: Top = L.Crop(
        top_from, top_to, crop_param={"axis": first, "offset": [int(start) for start in starts]}
    )
    return made
