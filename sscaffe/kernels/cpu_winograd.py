"""Which passes of a convolution are by Winograd's algorithm.

The rules know shapes alone, and time nothing: a net trains to the same bits every time, and so does
it infer. What they admit took 1 / 1.1 to 1 / 2.9 of oneDNN's time on one and on two threads of a
Zen 5.
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

# In TEST: weights of a group, which pay for few tiles of 4 x 4 outputs if they are kept; and the
# tiles that pay for more weights, where they are read from memory, or are transformed anew.
_TILE = 4
_FEW_WEIGHTS = 128 * 128
_TILES_KEPT, _TILES_ANEW = 48, 192


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
    channels = g.in_channels // g.group, g.out_channels // g.group
    if min(channels) < _LEAST_CHANNELS or min(g.output) < _LEAST_SIDE:
        return False
    least = 0 if prod(channels) <= _FEW_WEIGHTS else _TILES_KEPT if batch == 1 else _TILES_ANEW
    return batch * prod(-(-size // _TILE) for size in g.output) >= least


def keeps_weights(g: "ConvGeometry", batch: int) -> bool:
    """Return whether the weights are transformed once, and not for every batch in TEST.

    Kept, they take four times the memory that they have themselves.
    """
    return batch == 1 or g.in_channels * g.out_channels // g.group**2 <= _FEW_WEIGHTS


def _is_possible(g: "ConvGeometry") -> bool:
    return (
        g.kernel in ((3, 3), (5, 5))
        and g.stride == g.dilation == (1, 1)
        and max(g.pad) < g.kernel[0]
    )
