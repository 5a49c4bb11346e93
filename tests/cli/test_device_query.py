"""sscaffe device_query: what this machine has."""

import json
from importlib import metadata

import pytest

from sscaffe import __version__, gpu_facts


def test_the_facts_as_json(sscaffe):
    status, out, _ = sscaffe("device_query --json")
    facts = json.loads(out)
    assert status == 0
    assert facts["version"] == __version__
    assert facts["threads"] >= 1
    assert facts["numpy"] == metadata.version("numpy")
    assert facts["instruction set"]
    assert "(SSCAFFE_BLAS=" in facts["matrix products"]


@pytest.mark.parametrize("name", ["device_query", "device-query", "doctor"])
def test_the_table(sscaffe, without_cupy, name):
    status, out, _ = sscaffe(name)
    assert status == 0
    assert "oneDNN" in out
    assert "instruction set" in out


def test_what_is_missing_comes_with_its_command(sscaffe, monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("matplotlib", "h5py"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    requires = ['matplotlib>=3 ; extra == "plot"', 'h5py>=3; extra == "data"', "numpy>=2"]
    requires += ['sscaffe[data,plot]; extra == "demo"', 'scipy; extra == "sci"']
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: requires)
    missing = json.loads(sscaffe("device_query --json")[1])["missing_for_extra"]
    assert missing == {
        "plot": ["matplotlib"],
        "data": ["h5py"],
        "demo": ["h5py", "matplotlib"],
        "sci": [],
    }
    assert 'pip install "sscaffe[plot]"' in sscaffe("device_query")[1]


def test_without_cupy_it_says_what_to_install(sscaffe, without_cupy):
    status, out, _ = sscaffe("device_query --json")
    gpus = json.loads(out)["gpu"]
    assert status == 0
    assert gpus["usable"] is False
    assert gpus["gpus"] == []
    assert "CuPy cannot be imported" in gpus["error"]
    assert any("missing: pip install" in line for line in gpus["advice"])
    assert "pip install" in sscaffe("device_query")[1]


def test_a_gpu_that_is_asked_for_must_be_there(sscaffe, without_cupy):
    status, out, _ = sscaffe("device_query -gpu 0")
    assert status == 1
    assert "CuPy cannot be imported" in out


@pytest.mark.gpu
def test_the_self_test_succeeds_on_a_gpu(sscaffe):
    status, out, _ = sscaffe("device_query --json --gpu 0")
    gpus = json.loads(out)["gpu"]
    assert gpus["self_test"] == dict.fromkeys(
        ["own kernel", "cuBLAS product", "cuDNN convolution"], "OK"
    )
    assert status == 0
    assert gpus["gpus"][0]["multiprocessors"] > 0
    assert gpus["advice"] == []


@pytest.mark.gpu
def test_a_number_beyond_the_last_gpu(sscaffe):
    status, out, _ = sscaffe("device_query --gpu 99")
    assert status == 1
    assert "expected a number below" in out


_ALL_THERE = {"CuPy": "cupy-cuda13x 14.2.0", "cuDNN front end": "nvidia-cudnn-frontend 1.12.0"}


@pytest.mark.parametrize(
    ("driver", "libraries", "self_test", "words"),
    [
        (None, {}, {}, ["no NVIDIA driver"]),
        (11080, {}, {}, ["CUDA 11.8; install 525 or newer", "cupy-cuda13x needs a driver"]),
        (12040, {}, {}, ["install driver 580 or newer, or pip uninstall cupy-cuda13x", "[cuda12]"]),
        (13000, {"CuPy": "not installed"}, {}, ['CuPy missing: pip install "sscaffe[cuda13]"']),
        (12040, {"CuPy": "not installed"}, {}, ['CuPy missing: pip install "sscaffe[cuda12]"']),
        (13000, {}, {"own kernel": "OK", "cuBLAS product": "lost"}, ["cuBLAS product: failed"]),
    ],
)
def test_advice(driver, libraries, self_test, words):
    found = {"usable": False, "libraries": _ALL_THERE | libraries, "self_test": self_test}
    text = "\n".join(gpu_facts.advice(driver, found))
    assert all(word in text for word in words), text
