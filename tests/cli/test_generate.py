"""sscaffe generate: files that a solver can be made of."""

import json

from sscaffe.prototxt import read_net, read_solver


def test_resnet(tmp_path, monkeypatch, sscaffe):
    monkeypatch.chdir(tmp_path)
    status, out, _ = sscaffe("generate resnet --n 1 --learn-depth --to nets/resnet8 --json")
    assert status == 0
    made = json.loads(out)["made"]
    assert len(made) == 7
    for name in made:
        if name.endswith("solver.prototxt"):
            assert read_net(read_solver(name).net).name == "ResNet-8"


def test_refuses_to_replace(tmp_path, monkeypatch, sscaffe):
    monkeypatch.chdir(tmp_path)
    assert sscaffe("generate vgg16 --to .")[0] == 0
    status, _, err = sscaffe("generate vgg16 --to .")
    assert status == 1
    assert "vgg16_deploy.prototxt: is there already" in err
    assert sscaffe("generate vgg16 --to . --force")[0] == 0


def test_refuses_a_version_that_is_not(tmp_path, monkeypatch, sscaffe):
    monkeypatch.chdir(tmp_path)
    status, _, err = sscaffe("generate squeezenet --version 3 --to .")
    assert status == 1
    assert err.startswith("sscaffe generate squeezenet: version: expected 1.0 or 1.1")
