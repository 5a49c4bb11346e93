"""Feed a parser with made up input; whatever is no error of sscaffe ends the run.

``python -m tests.fuzz.prototxt -max_total_time=60``; other options are those of libFuzzer. atheris
makes the input up, or, where it is not installed, tests/fuzz/plain.py, which knows ``-seed`` too.
"""

import contextlib
import importlib.util
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import plain

HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
SEED = 1701
SECONDS = 60
_LARGEST = 1 << 14  # bytes of an example; larger ones make all that follows slow


def instrumented() -> contextlib.AbstractContextManager[object]:
    """Let atheris see what is reached in the modules of sscaffe that the block imports."""
    if not HAS_ATHERIS:
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=["sscaffe"])


with instrumented():
    from sscaffe.errors import SscaffeError

logging.disable(logging.CRITICAL)


def fuzz(parse: Callable[[bytes], object], *examples: bytes) -> None:
    """Give `parse` one input after the other, which it may refuse."""

    def once(content: bytes) -> bool:
        try:
            parse(content)
        except SscaffeError:
            return False
        return True

    small = [example for example in examples if len(example) <= _LARGEST]
    if HAS_ATHERIS:
        _with_atheris(once, small)
    seconds, seed = option("max_total_time", SECONDS), option("seed", SEED)
    count = plain.fuzz(once, small, seconds, seed)
    sys.stderr.write(f"without atheris: {count} inputs of seed {seed} in {seconds} s\n")


def option(name: str, default: int) -> int:
    """Return an option of the command line, in libFuzzer's form."""
    found = [word for word in sys.argv if word.startswith(f"-{name}=")]
    return int(found[-1].partition("=")[2]) if found else default


def _with_atheris(once: Callable[[bytes], bool], examples: list[bytes]) -> None:
    """Run until the time is over, and end the process."""
    import atheris

    sys.stderr.write("with atheris\n")

    def quietly(content: bytes) -> None:
        once(content)

    with tempfile.TemporaryDirectory() as corpus:
        for i, example in enumerate(examples):
            Path(corpus, str(i)).write_bytes(example)
        atheris.Setup([*sys.argv, "-timeout=10", "-rss_limit_mb=2048", corpus], quietly)
        atheris.Fuzz()


def from_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a parser of bytes from one of files."""
    path = Path(tempfile.mkdtemp(), "input")

    def parse(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return parse


def contents(cases: object) -> list[bytes]:
    """Return what the files of some cases of tests/hostile hold."""
    return [content for case in cases for content in case.files.values()]
