"""sscaffe test: every output of every batch, and their means."""

import json

import pytest


@pytest.fixture
def weights(tiny, sscaffe):
    sscaffe("train -solver solver.prototxt")
    return "tiny_iter_20.caffemodel"


def test_outputs_are_logged_for_each_batch_and_averaged(weights, sscaffe):
    status, out, err = sscaffe(f"test -model net.prototxt -weights {weights} -iterations 3 --json")
    results = json.loads(out)
    assert status == 0
    assert results["iterations"] == 3
    assert set(results["outputs"]) == {"accuracy", "loss"}
    batches = [
        float(line.rpartition(" = ")[2]) for line in err.splitlines() if ", accuracy = " in line
    ]
    assert "Batch 2, accuracy = " in err
    assert results["outputs"]["accuracy"] == pytest.approx(sum(batches) / 3, abs=1e-5)
    assert f"Loss: {results['loss']:g}" in err
    assert f"accuracy = {results['outputs']['accuracy']:g}" in err
    # Training separates bright thirds without fault.
    assert results["outputs"]["accuracy"] == 1


def test_a_table_is_printed(weights, sscaffe):
    _, out, err = sscaffe(f"test -model net.prototxt -weights {weights}")
    assert "tiny, 50 batches" in out
    assert out.splitlines()[-1].split()[0] == "loss"
    assert err.count("Batch ") == 100
    assert "loss loss)" not in err
    assert " (* 1 = " in err


def test_a_large_output_is_summed_up(weights, sscaffe):
    _, out, _ = sscaffe(f"test -model deploy.prototxt -weights {weights} -iterations 1")
    assert "prob, mean of 24 values" in out
    assert "0.3333" in out


def test_the_training_phase(weights, sscaffe):
    words = f"test -model net.prototxt -weights {weights} -iterations 1 -phase TRAIN --json"
    assert set(json.loads(sscaffe(words)[1])["outputs"]) == {"loss"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-model net.prototxt", "'--weights'"),
        ("-weights x.caffemodel", "'--model'"),
        ("-model net.prototxt -weights x -iterations 0", "--iterations: expected 1 or more, got 0"),
        ("-model net.prototxt -weights x -phase test2", "'--phase'"),
    ],
)
def test_wrong_flags_are_refused(tiny, sscaffe, flags, message):
    status, out, err = sscaffe(f"test {flags}")
    assert (status, out) == (1, "")
    assert err.startswith("sscaffe test: ")
    assert message in err


@pytest.mark.parametrize("flag", ["-conv-mode", "--conv_mode"])
def test_conv_mode_is_used_and_changes_no_result(weights, sscaffe, flag):
    _, out, _ = sscaffe(f"test -model net.prototxt -weights {weights} -iterations 3 --json")
    words = f"test -model net.prototxt -weights {weights} -iterations 3 --json {flag} DIRECT_SCONV"
    status, other, _ = sscaffe(words)
    assert status == 0
    loss = json.loads(out)["loss"]
    assert json.loads(other)["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_conv_mode_that_cannot_run_is_refused(weights, sscaffe):
    words = f"test -model net.prototxt -weights {weights} -conv-mode LOWERED_CCNMM"
    status, _, err = sscaffe(words + " -phase TRAIN")
    assert status == 1
    assert "sscaffe test: conv_mode: LOWERED_CCNMM cannot train; use LOWERED_GEMM" in err
    assert "'conv1' (Convolution) in net.prototxt" in err
    assert sscaffe(words)[0] == 0
