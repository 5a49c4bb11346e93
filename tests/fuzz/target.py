"""Feed a parser with what atheris makes up; whatever is no error of sscaffe ends the run.

``python -m tests.fuzz.prototxt -max_total_time=60``; other options are those of libFuzzer.
"""

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sscaffe"]):
    from sscaffe.errors import SscaffeError

logging.disable(logging.CRITICAL)


def fuzz(parse: Callable[[bytes], object], *examples: bytes) -> None:
    """Give `parse` one input after the other, which it may refuse."""

    def once(content: bytes) -> None:
        with contextlib.suppress(SscaffeError):
            parse(content)

    with tempfile.TemporaryDirectory() as corpus:
        for i, example in enumerate(examples):
            Path(corpus, str(i)).write_bytes(example)
        atheris.Setup([*sys.argv, "-timeout=10", "-rss_limit_mb=2048", corpus], once)
        atheris.Fuzz()


def from_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a parser of bytes from one of files."""
    path = Path(tempfile.mkdtemp(), "input")

    def parse(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return parse
