"""What is called before and after each layer runs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sscaffe.errors import SscaffeError

Call = Callable[[int], None]


@dataclass
class Hooks:
    """What is called with a layer's number before and after it runs."""

    before_forward: list[Call] = field(default_factory=list)
    after_forward: list[Call] = field(default_factory=list)
    before_backward: list[Call] = field(default_factory=list)
    after_backward: list[Call] = field(default_factory=list)
    # After each layer where they run one by one, which these calls are no reason for.
    alongside_backward: list[Call] = field(default_factory=list)

    def __bool__(self) -> bool:
        lists = (self.before_forward, self.after_forward, self.before_backward, self.after_backward)
        return any(lists)


def call_all(calls: Sequence[Call], places: Iterable[int]) -> None:
    """Call each with each of some layers' numbers."""
    for call in calls:
        for place in places:
            call(place)


def require_callable(callback: object) -> None:
    """Refuse what cannot be called.

    Raises
    ------
    SscaffeError
        If so.
    """
    if not callable(callback):
        raise SscaffeError(f"callback: expected a function, got {callback!r}")
