"""AUTO: dense where nothing is gained, the fastest where it is, remembered and told."""

import dataclasses
import itertools
import json
import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from sscaffe import _core, memo
from sscaffe.blob import Blob
from sscaffe.conv import KERNELS, make_kernel
from sscaffe.conv.direct_dense import DirectDense
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST, TRAIN
from sscaffe.proto import caffe_pb2
from sscaffe.weighted import choice, race as races
from sscaffe.weighted.base import Epilogue
from sscaffe.weighted.race import Race, race

MODE = caffe_pb2.ConvolutionParameter
AUTO = int(MODE.AUTO)
GEOMETRY = ConvGeometry(
    in_channels=16,
    out_channels=32,
    group=1,
    input=(9, 9),
    kernel=(3, 3),
    stride=(1, 1),
    pad=(1, 1),
    dilation=(1, 1),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSCAFFE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "auto.json"


@pytest.fixture
def stopwatch(monkeypatch):
    """Make up the times of a race, and count the races."""
    calls = []

    def set_times(counts=True, **times):
        def made_up(kernels, *args):
            calls.append(list(kernels))
            return Race({name: times.get(name, 50.0) for name in kernels}, counts)

        monkeypatch.setattr(choice, "race", made_up)
        return calls

    return set_times


def blob(array):
    made = Blob(array.shape)
    made.set_data(array)
    return made


def weights(rng, *, columns=0.0, elements=0.0):
    """Weights a share of whose columns, and of whose elements, is zero."""
    array = rng.standard_normal((32, 16 * 9))
    array[:, : int(columns * array.shape[1])] = 0
    array[rng.random(array.shape) < elements] = 0
    return blob(array.reshape(32, 16, 3, 3))


def run(kernel, x, w, epilogue=Epilogue()):  # noqa: B008 - it is never changed
    top = Blob((x.shape[0], 32, 9, 9))
    kernel.forward(x, w, None, top, epilogue)
    return top.const_data.copy()


def kernel_of(mode=AUTO, batch=2, phase=TEST):
    return make_kernel(mode, GEOMETRY, batch, cpu(), np.float32, phase)


@pytest.fixture
def x(rng):
    return blob(rng.standard_normal((2, 16, 9, 9)))


def test_auto_is_what_test_uses_by_itself_and_train_does_not():
    assert type(kernel_of(None)) is KERNELS[AUTO]
    assert type(kernel_of(None, phase=TRAIN)) is DirectDense


def test_dense_weights_are_not_timed(x, rng, stopwatch):
    calls, kernel = stopwatch(), kernel_of()
    run(kernel, x, weights(rng, columns=0.02))
    assert calls == []
    assert "too few" in kernel.description


@pytest.mark.parametrize(
    ("zeros", "rivals"),
    [
        ({"columns": 0.5}, ["LOWERED_CCNMM", "DIRECT_SCONV"]),
        ({"columns": 0.2}, ["LOWERED_CCNMM"]),
        ({"elements": 0.9}, ["DIRECT_SCONV"]),
    ],
    ids=str,
)
def test_only_kernels_that_may_gain_are_timed(x, rng, stopwatch, zeros, rivals):
    calls = stopwatch()
    run(kernel_of(), x, weights(rng, **zeros))
    assert calls == [["DIRECT_DCONV", *rivals]]


@pytest.mark.parametrize(
    ("zeros", "rivals"), [(0, []), (0.02, [["DIRECT_DCONV", "LOWERED_CCNMM"]])]
)
def test_a_few_zeros_of_few_channels_are_worth_a_race(rng, stopwatch, zeros, rivals):
    calls = stopwatch()
    geometry = dataclasses.replace(GEOMETRY, in_channels=3)
    x = blob(rng.standard_normal((2, 3, 9, 9)))
    w = blob(weights(rng, elements=zeros).const_data[:, :3])
    run(make_kernel(AUTO, geometry, 2, cpu(), np.float32, TEST), x, w)
    assert calls == rivals


def test_the_fastest_is_chosen_and_told(x, rng, stopwatch, caplog):
    stopwatch(LOWERED_CCNMM=10.0)
    kernel = kernel_of()
    kernel.layer_name = "conv2"
    with caplog.at_level(logging.INFO, logger="sscaffe"):
        run(kernel, x, weights(rng, columns=0.6))
        run(kernel, x, weights(rng, columns=0.6))
    assert "5.0x as fast as dense, 10 ms instead of 50" in kernel.description
    assert sum("conv2: " in message for message in caplog.messages) == 1


def test_what_is_hardly_faster_is_not_taken(x, rng, stopwatch):
    stopwatch(LOWERED_CCNMM=48.0)
    kernel = kernel_of()
    run(kernel, x, weights(rng, columns=0.6))
    assert "LOWERED_CCNMM took 48 ms, dense 50" in kernel.description


def test_times_are_remembered_until_the_file_goes(x, rng, stopwatch, cache):
    calls = stopwatch(LOWERED_CCNMM=10.0)
    w = weights(rng, columns=0.6)
    run(kernel_of(), x, w)
    memo._read_from = None  # as a new process would
    run(kernel_of(), x, w)
    assert len(calls) == 1
    (key,) = json.loads(cache.read_text())
    assert "threads" in key
    assert "60 % zeros" not in key
    cache.unlink()
    memo._read_from = None
    run(kernel_of(), x, w)
    assert len(calls) == 2


def test_times_beside_other_work_are_measured_once_more_by_another_process(
    x, rng, stopwatch, monkeypatch
):
    calls = stopwatch(counts=False, LOWERED_CCNMM=10.0)
    for races_so_far in (1, 2, 2):
        memo._read_from = None  # as a new process would
        monkeypatch.setattr(choice, "_raced_here", set())
        for _ in range(2):
            kernel = kernel_of()
            run(kernel, x, weights(rng, columns=0.6))
            assert "5.0x as fast as dense" in kernel.description
            assert len(calls) == races_so_far


def test_a_compact_net_makes_no_call_that_would_have_to_be_won(x, rng, stopwatch):
    calls, kernel, w = (
        stopwatch(DIRECT_DCONV=0.010, LOWERED_CCNMM=0.0085),
        kernel_of(),
        weights(rng, columns=0.6),
    )
    run(kernel, x, w)
    assert "LOWERED_CCNMM took 0.0085 ms, dense 0.01" in kernel.description
    kernel.be_repeated()
    run(kernel, x, w)
    assert "1.2x as fast as dense" in kernel.description
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        ([(8.0, False), (3.0, True), (0.5, False), (2.0, True)], 2.0),  # its own time
        ([(8.0, False), (7.0, False)], 7.0),  # there is no better one
    ],
)
def test_time_that_others_had_is_left_out(monkeypatch, samples, wanted):
    monkeypatch.setattr(races, "MOST_SECONDS", 0.01)
    monkeypatch.setattr(races, "SECONDS", 0.005)
    given = itertools.cycle(samples)
    times = {"dense": lambda: next(given), "sparse": lambda: (1.0, True)}
    monkeypatch.setattr(races, "_milliseconds", lambda call, repeats: call())
    result = races._undisturbed(times)
    assert result == Race({"dense": wanted, "sparse": 1.0}, counts=wanted == 2.0)


