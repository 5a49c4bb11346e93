"""sscaffe squeeze."""

import json
from pathlib import Path

import numpy as np
import pytest

import sscaffe as package
from tests.squeeze.nets import INPUT, conv, layer


@pytest.fixture
def dead(tmp_path, monkeypatch):
    """Write a net, five of whose filters are zero, to net.prototxt and w.caffemodel."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(
        INPUT + conv("x", "a") + layer("ReLU", "a", "a", name="r") + conv("a", "z", 4)
    )
    net = package.Net("net.prototxt", package.TEST)
    rng = np.random.default_rng(2)
    for blobs in net.params.values():
        for blob in blobs:
            blob.set_data(rng.standard_normal(blob.shape))
    net.params["a"][0].data[:5] = 0
    net.save("w.caffemodel")
    return net


def test_the_files_it_writes_compute_the_same(dead, sscaffe, rng):
    status, out, _ = sscaffe("squeeze -model net.prototxt -weights w.caffemodel")
    assert status == 0
    assert "8 x 3 x 3 x 3" in out
    assert "3 x 3 x 3 x 3" in out
    assert "parameters: 516 -> 196 (38.0 %)" in out
    small = package.Net("net_squeezed.prototxt", package.TEST, weights="w_squeezed.caffemodel")
    x = rng.standard_normal(dead.blobs["x"].shape)
    wanted, got = dead.forward(x=x)["z"], small.forward(x=x)["z"]
    np.testing.assert_allclose(got, wanted, atol=1e-5 * abs(wanted).max())
    assert Path("w_squeezed.caffemodel").stat().st_size < Path("w.caffemodel").stat().st_size


def test_json(dead, sscaffe):
    status, out, _ = sscaffe("squeeze -model net.prototxt -weights w.caffemodel --json")
    assert status == 0
    found = json.loads(out)
    assert found["parameters"] == [516, 196]
    assert found["layers"][0]["after"] == [3, 3, 3, 3]
    assert found["difference"] < 1e-5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-out-model net.prototxt", "net.prototxt: is there already; choose another name"),
        ("-out-model net.prototxt --force", "net.prototxt: is the input itself"),
        ("-out-weights no/w", "there is no folder no; make it first"),
        ("-shape 3", "--shape: expected channels,height,width, got '3'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(dead, sscaffe, flags, message):
    status, _, err = sscaffe(f"squeeze -model net.prototxt -weights w.caffemodel {flags}")
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert not list(Path.cwd().glob("*squeezed*"))
