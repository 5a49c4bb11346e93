"""sscaffe time: the table, Caffe's lines, sparse modes, nets without their data."""

import json
import shutil

import pytest

from sscaffe.layer import TRAIN
from sscaffe.net import Net

MACS = 8 * (4 * 9 * 16 + 3 * 64)  # of a batch: conv1 and ip1


def test_caffes_lines_are_logged(tiny, sscaffe):
    status, _, err = sscaffe("time -model net.prototxt -iterations 2")
    assert status == 0
    for text in (
        "*** Benchmark begins ***",
        "Testing for 2 iterations.",
        "     conv1\tforward: ",
        "     conv1\tbackward: ",
        "Average Forward pass: ",
        "Average Backward pass: ",
        "Average Forward-Backward: ",
        "Total Time: ",
        "*** Benchmark ends ***",
    ):
        assert text in err


def test_the_table_has_every_layer(tiny, sscaffe):
    _, out, _ = sscaffe("time -model net.prototxt -iterations 2")
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert [n for n in names if n in ("digits", "conv1", "ip1", "loss", "all")] == [
        "digits",
        "conv1",
        "ip1",
        "loss",
        "all",
    ]


def test_the_figures_as_json(tiny, sscaffe):
    status, out, _ = sscaffe("time -model deploy.prototxt -iterations 3 --json")
    timing = json.loads(out)
    layers = {layer["name"]: layer for layer in timing["layers"]}
    assert status == 0
    assert timing["macs"] == timing["kept_macs"] == MACS
    assert layers["conv1"]["macs"] == 8 * 4 * 9 * 16
    assert layers["conv1"]["kernel"]
    assert layers["conv1"]["zero_columns"] == 0
    assert layers["prob"]["macs"] is None
    assert timing["forward"]["median"] > 0
    assert timing["backward"]["median"] > 0


def test_what_zeros_save(tiny, sscaffe):
    net = Net("deploy.prototxt", TRAIN)
    net.params["conv1"][0].data[:3] = 0
    net.save("sparse.caffemodel")
    _, out, _ = sscaffe(
        "time -model deploy.prototxt -weights sparse.caffemodel -iterations 1 --json"
    )
    conv1 = json.loads(out)["layers"][1]
    assert conv1["kept_macs"] * 4 == conv1["macs"]
    assert conv1["zero_rows"] == 75


@pytest.mark.parametrize("flag", ["-forward_only", "--forward_only", "--forward-only"])
def test_forward_only(tiny, sscaffe, flag):
    _, out, err = sscaffe(f"time -model deploy.prototxt -iterations 1 {flag} --json")
    assert json.loads(out)["backward"] is None
    assert "Average Backward pass" not in err


@pytest.mark.parametrize("mode", ["LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV"])
def test_a_sparse_mode_is_timed_forward_in_test(tiny, sscaffe, mode):
    text = (tiny / "deploy.prototxt").read_text()
    text = text.replace("kernel_size: 3", f"kernel_size: 3 conv_mode: {mode}")
    (tiny / "deploy.prototxt").write_text(text)
    status, out, err = sscaffe("time -model deploy.prototxt -iterations 1 --json")
    assert status == 0, err
    assert json.loads(out)["backward"] is None
    status, _, err = sscaffe("time -model deploy.prototxt -iterations 1 -phase TRAIN")
    assert status == 1
    assert f"sscaffe time: conv_mode: {mode} cannot train" in err


def test_a_missing_database_needs_a_shape(tiny, sscaffe):
    shutil.rmtree(tiny / "digits_lmdb")
    status, _, err = sscaffe("time -model net.prototxt -iterations 1")
    assert status == 1
    assert "sscaffe time: source: there is no LMDB 'digits_lmdb'" in err
    status, out, err = sscaffe("time -model net.prototxt -iterations 1 -shape 1,6,6 --json")
    assert status == 0
    assert "digits: there is no LMDB digits_lmdb; random images, 8 x 1 x 6 x 6" in err
    assert json.loads(out)["macs"] == MACS


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-shape 28,28", "--shape: expected channels,height,width, got '28,28'"),
        ("-shape a,b,c", "--shape: expected channels,height,width, got 'a,b,c'"),
        ("-iterations 0", "--iterations: expected 1 or more, got 0"),
        ("-iterations many", "'many' is not a valid integer"),
    ],
)
def test_wrong_flags_are_refused(tiny, sscaffe, flags, message):
    status, _, err = sscaffe(f"time -model net.prototxt {flags}")
    assert status == 1
    assert message in err
