"""Which passes of a convolution are by Winograd's algorithm.

The rules know shapes alone, and time nothing: a net trains to the same bits every time, and infers
to the same ones unless it is compact, which times portions of a batch. What they admit took 1 / 1.1
to 1 / 2.9 of oneDNN's time on one and on two threads of a Zen 5.
"""

import os
from math import prod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sscaffe.geometry import ConvGeometry

SWITCH = "SSCAFFE_WINOGRAD"


class Passes(NamedTuple):
    """The passes that are Winograd's."""

    forward: bool
    backward_data: bool
    backward_weights: bool


NONE = Passes(False, False, False)
FORWARD = Passes(True, False, False)

_LEAST_CHANNELS = 16
_LEAST_SIDE = 6  # of the top; few tiles, and partly beyond it
_LEAST_WORK = 1 << 20  # products of one tap; less does not pay for the transform of the weights
_OUTPUTS_A_WEIGHT = 1 / 64  # and so do too few outputs for the weights there are
# At all points the weights take 36 floats; the gradient of each thread, too. Beyond this they do
# not stay in the caches.
_MOST_WEIGHTS = 256 * 384
_MOST_WEIGHTS_TO_SUM = 192 * 192

# In TEST: tiles of 4 x 4 outputs, of all images, and weights of a group.
_TILE = 4
_FEW_WEIGHTS = 128 * 128  # pay for few tiles, and are always kept transformed
_MOST_WEIGHTS_TO_READ = 256 * 384  # at all points, where there are less tiles than
_TILES_TO_READ = 48
_TILES_TO_TRANSFORM = 96  # that pay for transforming other weights anew


def passes(g: "ConvGeometry", batch: int) -> Passes:
    """Return the passes in which Winograd's algorithm is clearly faster than a direct one."""
    if os.environ.get(SWITCH) == "0" or not _is_possible(g) or g.group != 1:
        return NONE
    weights, outputs = g.in_channels * g.out_channels, batch * prod(g.output)
    if (
        min(g.in_channels, g.out_channels) < _LEAST_CHANNELS
        or min(g.output) < _LEAST_SIDE
        or outputs * weights < _LEAST_WORK
        or outputs < _OUTPUTS_A_WEIGHT * weights
        or weights > _MOST_WEIGHTS
    ):
        return NONE
    return Passes(True, True, weights <= _MOST_WEIGHTS_TO_SUM)


def place() -> str:
    """Return what times depend on that were measured: dense convolutions are not the same ones."""
    return "no Winograd" if os.environ.get(SWITCH) == "0" else "Winograd"


def infers(g: "ConvGeometry", batch: int) -> bool:
    """Return whether Winograd's algorithm is clearly faster than a direct one in TEST."""
    if os.environ.get(SWITCH) == "0" or not _is_possible(g) or g.kernel != (3, 3):
        return False
    if min(g.in_channels, g.out_channels) // g.group < _LEAST_CHANNELS:
        return False
    if min(g.output) < _LEAST_SIDE:
        return False
    if not keeps_weights(g, batch):
        return _tiles(g, batch) >= _TILES_TO_TRANSFORM
    return _tiles(g, batch) >= _TILES_TO_READ or _weights(g) <= _MOST_WEIGHTS_TO_READ


def keeps_weights(g: "ConvGeometry", batch: int) -> bool:
    """Return whether the weights are transformed once, and not for every batch in TEST.

    Kept, they take four times the memory that they have themselves.
    """
    is_small = batch == 1 and _tiles(g, batch) < _TILES_TO_TRANSFORM
    return is_small or _weights(g) <= _FEW_WEIGHTS


def _weights(g: "ConvGeometry") -> int:
    return g.in_channels * g.out_channels // g.group**2


def _tiles(g: "ConvGeometry", batch: int) -> int:
    return batch * prod(-(-size // _TILE) for size in g.output)


def _is_possible(g: "ConvGeometry") -> bool:
    return (
        g.kernel in ((3, 3), (5, 5))
        and g.stride == g.dilation == (1, 1)
        and max(g.pad) < g.kernel[0]
    )
