"""sscaffe train: runs, resumes, fine-tunes, stops on signals, refuses."""

import json
import signal

import pytest

from sscaffe import conv
from sscaffe.cli.train import resume_command
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

FOREVER = "train -solver solver.prototxt --set max_iter=10000000 --set snapshot=0"


def wait_for(process, text):
    """Read the log until a line has the text; return the lines."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_a_net_is_trained(tiny, sscaffe):
    status, out, err = sscaffe("train -solver solver.prototxt")
    assert status == 0
    assert (tiny / "tiny_iter_20.caffemodel").exists()
    assert (tiny / "tiny_iter_20.solverstate").exists()
    assert "tiny_iter_20.solverstate" in out
    assert "Iteration 15, loss = " in err
    assert "Test net output #0: accuracy = " in err
    assert all(line[0] in "IWE" for line in err.splitlines())


def test_the_results_as_json(tiny, sscaffe):
    status, out, _ = sscaffe("train --solver=solver.prototxt --json --set max_iter=10")
    results = json.loads(out)
    assert status == 0
    assert results["iterations"] == 10
    assert 0 < results["loss"] < 10
    assert results["snapshot"] == "tiny_iter_10.solverstate"
    assert set(results["test"][0]) == {"accuracy", "loss"}


def test_a_test_of_earlier_weights_is_no_result(tiny, sscaffe):
    _, out, _ = sscaffe("train --solver=solver.prototxt --json --set max_iter=15")
    assert json.loads(out)["test"] == []


def test_training_goes_on_from_a_snapshot(tiny, sscaffe):
    sscaffe("train -solver solver.prototxt")
    whole = (tiny / "tiny_iter_20.caffemodel").read_bytes()
    (tiny / "tiny_iter_20.caffemodel").unlink()
    status, _, err = sscaffe("train -solver solver.prototxt -snapshot tiny_iter_10.solverstate")
    assert status == 0
    assert "Iteration 5, loss" not in err
    assert (tiny / "tiny_iter_20.caffemodel").read_bytes() == whole


def test_a_snapshot_takes_the_place_of_weights(tiny, sscaffe):
    sscaffe("train -solver solver.prototxt --set max_iter=10")
    flags = "-snapshot tiny_iter_10.solverstate --set weights=nosuch.caffemodel"
    status, _, err = sscaffe(f"train -solver solver.prototxt {flags}")
    assert status == 0, err


def test_training_starts_from_weights(tiny, sscaffe):
    sscaffe("train -solver solver.prototxt")
    trained = Net("deploy.prototxt", TEST, weights="tiny_iter_20.caffemodel")
    flags = "-weights tiny_iter_20.caffemodel --set base_lr=0 --set snapshot_prefix=again"
    assert sscaffe(f"train -solver solver.prototxt {flags} --set weight_decay=0")[0] == 0
    after = Net("deploy.prototxt", TEST, weights="again_iter_20.caffemodel")
    for name, blobs in trained.params.items():
        for blob, other in zip(blobs, after.params[name], strict=True):
            assert (blob.const_data == other.const_data).all()


def test_the_log_goes_to_a_file_too(tiny, sscaffe):
    _, _, err = sscaffe("train -solver solver.prototxt -log run.log")
    assert (tiny / "run.log").read_text() == err


def test_stages_choose_layers(tiny, sscaffe):
    net = (tiny / "net.prototxt").read_text()
    more = 'layer { name: "quiet" type: "Silence" bottom: "conv1" include { stage: "odd" } }'
    (tiny / "net.prototxt").write_text(net + more)
    assert "quiet (Silence)" not in sscaffe("train -solver solver.prototxt")[2]
    assert "quiet (Silence)" in sscaffe("train -solver solver.prototxt -stage odd,other")[2]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_a_snapshot(tiny, start, sscaffe, number, status):
    process = start(FOREVER)
    wait_for(process, "Iteration 5, loss")
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == status, err
    (state,) = tiny.glob("*.solverstate")
    command = f"sscaffe train --solver solver.prototxt --snapshot {state.name}"
    command += " --set max_iter=10000000 --set snapshot=0"
    assert command in out
    done = int(state.stem.rpartition("_")[2])
    resumed = f"train --solver solver.prototxt --snapshot {state.name} --set max_iter={done + 5}"
    assert sscaffe(resumed)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_takes_a_snapshot_and_training_goes_on(tiny, start, number):
    process = start(FOREVER)
    wait_for(process, "Iteration 5, loss")
    process.send_signal(number)
    wait_for(process, "Snapshotting solver state")
    wait_for(process, ", loss = ")  # of an iteration after that of the snapshot
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert len(list(tiny.glob("*.solverstate"))) == 2


def test_a_signal_can_be_ignored(tiny, start):
    process = start(f"{FOREVER} -sighup_effect none -sigint_effect=snapshot")
    wait_for(process, "Iteration 5, loss")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    wait_for(process, "Snapshotting solver state")
    wait_for(process, ", loss = ")  # of an iteration after that of the snapshot
    assert len(list(tiny.glob("*.solverstate"))) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--set snapshot_prefix=nowhere/tiny", "snapshot_prefix: folder nowhere does not exist"),
        (
            "--set snapshot_prefix=net.prototxt/tiny",
            "snapshot_prefix: net.prototxt is not a folder",
        ),
        ("-gpu 0", "gpu 0: CuPy cannot be imported"),
        ("-gpu all", "gpu 0: CuPy cannot be imported"),
        ("-gpu 0,1", "--gpu 0,1: sscaffe computes on one GPU only"),
        ("-gpu zero", "--gpu: expected the number of a GPU, got 'zero'"),
        ("-tf32", "--tf32: expected with --gpu"),
        ("-weights a -snapshot b", "weights: not together with snapshot"),
        ("-weights nosuch.caffemodel", "nosuch.caffemodel"),
        ("-snapshot nosuch.solverstate", "nosuch.solverstate"),
        ("-log nowhere/x.log", "log: nowhere/x.log cannot be written: No such file"),
    ],
)
def test_what_cannot_be_is_refused_before_training(tiny, sscaffe, without_cupy, flags, message):
    before = sorted(tiny.iterdir())
    status, out, err = sscaffe(f"train -solver solver.prototxt {flags}")
    assert (status, out) == (1, "")
    assert f"sscaffe train: {message}" in err or message in err.splitlines()[-1]
    assert "Iteration" not in err
    assert sorted(tiny.iterdir()) == before


def test_divergence_has_its_own_status(tiny, sscaffe):
    status, _, err = sscaffe("train -solver solver.prototxt --set base_lr=1e30")
    assert status == 3
    assert "sscaffe train: " in err.splitlines()[-1] or "sscaffe train: " in err


def test_conv_mode_is_for_the_test_nets_alone(tiny, sscaffe, monkeypatch):
    made = []
    make = conv.make_kernel

    def watched(mode, geometry, batch, device, dtype, phase):
        made.append((phase, mode))
        return make(mode, geometry, batch, device, dtype, phase)

    monkeypatch.setattr(conv, "make_kernel", watched)
    status, _, err = sscaffe("train -solver solver.prototxt -conv-mode lowered_ccnmm")
    assert status == 0, err
    assert set(made) == {(TRAIN, None), (TEST, caffe_pb2.ConvolutionParameter.LOWERED_CCNMM)}


def test_an_unknown_conv_mode_is_refused_with_the_list(tiny, sscaffe):
    status, _, err = sscaffe("train -solver solver.prototxt -conv-mode FAST")
    assert status == 1
    assert "--conv_mode: expected one of LOWERED_GEMM, LOWERED_CSRMM, LOWERED_CCNMM, " in err


def test_the_command_that_goes_on_has_the_conv_mode():
    flags = {"solver": "s", "settings": [], "conv_mode": "AUTO", "sigint_effect": "stop"}
    flags |= {"sighup_effect": "snapshot", "allow_python": False}
    command = resume_command(flags, "x.solverstate")
    assert "--conv_mode AUTO" in command
