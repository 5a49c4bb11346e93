"""With too little memory a training says where and how much was wanted; it never crashes."""

import re
import subprocess
import sys

import pytest

from sscaffe import _core
from tests.trust.jobs import environment, say

STEPS = 30


@pytest.mark.parametrize("threads", [1, 2])
def test_too_little_memory_is_told_with_the_layer(threads, tmp_path):
    words = [sys.executable, "-m", "tests.trust.memory_driver", str(STEPS if threads == 1 else 8)]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment(threads), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    say(f"\n{done.stdout}")
    endings = [line.split(" | ") for line in done.stdout.splitlines()]
    statuses = [int(status) for _, status, _ in endings]
    assert set(statuses) <= {0, 1}
    assert statuses == sorted(statuses, reverse=True)  # more memory is never worse
    assert statuses[0] == 1
    assert threads == 2 or statuses[-1] == 0
    places = set()
    for limit, status, sentence in endings:
        if status == "1":
            assert "the memory that this process may use is used up" in sentence, (limit, sentence)
            place = re.search(r"(layer|update|snapshot): +(\S+)", sentence)
            # With the least, not even the reading of the net begins.
            assert place or limit in ("200 MB", "250 MB"), (limit, sentence)
            places.add(place and place[2])
    assert len(places) >= 3 or threads == 2


def test_the_core_says_how_much_was_wanted():
    with pytest.raises(MemoryError, match=f"{4 << 50} bytes cannot be allocated"):
        _core.aligned_array(1 << 50, "f4")
