"""What a stage of the demo did, for its report and its pictures."""

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Stage:
    """What one stage of training did."""

    name: str
    iterations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tested: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)  # per cent
    zeros: list[dict[str, float]] = field(default_factory=list)  # per cent, as in `iterations`
    weights: dict[str, Array] = field(default_factory=dict)  # matrices, at the end
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)  # rows and columns of them
    caffemodel: str = ""
    seconds: float = 0.0

    @property
    def accuracy(self) -> float:
        """Test accuracy at the end, in per cent."""
        return self.accuracies[-1]
