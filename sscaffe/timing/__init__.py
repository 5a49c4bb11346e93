"""How long nets take: layer by layer, and in every mode that their layers have."""

from sscaffe.timing.comparison import (
    Comparison,
    LayerComparison,
    ModeTiming,
    compare,
)
from sscaffe.timing.inputs import fill_inputs, is_sparse, stand_in_for_missing_data
from sscaffe.timing.rows import LayerTiming, NetTiming, time_in_turns, time_net
from sscaffe.timing.spread import Spread

__all__ = [
    "Comparison",
    "LayerComparison",
    "LayerTiming",
    "ModeTiming",
    "NetTiming",
    "Spread",
    "compare",
    "fill_inputs",
    "is_sparse",
    "stand_in_for_missing_data",
    "time_in_turns",
    "time_net",
]
