"""Ranks on GPUs, by the stand-in for CuPy and its NCCL: the same training as on the CPU.

No two real GPUs have run this: what is held here is the order of the work, and CuPy's words.
"""

import re

import numpy as np
import pytest

from sscaffe.parallel.means import why_not
from tests.parallel import jobs
from tests.parallel.jobs import (
    DRIVER,
    assert_same_bits,
    drive,
    ends_of,
    prepare_net,
    run,
    with_gpus,
)

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'sscaffe[mpi]'")
pytestmark = jobs.needs_mpi

SOLVER = "max_iter: 12 "
WIDE = """
layer { name: "norm" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "wide" type: "InnerProduct" bottom: "conv1" top: "wide"
  inner_product_param { num_output: 9000 weight_filler { type: "xavier" } } }
layer { name: "narrow" type: "InnerProduct" bottom: "wide" top: "narrow"
  inner_product_param { num_output: 36 weight_filler { type: "xavier" } } }
layer { name: "back" type: "Reshape" bottom: "narrow" top: "back"
  reshape_param { shape { dim: 0 dim: 4 dim: 3 dim: 3 } } }
"""


def train(count, folder, *words, known=None, **options):
    """Train on GPUs, one for each rank; return what they ended with, if they did, and the log."""
    known = with_gpus(count) | (known or {})
    _, log = run(count, folder, DRIVER, "gpu", *words, known=known, **options)
    return [] if options else ends_of(count, folder), log


def assert_near(first, second):
    for name, array in second.items():
        np.testing.assert_allclose(first[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("count", [2, 4])
def test_gpus_train_as_the_cpu_does(tmp_path, count):
    gpus, cpu = (prepare_net(tmp_path / name, SOLVER) for name in ("gpus", "cpu"))
    ends, log = train(count, gpus)
    assert log.count("Gradients of GPUs are added up by NCCL 2.27.7") == count  # all ranks log
    for other in ends[1:]:
        assert_same_bits(ends[0], other)
    assert_near(ends[0], drive(count, cpu)[0])


@pytest.mark.parametrize("words", [(), ("singly",)])
def test_large_gradients_and_statistics(tmp_path, words):
    nets = [prepare_net(tmp_path / name, SOLVER, extra=WIDE) for name in ("gpus", "cpu")]
    for folder in nets:
        net = folder / "net.prototxt"
        text = net.read_text()
        for old in ('"ReLU" bottom: "conv1" top: "conv1"', 'bottom: "conv1" top: "ip1"'):
            text = text.replace(old, old.replace("conv1", "back"))
        net.write_text(text)
    ends, _ = train(2, nets[0], *words)
    assert_same_bits(*ends)
    begun = ends[0].pop("begun")
    assert begun.any() == bool(words), "means begin beside backward where layers run one by one"
    [expected, _] = drive(2, nets[1])
    expected.pop("begun")
    assert_near(ends[0], expected)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("deaf", r"DivergedError: .*nan"),
        ("hasty", r"a stream reads what the default stream may not have written yet"),
    ],
)
def test_the_stand_in_notices_who_does_not_wait(tmp_path, word, message):
    folder = prepare_net(tmp_path / "job", SOLVER, extra="")
    _, log = train(2, folder, word, status=1)
    assert re.search(message, log), log


@pytest.mark.parametrize(
    ("words", "known", "why"),
    [
        (["shared"], {}, "ranks 0 and 1 share the GPU 0000:00:00.0"),
        ([], {"SSCAFFE_NCCL": "0"}, "on rank 0, SSCAFFE_NCCL is 0"),
        (
            [],
            {"CUDA_ON_HOST_NCCL": "0"},
            "on rank 0, CuPy finds no NCCL (pip install nvidia-nccl-cu13)",
        ),
    ],
)
def test_the_log_says_why_not(tmp_path, words, known, why):
    folder = prepare_net(tmp_path / "job", SOLVER)
    ends, log = train(2, folder, *words, known=known)
    assert f"Gradients of GPUs are added up on the host, by MPI: {why}" in log
    assert_same_bits(*ends)


def test_an_error_of_nccl_is_that_of_a_rank(tmp_path):
    folder = prepare_net(tmp_path / "job", "max_iter: 100000")
    _, log = train(2, folder, "lose", status=1)
    assert "rank 1: sscaffe.errors.SscaffeError: NCCL on rank 1: NCCL_ERROR_REMOTE_ERROR" in log
    assert "SSCAFFE_NCCL=0 adds up on the host instead" in log


def test_the_command_gives_each_rank_a_gpu(tmp_path):
    folder = prepare_net(tmp_path / "job", SOLVER)
    _, log = jobs.train(2, folder, "--gpu", "all", known=with_gpus(2))
    assert log.count("Gradients of GPUs are added up by NCCL 2.27.7") == 1
    _, log = jobs.train(2, folder, "--gpu", "all", known=with_gpus(1))
    assert "by MPI: ranks 0 and 1 share the GPU 0000:00:00.0" in log


def test_a_rank_that_waits_in_nccl_is_ended(tmp_path):
    folder = prepare_net(tmp_path / "job", "max_iter: 100000")
    _, log = train(2, folder, "stuck", known={"SSCAFFE_DEADLINE": "2"}, status=75)
    assert "NCCL is given up" in log
    assert "no step on rank 0 for" in log


def fact(gpu, missing="", version="2.27.7"):
    return {"gpu": gpu, "missing": missing, "version": version}


def test_all_ranks_have_to_have_nccl_and_a_gpu_of_their_own():
    first, second = fact(("a", "0")), fact(("a", "1"))
    assert why_not([first, second, fact(("b", "0"))]) == ""
    assert why_not([first, {"gpu": None}]) == "rank 1 computes on the CPU"
    assert why_not([first, fact(("a", "1"), "it is not there", "")]) == "on rank 1, it is not there"
    other = fact(("a", "1"), version="2.30.0")
    assert why_not([first, other]) == "rank 1 has NCCL 2.30.0, rank 0 has 2.27.7"
    assert why_not([first, second, second]) == "ranks 1 and 2 share the GPU 1"
