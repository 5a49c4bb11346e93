"""The loss that is shown: a mean over the last iterations."""

from collections import deque
from collections.abc import Iterable


class SmoothedLoss:
    """The mean loss of the last iterations.

    Parameters
    ----------
    window : int
        Of how many iterations: average_loss.
    """

    def __init__(self, window: int) -> None:
        self._losses: deque[float] = deque(maxlen=window)
        self._goes_on = False

    @property
    def losses(self) -> list[float]:
        """The losses that it is the mean of."""
        return list(self._losses)

    @property
    def value(self) -> float:
        """The mean; 0 of no losses."""
        return sum(self._losses) / len(self._losses) if self._losses else 0.0

    def begin(self) -> None:
        """Start a mean anew, as Caffe does in each call of step, but not after `restore`."""
        if not self._goes_on:
            self._losses.clear()
        self._goes_on = False

    def add(self, loss: float) -> None:
        """Add the loss of an iteration."""
        self._losses.append(loss)

    def restore(self, losses: Iterable[float]) -> None:
        """Go on with the losses of a snapshot, over the next `begin` too."""
        self._losses.clear()
        self._losses.extend(losses)
        self._goes_on = True