def test_a_thread_that_is_put_off_is_noticed():
    """On one processor with a process that never waits."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    end = time.monotonic() + 60
    try:
        while races._milliseconds(lambda: sum(range(100_000)), 1)[1]:
            assert time.monotonic() < end
    finally:
        busy.kill()
        busy.wait()
        os.sched_setaffinity(0, before)


def test_another_size_or_sparsity_is_timed_anew(x, rng, stopwatch):
    calls, kernel = stopwatch(), kernel_of()
    run(kernel, x, weights(rng, columns=0.6))
    run(kernel, x, weights(rng, columns=0.9))
    run(kernel_of(batch=1), blob(x.const_data[:1]), weights(rng, columns=0.9))
    assert len(calls) == 3


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 3}', '{"a": {"b": "c"}}'])
def test_a_damaged_file_is_written_anew(x, rng, stopwatch, cache, content, caplog):
    cache.parent.mkdir()
    cache.write_text(content)
    stopwatch()
    run(kernel_of(), x, weights(rng, columns=0.6))
    assert caplog.text.count("is damaged") == 1
    assert len(json.loads(cache.read_text())) == 1


def test_a_file_that_cannot_be_written_is_no_error(x, rng, stopwatch, cache, caplog):
    cache.parent.write_text("a file where the folder should be")
    stopwatch()
    for columns in (0.6, 0.9):
        run(kernel_of(), x, weights(rng, columns=columns))
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.parametrize("zeros", [{"columns": 0.8}, {"elements": 0.95}, {"columns": 1.0}], ids=str)
def test_whatever_is_chosen_computes_the_same(x, rng, zeros):
    w = weights(rng, **zeros)
    epilogue = Epilogue(blob(rng.standard_normal((2, 32, 9, 9))), relu=True)
    got = run(kernel_of(), x, w, epilogue)
    wanted = run(kernel_of(MODE.DIRECT_DCONV), x, w, epilogue)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * abs(wanted).max())


@pytest.mark.parametrize("native", [False, True])
def test_a_race_leaves_all_kernels_and_the_bottom_as_they_were(x, rng, native):
    w, dense, ccnmm = (
        weights(rng, columns=0.5),
        kernel_of(MODE.DIRECT_DCONV),
        kernel_of(MODE.LOWERED_CCNMM),
    )
    wanted, before = run(dense, x, w), x.const_data.copy()
    if native and _core.has_onednn:
        x.data_tensor.memory_as(_core.Layout.with_channels_last(x.shape), x.shape)
    both = {"dense": dense, "ccnmm": ccnmm}
    times, _ = race(both, x, w, None, (2, 32, 9, 9), Epilogue(relu=True))
    assert times.keys() == {"dense", "ccnmm"}
    assert min(times.values()) > 0
    np.testing.assert_array_equal(x.const_data, before)
    for kernel in (dense, ccnmm):
        got = run(kernel, x, w)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * abs(wanted).max())
