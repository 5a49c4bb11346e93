"""The file of what was measured, written by several at once."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sscaffe import memo

ROOT = Path(__file__).parents[1]
PROCESSES, KEYS = 3, 40

WRITER = """
import sys
from sscaffe import memo

memo._TRIES = 10**6  # None gives up, however slow the disk is.
for i in range({keys}):
    memo.remember(f"{{sys.argv[1]}} {{i}}", {{"a": 1.0}})
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSCAFFE_CACHE", str(tmp_path))
    return tmp_path / "auto.json"


def test_processes_that_write_at_once_lose_nothing(cache):
    words = [sys.executable, "-c", WRITER.format(keys=KEYS)]
    started = [subprocess.Popen([*words, str(i)], cwd=ROOT) for i in range(PROCESSES)]
    assert [process.wait() for process in started] == [0] * PROCESSES
    expected = {f"{p} {i}" for p in range(PROCESSES) for i in range(KEYS)}
    assert json.loads(cache.read_text()).keys() == expected


def test_threads_that_write_at_once_lose_nothing(cache, caplog, monkeypatch):
    monkeypatch.setattr(memo, "_TRIES", 10**6)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: memo.remember(str(i), {"a": 1.0}), range(100)))
    assert json.loads(cache.read_text()).keys() == {str(i) for i in range(100)}
    assert not caplog.records


def test_who_holds_the_lock_for_ever_is_not_waited_for(cache, monkeypatch):
    monkeypatch.setattr(memo, "_TRIES", 3)
    with memo._alone(cache):
        memo.remember("a", {"a": 1.0})
    assert json.loads(cache.read_text()) == {"a": {"a": 1.0}}
