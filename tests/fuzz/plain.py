"""Where atheris cannot be installed: inputs changed at random, always the same ones for a seed.

It sees nothing of what an input reaches, so it finds less; but it never leaves the parsers untried.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence

_LARGEST = 1 << 16  # bytes of an input
_SLOW = 10  # seconds
_KEPT = 256  # inputs that were accepted, to start from besides the examples
_MOST = 8  # changes of an input


def mutant(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return one of some inputs with a few changes."""
    content = bytearray(rng.choice(corpus))
    for _ in range(rng.randint(1, _MOST)):
        rng.choice(_CHANGES)(rng, content, rng.choice(corpus))
    return bytes(content[:_LARGEST])


def _span(rng: random.Random, content: Sequence[int]) -> slice:
    start = rng.randint(0, len(content))
    return slice(start, start + min(rng.randint(0, 16) ** 2, len(content) - start))


def _flip(rng: random.Random, content: bytearray, other: bytes) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, content: bytearray, other: bytes) -> None:
    if content:
        content[rng.randrange(len(content))] = rng.choice((0, 1, 10, 32, 127, 128, 255))


def _cut(rng: random.Random, content: bytearray, other: bytes) -> None:
    del content[_span(rng, content)]


def _repeat(rng: random.Random, content: bytearray, other: bytes) -> None:
    span = _span(rng, content)
    content[span] = content[span] * 2


def _insert(rng: random.Random, content: bytearray, other: bytes) -> None:
    place = rng.randint(0, len(content))
    content[place:place] = rng.randbytes(rng.randint(1, 8))


def _splice(rng: random.Random, content: bytearray, other: bytes) -> None:
    content[_span(rng, content)] = other[_span(rng, other)]


def _number(rng: random.Random, content: bytearray, other: bytes) -> None:
    words = (b"-1", b"0", b"4294967295", b"9223372036854775808", b"1e39", b"nan", b"\xff" * 9)
    content[_span(rng, content)] = rng.choice(words)


_CHANGES = (_flip, _set, _cut, _repeat, _insert, _splice, _number)


def fuzz(
    once: Callable[[bytes], bool], examples: Sequence[bytes], seconds: float, seed: int
) -> int:
    """Try the examples, then what can be made of them.

    Parameters
    ----------
    once : callable
        Takes an input; returns whether it was accepted, and raises what is a fault.
    examples : sequence of bytes
        Where to start.
    seconds : float
        When to end.
    seed : int
        Of the changes.

    Returns
    -------
    int
        How many inputs were tried.
    """
    rng, corpus, count = random.Random(seed), list(examples), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = examples[count] if count < len(examples) else mutant(rng, corpus)
        start, count = time.process_time(), count + 1
        try:
            accepted = once(content)
        except BaseException:
            sys.stderr.write(f"input {count} of seed {seed}: {content!r}\n")
            raise
        if time.process_time() - start > _SLOW:  # of its own, whatever else is run
            raise TimeoutError(f"input {count} of seed {seed} took over {_SLOW} s: {content!r}")
        if accepted and count > len(examples):
            place = len(examples) + rng.randrange(_KEPT)
            corpus[place : place + 1] = [content]
    return count
