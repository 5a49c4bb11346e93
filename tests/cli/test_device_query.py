"""sscaffe device_query: what this machine has."""

import json
from importlib import metadata

import pytest

from sscaffe import __version__


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
def test_the_table(sscaffe, name):
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
