"""Calls that are made again without Python."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.kernels import tape


def softmax(x, y):
    return _core.softmax, (x.reshape(1, -1, 1), y)


def test_calls_are_made_when_they_are_noted_and_again(rng):
    x, y, series = rng.random(5, np.float32), np.zeros(5, np.float32), _core.Series()
    assert series.note(*softmax(x, y))
    assert len(series) == 1
    for _ in range(2):
        np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(), rtol=1e-6)
        x[...] = rng.random(5, np.float32)
        series.run()


def test_what_it_reads_lives_as_long_as_it(rng):
    y, series = np.zeros(4096, np.float32), _core.Series()
    series.note(*softmax(rng.random(4096, np.float32), y))
    once = y.copy()
    rubbish = [np.full(4096, 7, np.float32) for _ in range(64)]
    series.run()
    np.testing.assert_array_equal(y, once)
    del rubbish


def test_functions_that_it_does_not_know_are_called_once():
    calls, series = [], _core.Series()
    assert not series.note(calls.append, (1,))
    series.run()
    assert (calls, len(series)) == ([1], 0)


def test_a_function_of_python_is_not_in_it_whatever_it_calls(rng):
    x, y, series = rng.random(5, np.float32), np.zeros(5, np.float32), _core.Series()

    def twice():
        for _ in range(2):
            function, arguments = softmax(x, y)
            function(*arguments)

    assert not series.note(twice, ())
    assert len(series) == 0


def test_lists_may_be_emptied_afterwards(rng):
    memories = [_core.Memory(np.full(4, n, np.float32), (1, 4)) for n in (2, 3)]
    out = np.zeros(4, np.float32)
    given, top, series = list(memories), _core.Memory(out, (1, 4)), _core.Series()
    assert series.note(_core.memory_product, (given, top))
    given.clear()
    del memories
    out[...] = 0
    series.run()
    np.testing.assert_array_equal(out, 6)


def test_a_call_that_is_refused_is_not_in_it():
    series = _core.Series()
    with pytest.raises(ValueError, match="y: expected 5 elements, got 4"):
        series.note(*softmax(np.zeros(5, np.float32), np.zeros(4, np.float32)))
    assert len(series) == 0
    _core.softmax(np.zeros((1, 2, 1), np.float32), np.zeros(2, np.float32))
    assert len(series) == 0  # and nothing is noted any more


def test_a_tape_keeps_the_order_of_what_is_in_series_and_what_is_not(rng):
    x, y = rng.random(5, np.float32), np.zeros(5, np.float32)
    seen = []
    with tape.Tape() as recorded:
        tape.run(*softmax(x, y)[:1], *softmax(x, y)[1])
        tape.run(lambda: seen.append(y.copy()))
        tape.run(*softmax(y, x)[:1], *softmax(y, x)[1])
    assert len(recorded) == 3
    recorded.replay()
    assert len(seen) == 2
    np.testing.assert_allclose(seen[1].sum(), 1, rtol=1e-6)
    assert (seen[0] != seen[1]).any()  # the third call came between
