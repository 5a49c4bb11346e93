"""sscaffe time: the table, Caffe's lines, sparse modes, nets without their data."""

import json
import shutil
from pathlib import Path

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
    assert max(map(len, out.splitlines())) <= 100


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


def test_forward_only_is_timed_in_test(tiny, sscaffe):
    text = (tiny / "deploy.prototxt").read_text()
    relu = (
        'layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }\nlayer {\n  name: "ip1"'
    )
    (tiny / "deploy.prototxt").write_text(text.replace('layer {\n  name: "ip1"', relu))
    _, out, err = sscaffe("time -model deploy.prototxt -iterations 1 -forward_only")
    assert "\n conv1 + relu1 " in out
    assert "forward as a whole" in out
    assert "conv1 + relu1\tforward: " in err
    _, out, _ = sscaffe("time -model deploy.prototxt -iterations 1 -forward_only -phase TRAIN")
    assert "\n relu1 " in out


@pytest.mark.parametrize("flag", ["-conv-mode", "--conv_mode", "-conv_mode"])
@pytest.mark.parametrize("mode", ["DIRECT_SCONV", "lowered_csrmm"])
def test_conv_mode_overrides_that_of_the_net(tiny, sscaffe, flag, mode):
    text = (tiny / "deploy.prototxt").read_text()
    text = text.replace("kernel_size: 3", "kernel_size: 3 conv_mode: LOWERED_GEMM")
    (tiny / "deploy.prototxt").write_text(text)
    status, out, _ = sscaffe(f"time -model deploy.prototxt -iterations 1 {flag}={mode} --json")
    timing = json.loads(out)
    assert status == 0
    assert timing["backward"] is None
    kernel = {"DIRECT_SCONV": "direct sparse", "lowered_csrmm": "csrmm"}[mode]
    assert kernel in timing["layers"][1]["kernel"]


@pytest.fixture
def sparse(tiny):
    """Write weights of which three of four filters are zero."""
    net = Net("deploy.prototxt", TRAIN)
    net.params["conv1"][0].data[:3] = 0
    net.save("sparse.caffemodel")
    return "-model deploy.prototxt -weights sparse.caffemodel"


def test_compare_prints_every_mode(sparse, sscaffe):
    status, out, err = sscaffe(f"time {sparse} -compare -iterations 2")
    assert status == 0, err
    for word in ("LOWERED_GEMM", "LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV", "DIRECT_DCONV"):
        assert word in out
    assert "SPMDM" in out
    for text in ("\nconv1: ", "\nip1: ", "\nwhole net: ", " GFLOP/s"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 100
    assert "Compared conv1 in 2 rounds" in err


def test_compare_as_json(sparse, sscaffe):
    _, out, _ = sscaffe(f"time {sparse} -compare -iterations 2 --json")
    result = json.loads(out)
    conv1 = result["layers"][0]
    assert conv1["kept_macs"] * 4 == conv1["macs"]
    assert conv1["zero_rows"] == 75
    lowered = next(mode for mode in conv1["modes"] if mode["mode"] == "LOWERED_GEMM")
    assert lowered["over_lowered_gemm"] == 1
    assert lowered["lowering"] > 0
    assert lowered["per_cent_of_peak"] > 0
    assert result["peak"] > 0
    assert {"dense", "LOWERED_GEMM"} <= set(result["nets"])
    assert result["verdict"].startswith("whole net: ")


def test_compare_runs_on_a_net_with_a_database(tiny, sscaffe):
    status, out, err = sscaffe("time -model net.prototxt -compare -iterations 1")
    assert status == 0, err
    assert "\nconv1: " in out


def test_write_auto_writes_a_net_that_can_be_timed(sparse, sscaffe):
    status, out, err = sscaffe(f"time {sparse} -write-auto fast.prototxt -iterations 2")
    assert status == 0, err
    assert "wrote fast.prototxt: " in out
    command = next(line for line in out.splitlines() if line.startswith("  sscaffe time "))
    assert Path("fast.prototxt").read_text().count("conv_mode: ") == 1
    assert sscaffe([*command.split()[1:], "-iterations", "1"])[0] == 0


def test_write_auto_tells_what_training_refuses(tiny, sscaffe):
    text = (tiny / "net.prototxt").read_text()
    text = text.replace("batch_size: 8 }", "batch_size: 8 }\n  include { phase: TRAIN }", 1)
    start, end = text.index("layer {"), text.index("layer {", 20)
    text = text[:end] + text[start:end].replace("TRAIN", "TEST") + text[end:]
    (tiny / "net.prototxt").write_text(text)
    _, out, _ = sscaffe("time -model net.prototxt -write-auto fast.prototxt -iterations 1")
    assert "train net.prototxt, and test or" in " ".join(out.split())


def test_the_help_has_examples(sscaffe):
    _, out, _ = sscaffe("time --help")
    assert (
        "\n  Example: sscaffe time -model deploy.prototxt -weights x.caffemodel --compare\n" in out
    )


MODES = "LOWERED_GEMM, LOWERED_CSRMM, LOWERED_CCNMM, DIRECT_SCONV, DIRECT_DCONV, AUTO"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-conv-mode fast", f"--conv_mode: expected one of {MODES}, got 'fast'\n"),
        ("-conv-mode LOWERED_CCN", "got 'LOWERED_CCN'; LOWERED_CCNMM is the nearest\n"),
        ("-compare -phase TRAIN", "--phase: expected TEST with --compare, got TRAIN"),
        ("-compare -iterations 0", "--iterations: expected 1 or more, got 0"),
        (
            "-compare -conv-mode AUTO",
            "--conv-mode: --compare runs every mode; leave one of the two",
        ),
        ("-write-auto net.prototxt", "net.prototxt is the net itself; give another file"),
        ("-write-auto no/x", "write_auto: folder no does not exist; make it first"),
        ("-conv-mode LOWERED_CCNMM -phase TRAIN", "conv_mode: LOWERED_CCNMM cannot train; use"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tiny, sscaffe, flags, message):
    status, _, err = sscaffe(f"time -model net.prototxt {flags}")
    assert status == 1
    assert message in err
    assert "Traceback" not in err
