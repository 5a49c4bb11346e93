"""Long trainings and many nets: memory, descriptors and threads stay as they are.

``TRUST_ITERATIONS=50000`` makes it the long test of ``make soak``.
"""

import contextlib
import gc
import os
import threading
from pathlib import Path

import pytest

from sscaffe import TRAIN, Net
from sscaffe.solver import Solver
from tests.solver.nets import settings
from tests.stopwatch import NAME, wait_until
from tests.trust.jobs import ROOT, prepare, say

ITERATIONS = int(os.environ.get("TRUST_ITERATIONS", "300"))
WARM_UP = ITERATIONS // 5
NETS = 200

LENET = ROOT / "models" / "lenet" / "lenet_train_test.prototxt"
DATA = """
layer { name: "mnist" type: "Data" top: "data" top: "label" transform_param { scale: 0.0039 }
  data_param { source: "digits_lmdb" backend: LMDB batch_size: 64 } }
"""
MB = 1 << 20


def resident():
    """Return the bytes of memory that this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def held():
    """Return the threads that run and the files that are open; those of other tests may end."""
    files = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            files.add((path.name, path.readlink()))
    return files | {thread for thread in threading.enumerate() if thread.name != NAME}


def lenet():
    """Return LeNet as it trains, with data of this test."""
    from sscaffe.prototxt import parse_net, read_net

    net = read_net(LENET)
    kept = [layer for layer in net.layer if layer.type not in ("Data", "Accuracy")]
    del net.layer[:]
    net.layer.extend([*parse_net(DATA).layer, *kept])
    return net


def test_a_long_training_keeps_its_memory_descriptors_and_threads(tmp_path, monkeypatch):
    monkeypatch.chdir(write_images(tmp_path))
    before = held()
    text = 'base_lr: 0.001 momentum: 0.9 weight_decay: 0.0005 snapshot_prefix: "only"'
    with Solver(settings(text, lenet())) as solver:
        solver.step(WARM_UP)
        solver.snapshot()
        start = resident(), held()
        solver.step(ITERATIONS - WARM_UP)
        solver.snapshot()
        growth = (resident() - start[0]) / MB
        wait_until(lambda: not held() - start[1])
    say(f"\n{ITERATIONS} iterations of LeNet: {growth:+.2f} MB after the first {WARM_UP}")
    assert growth < 5
    wait_until(lambda: not held() - before)


def write_images(folder):
    import numpy as np

    from sscaffe.data.datum import array_to_datum
    from sscaffe.data.lmdb_writer import write_lmdb

    rng = np.random.default_rng(1701)
    images = rng.integers(0, 255, (256, 1, 28, 28), dtype=np.uint8)
    records = [(b"%04d" % i, array_to_datum(x, i % 10)) for i, x in enumerate(images)]
    write_lmdb(folder / "digits_lmdb", [(k, v.SerializeToString()) for k, v in records])
    return folder


@pytest.mark.parametrize("made", ["by_itself", "closed"])
def test_many_nets_leave_nothing_behind(made, tmp_path, monkeypatch):
    monkeypatch.chdir(prepare(tmp_path / "job"))

    def make():
        with Net("net.prototxt", TRAIN) as net:
            net.forward()
        if made == "by_itself":  # Nobody closes this one.
            Net("net.prototxt", TRAIN).forward()

    for _ in range(NETS // 4):
        make()
    start = resident(), held()
    for _ in range(NETS):
        make()
    share = 100 * (resident() - start[0]) / start[0]
    say(f"\n{NETS} nets {made}: {share:+.2f} % memory")
    assert share < 2
    wait_until(lambda: not held() - start[1])  # Threads are told to end.
