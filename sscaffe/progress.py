"""A line on stderr that says how far a training is, where stderr is a terminal."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sscaffe.glog import logger

SECONDS = 0.2  # between two looks of a bar that no thread moves

Advance = Callable[[int, str], None]
"""Takes the number of iterations done, and a few words such as the loss."""


@contextlib.contextmanager
def progress(what: str, done: int, total: int, *, in_background: bool = True) -> Iterator[Advance]:
    """Show a bar with the speed and the time left until the block ends.

    Parameters
    ----------
    what : str
        What stands before the bar.
    done, total : int
        Iterations at the start and at the end.
    in_background : bool
        Keep the bar moving by a thread; False for what is timed, which that would disturb.

    Yields
    ------
    callable
        To be called after each iteration.
    """
    if not sys.stderr.isatty():
        yield lambda iteration, words: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=in_background,
    )
    task = bar.add_task(what, completed=done, total=total, speed="", words="")

    started, shown = False, -SECONDS

    def advance(iteration: int, words: str) -> None:
        nonlocal started, shown
        if not started:
            # A resumed training has come far before it starts; that is not its speed.
            bar.reset(task, completed=max(done, iteration - 1))
            started = True
        speed = bar.tasks[0].speed
        text = f"{speed:.0f} it/s" if speed else ""
        is_due = not in_background and bar.get_time() - shown > SECONDS
        bar.update(task, completed=iteration, speed=text, words=words, refresh=is_due)
        if is_due:
            shown = bar.get_time()

    with bar, _logged_above(bar.console):
        yield advance


class _Above(io.TextIOBase):
    """A stream whose lines stand above the bar, as long as they are."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.print(text.rstrip("\n"), soft_wrap=True, markup=False, highlight=False)
        return len(text)


@contextlib.contextmanager
def _logged_above(console: Console) -> Iterator[None]:
    """Let what writes log lines to stderr write them above the bar."""
    handlers = [h for h in logger.handlers if type(h) is logging.StreamHandler]
    before = [handler.setStream(_Above(console)) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
