"""Bad input ends in one clear sentence and exit status 1, and loses nothing already written."""

import re

import pytest

from sscaffe.layer import TEST
from sscaffe.net import Net

CYCLE = """
layer { name: "a" type: "ReLU" bottom: "y" top: "x" }
layer { name: "b" type: "ReLU" bottom: "x" top: "y" }
"""
UNKNOWN = 'layer { name: "a" type: "Convolutoin" top: "x" }'


def refused(result, command, pattern):
    """Check the status and the sentence; notes below it are indented."""
    status, out, err = result
    sentences = [line for line in err.splitlines() if not re.match(r"[IWE]\d{4} ", line)]
    assert (status, out) == (1, "")
    assert re.match(f"sscaffe {command}: {pattern}", sentences[0]), err
    assert all(line.startswith("  ") for line in sentences[1:]), err
    assert "Traceback" not in err


def save_weights(name="w.caffemodel"):
    net = Net("deploy.prototxt", TEST)
    net.save(name)
    return name


@pytest.mark.parametrize("command", ["train -solver", "test -weights x -model", "time -model"])
def test_a_missing_file(tiny, sscaffe, command):
    name = command.split()[0]
    pattern = r"nosuch.prototxt: cannot be read: no such file or directory"
    refused(sscaffe(f"{command} nosuch.prototxt"), name, pattern)


def test_missing_weights(tiny, sscaffe):
    result = sscaffe("test -model deploy.prototxt -weights nosuch.caffemodel")
    refused(result, "test", r"nosuch.caffemodel: ")


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
def test_a_truncated_caffemodel(tiny, sscaffe, keep):
    path = tiny / save_weights()
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    result = sscaffe("test -model deploy.prototxt -weights w.caffemodel")
    refused(result, "test", r"w.caffemodel: ")


def test_a_caffemodel_that_is_none(tiny, sscaffe):
    (tiny / "w.caffemodel").write_text("not weights at all\n")
    result = sscaffe("test -model deploy.prototxt -weights w.caffemodel")
    refused(result, "test", r"w.caffemodel: ")


def test_weights_of_the_wrong_shape(tiny, sscaffe):
    save_weights()
    text = (tiny / "deploy.prototxt").read_text()
    (tiny / "deploy.prototxt").write_text(text.replace("num_output: 4", "num_output: 5"))
    result = sscaffe("test -model deploy.prototxt -weights w.caffemodel")
    refused(result, "test", r".*\(5, 1, 3, 3\).*\(4, 1, 3, 3\).*'conv1'")


def test_an_unknown_layer_type(tiny, sscaffe):
    (tiny / "net.prototxt").write_text(UNKNOWN)
    refused(sscaffe("time -model net.prototxt"), "time", r".*Convolutoin.*Convolution")


def test_a_cyclic_net(tiny, sscaffe):
    (tiny / "net.prototxt").write_text(CYCLE)
    refused(sscaffe("time -model net.prototxt"), "time", r"bottom: 'y' .*cycle")


def test_an_unknown_field(tiny, sscaffe):
    text = (tiny / "net.prototxt").read_text()
    (tiny / "net.prototxt").write_text(text.replace("kernel_size", "kernal_size"))
    pattern = r"net.prototxt:11:\d+: .*kernal_size.*kernel_size"
    refused(sscaffe("train -solver solver.prototxt"), "train", pattern)


def test_bottoms_that_do_not_fit(tiny, sscaffe):
    text = (tiny / "deploy.prototxt").read_text()
    (tiny / "deploy.prototxt").write_text(text.replace("kernel_size: 3", "kernel_size: 7"))
    result = sscaffe("time -model deploy.prototxt")
    refused(result, "time", r".*7.*6")
    assert "'conv1' (Convolution) in deploy.prototxt" in result[2]


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 1000])
def test_an_lmdb_that_is_not_one(tiny, sscaffe, content):
    database = tiny / "digits_lmdb" / "data.mdb"
    database.unlink()
    if content is not None:
        database.write_bytes(content)
    result = sscaffe("train -solver solver.prototxt")
    refused(result, "train", r"source: .*digits_lmdb")
    assert "'digits' (Data) in net.prototxt" in result[2]


def test_an_lmdb_that_is_not_there(tiny, sscaffe):
    (tiny / "digits_lmdb").rename(tiny / "elsewhere")
    refused(sscaffe("train -solver solver.prototxt"), "train", r"source: .*digits_lmdb")


def test_a_truncated_solverstate_leaves_the_snapshots(tiny, sscaffe):
    sscaffe("train -solver solver.prototxt")
    kept = {p: p.read_bytes() for p in tiny.glob("tiny_iter_20*")}
    state = tiny / "tiny_iter_10.solverstate"
    state.write_bytes(state.read_bytes()[:-9])
    result = sscaffe("train -solver solver.prototxt -snapshot tiny_iter_10.solverstate")
    refused(result, "train", r"tiny_iter_10.solverstate: ")
    assert {p: p.read_bytes() for p in tiny.glob("tiny_iter_20*")} == kept


def test_idx_files_that_are_not_there(tiny, sscaffe):
    result = sscaffe("data mnist --from . --to made")
    refused(result, "data mnist", r".*train-images-idx3-ubyte")
    assert not (tiny / "made").exists()
