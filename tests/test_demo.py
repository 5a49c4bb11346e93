"""The demo, short: it finishes, sparsifies, and leaves what it says it leaves."""

import json

import pytest
from matplotlib.image import imread

from sscaffe.cli import main
from sscaffe.layer import TEST
from sscaffe.net import Net


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo once; return its folder and what it printed as JSON."""
    runs = tmp_path_factory.mktemp("demo") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("click.echo", lambda text="", **kwargs: lines.append((text, kwargs)))
        assert main(["demo", "--short", "--json", "--runs", str(runs)]) == 0
    return runs / "demo-001", json.loads(lines[-1][0])


def test_accuracy_is_kept_and_groups_are_gone(demo):
    _, figures = demo
    assert figures["accuracy_before"] > 85
    assert figures["accuracy_after"] > figures["accuracy_before"] - 5
    assert figures["macs_dense"] == 2_293_000
    assert figures["macs_kept"] < 0.7 * figures["macs_dense"]
    assert figures["kept"]["conv2"][1] < 400


def test_the_zeros_of_ssl_are_still_there_after_finetuning(demo):
    folder, _ = demo
    ssl, tuned = (
        Net(folder / "deploy_dense.prototxt", TEST, weights=folder / f"{name}.caffemodel")
        for name in ("ssl", "finetune")
    )
    for layer in ("conv1", "conv2"):
        before, after = (
            net.params[layer][0].const_data.reshape(net.params[layer][0].shape[0], -1)
            for net in (ssl, tuned)
        )
        assert not after[:, ~before.any(axis=0)].any()
        assert not after[~before.any(axis=1)].any()


def test_both_deployed_nets_agree(demo, rng):
    folder, _ = demo
    nets = [
        Net(folder / f"deploy_{mode}.prototxt", TEST, weights=folder / "finetune.caffemodel")
        for mode in ("dense", "ccnmm")
    ]
    x = rng.random((64, 1, 28, 28))
    outputs = []
    for net in nets:
        net.blobs["data"].set_data(x)
        net.forward()
        outputs.append(net.blobs["ip2"].const_data.copy())
    assert abs(outputs[0] - outputs[1]).max() < 1e-4 * abs(outputs[0]).max()


@pytest.mark.parametrize("name", ["curves", "sparsity", "weights_conv2"])
def test_each_picture_shows_something(demo, name):
    folder, figures = demo
    assert str(folder / f"{name}.png") in figures["pictures"]
    picture = imread(folder / f"{name}.png")
    assert picture.shape[0] > 200
    assert picture.std() > 0.05


def test_the_log_is_in_the_folder(demo):
    folder, _ = demo
    assert "Iteration 100, loss = " in (folder / "train.log").read_text()


def test_runs_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "runs").write_text("")
    assert main(["demo", "--runs", str(tmp_path / "runs")]) == 1
    assert "sscaffe demo: runs: " in capsys.readouterr().err
