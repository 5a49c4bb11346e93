"""The benchmarks run, and their nets are nets: nobody else would notice where they do not."""

import subprocess
import sys
from pathlib import Path

import pytest

from sscaffe import TEST, Net

ROOT = Path(__file__).parents[1]

QUICK = {
    "bench_infer.py": "--nets lenet --batch 1 --modes LOWERED_CCNMM --columns 0.8 --rounds 1",
    "bench_train.py": "--nets lenet --rounds 1",
    "bench_ranks.py": "--nets lenet --rounds 1",
    "bench_layers.py": "lenet --batch 1 --train --rounds 1",
    "bench_columns.py": "--layers lenet/conv2 --batch 1 --percent 80 --rounds 1",
    "bench_sparse.py": "--entry lenet --batch 1 --rounds 1",
    "bench_scattered.py": "--layers lenet_conv2 --batch 1 --zeros 90 --rounds 1",
}
TIMED = ("bench_infer.py", "bench_train.py", "bench_ranks.py")


@pytest.mark.parametrize("script", QUICK)
def test_scripts_run(script):
    if script == "bench_ranks.py":
        pytest.importorskip("mpi4py", reason="the mpi extra is not installed")
    arguments = [sys.executable, ROOT / "tools" / script, *QUICK[script].split()]
    arguments += ["--threads", "1"]
    arguments += ["--seconds", "0"] if script in TIMED else []
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "conv2" in done.stdout or "sscaffe" in done.stdout


def test_nets_have_the_shapes_that_they_claim():
    code = """
from bench.nets import NETS
from bench.prototxt import net_text
from sscaffe import TEST, Net, prototxt
for name in ("lenet", "cifar_full", "resnet20", "squeezenet"):
    layers = NETS[name]()
    net = Net(prototxt.parse_net(net_text(name, layers, 2)), TEST)
    for blob, shape in layers.shapes.items():
        assert net.blobs[blob].shape[1:] in (shape, (*shape, 1, 1)), (name, blob)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "tools")


def test_a_squeezed_net_is_timed_against_its_dense_self(tmp_path):
    net = ROOT / "models/lenet/lenet_deploy.prototxt"
    weights = tmp_path / "w.caffemodel"
    Net(net, TEST).save(weights)
    arguments = [sys.executable, ROOT / "tools/bench_squeezed.py", net, weights, net, weights]
    arguments += ["--batch", "2", "--threads", "1", "--rounds", "1", "--seconds", "0"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
