"""sscaffe train --tensorboard: what is written is what was displayed."""

import struct
import sys

import pytest

from tests.cli.conftest import sscaffe, tiny  # noqa: F401
from tests.cli.test_bad_input import refused


def read_scalars(folder):
    """Return each scalar of the event files: (step, value) by its name."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.glob("events.out.*"):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            place += 16 + size
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_scalars_are_read_back(tiny, sscaffe):  # noqa: F811
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    words = "train -solver solver.prototxt --set block_group_decay=0.01 --tensorboard board --json"
    status, _, err = sscaffe(words)
    assert status == 0, err
    found = read_scalars(tiny / "board")
    steps = {name: [step for step, _ in values] for name, values in found.items()}
    for name in ("train/loss", "train/lr", "train/regularization", "zero_rows/conv1", "test/loss"):
        assert steps[name][:4] == [0, 5, 10, 15]
    assert [value for _, value in found["train/lr"]] == pytest.approx(
        [0.05] * len(steps["train/lr"])
    )
    assert all(value > 0 for _, value in found["train/regularization"])
    shown = [
        float(line.split("terms: ")[1].split()[0])
        for line in err.splitlines()
        if "Total reg" in line
    ]
    assert [value for _, value in found["train/regularization"]] == pytest.approx(shown, rel=1e-4)


def test_a_solver_that_never_displays_is_refused(tiny, sscaffe):  # noqa: F811
    words = "train -solver solver.prototxt --set display=0 --tensorboard board"
    refused(sscaffe(words), "train", "tensorboard: the solver never displays; set display")


def test_the_extra_is_named(tiny, sscaffe, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    words = "train -solver solver.prototxt --tensorboard board"
    refused(sscaffe(words), "train", r"tensorboard: needs tensorboardX: pip install 'sscaffe\[tens")
    assert not (tiny / "tiny_iter_20.caffemodel").exists()
