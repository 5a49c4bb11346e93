"""sscaffe scaling: measures here, predicts many ranks."""

import json

import pytest

from sscaffe.launch import MpiExec
from sscaffe.scaling.allreduce import measure_allreduce, sizes_for

COMMAND = "scaling --solver solver.prototxt --iterations 2"


def test_a_network_that_is_given(tiny, sscaffe):
    status, out, _ = sscaffe(f"{COMMAND} --network 10,1 --ranks 4,2 --json")
    assert status == 0
    found = json.loads(out)
    assert found["network"]["latency"] == pytest.approx(1e-5)
    assert found["network"]["per_byte"] == pytest.approx(1e-9)
    assert [(p["ranks"], p["batch"], p["algorithm"]) for p in found["predicted"]] == [
        (2, 16, "ring"),
        (2, 16, "recursive"),
        (4, 32, "ring"),
        (4, 32, "recursive"),
    ]
    one, gradients, numbers = found["predicted"][0], 4 * (4 * 9 + 4 + 3 * 64 + 3), 4 * 2
    buckets = [bucket["size"] for bucket in found["one_of_many"][0]["buckets"]]
    assert buckets == [gradients, numbers]
    size = gradients + numbers
    reduction = 2e-5 + size * (1e-9 + found["network"]["adding"] / 2)
    assert one["reduction"] == pytest.approx(reduction, rel=1e-9)
    # They come from times of this machine, whatever it is doing; test_model holds them to numbers.
    assert min(one["efficiency"], one["efficiency_overlapped"]) > 0


def test_ranks_that_share_a_batch(tiny, sscaffe):
    status, out, _ = sscaffe(f"{COMMAND} --network 10,1 --ranks 2,3,8,16 --split-batch")
    assert status == 0
    assert "Strong scaling: ranks share a batch of 8. Predicted:" in out
    table = out[: out.index("*")].splitlines()
    rows = [line.split()[:2] for line in table if line.strip()[:1].isdigit()]
    assert "one of 2 " in out
    assert rows == [["2", "8"], ["8", "8"]]
    assert "Left out: 3, 16 ranks, as the batch has no so many equal parts." in out
    assert "Rabenseifner" in out


def test_reductions_are_measured(tiny, sscaffe):
    pytest.importorskip("mpi4py", reason="the mpi extra is not installed")
    status, out, err = sscaffe(f"{COMMAND} --ranks 2 --json")
    assert status == 0, err
    found = json.loads(out)["allreduce"]
    assert found["ranks"] == 2
    assert [size for size, _ in found["bytes_and_seconds"]] == [4, 256, 948]
    assert all(seconds > 0 for _, seconds in found["bytes_and_seconds"])


def test_sizes_go_up_to_that_of_the_gradient():
    assert sizes_for(4000) == [4, 256, 4000]
    assert sizes_for(5_000_000)[-2:] == [1 << 20, 5_000_000]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--ranks 1,2", "ranks: expected numbers above 1 with commas, got '1,2'"),
        ("-n 1", "n: expected 2 or more, got 1"),
        ("--iterations 0", "iterations: expected 1 or more, got 0"),
        (
            "--network 5,1 --split-batch --ranks 3",
            "--split-batch: expected a batch_size that 3 ranks can share, got 8 in layer 'digits'",
        ),
        ("--network 5", "network: expected LATENCY_US,GB_PER_S, got '5'"),
        ("--network 5,0", "network: expected a number above 0, got '0'"),
        ("--mpiexec nothing-here", "nothing-here does not run: [Errno 2] No such file"),
        ("--mpiexec false", "ended with 1: no reason given"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tiny, sscaffe, flags, message):
    status, _, err = sscaffe(f"{COMMAND} {flags}")
    assert status == 1
    assert message in err
    assert "Traceback" not in err


def test_ranks_that_get_stuck(monkeypatch, tmp_path):
    monkeypatch.setattr("sscaffe.scaling.allreduce._SECONDS", 0.2)
    stuck = tmp_path / "mpiexec"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(0o755)
    with pytest.raises(Exception, match=r"has not ended after 0\.2 s"):
        measure_allreduce(2, [4], MpiExec([str(stuck)], is_open_mpi=False))
