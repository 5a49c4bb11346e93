"""Which passes of a convolution train by Winograd's algorithm.

The rule knows shapes alone, and times nothing: a net trains to the same bits every time. What it
admits took 1 / 1.1 to 1 / 2.9 of oneDNN's time on one and on two threads of a Zen 5.
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

_LEAST_CHANNELS = 16
_LEAST_SIDE = 6  # of the top; few tiles, and partly beyond it
_LEAST_WORK = 1 << 20  # products of one tap; less does not pay for the transform of the weights
_OUTPUTS_A_WEIGHT = 1 / 64  # and so do too few outputs for the weights there are
# At all points the weights take 36 floats; the gradient of each thread, too. Beyond this they do
# not stay in the caches.
_MOST_WEIGHTS = 256 * 384
_MOST_WEIGHTS_TO_SUM = 192 * 192


def passes(g: "ConvGeometry", batch: int) -> Passes:
    """Return the passes in which Winograd's algorithm is clearly faster than a direct one."""
    if os.environ.get(SWITCH) == "0" or not _is_possible(g):
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


def _is_possible(g: "ConvGeometry") -> bool:
    return (
        g.kernel in ((3, 3), (5, 5))
        and g.stride == g.dilation == (1, 1)
        and g.group == 1
        and max(g.pad) < g.kernel[0]
    )
