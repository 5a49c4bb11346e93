"""The whole way on real digits: LeNet trained, made sparse by proximal steps, fine-tuned."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sscaffe.cli import main
from sscaffe.data.mnist import convert_mnist

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SSCAFFE_DATA", ROOT.parent / "shared" / "data")) / "mnist"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no {DATA}")


@pytest.fixture
def lenet(tmp_path, monkeypatch):
    """Make MNIST's databases and LeNet's prototxts in a new working directory."""
    monkeypatch.chdir(tmp_path)
    convert_mnist(DATA, tmp_path / "data" / "mnist")
    (tmp_path / "models").mkdir()
    shutil.copytree(ROOT / "models" / "lenet", tmp_path / "models" / "lenet")
    path = tmp_path / "models" / "lenet" / "lenet_solver.prototxt"
    text = path.read_text().replace("max_iter: 10000", "max_iter: 400")
    path.write_text(text.replace("test_iter: 100 ", "test_iter: 20 "))
    return str(path.relative_to(tmp_path))


def test_lenet(lenet):
    words = ["pipeline", lenet, "--ssl", "filter,shape", "--lambda", "0.03", "--proximal"]
    words += ["--set", "target_flops=0.3", "--set", "base_lr=0.01"]
    assert main([*words, "--out", "run", "--stages", "baseline,ssl,finetune,time"]) == 0
    done = json.loads(Path("run/pipeline.json").read_text())["done"]
    # 400 iterations give 97 %; what is wrong somewhere gives much less.
    assert done["baseline"]["test"][0]["accuracy"] > 0.94
    assert done["finetune"]["test"][0]["accuracy"] > 0.90
    assert done["finetune"]["flops"] < 0.95  # SSL of 200 iterations only begins.
    kept = done["finetune"]["kept"]
    assert kept["conv1"]["kept_columns"] < 25 or kept["conv2"]["kept_columns"] < 500
    assert set(done["time"]) == {"baseline", "finetune"}
