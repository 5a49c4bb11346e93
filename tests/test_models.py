"""Every prototxt of models/ loads, in both phases; the small nets take a step."""

from pathlib import Path

import numpy as np
import pytest

from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, read_net, read_solver
from sscaffe.solver import get_solver
from sscaffe.timing.inputs import fill_inputs, stand_in_for_missing_data

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
NETS = sorted(p for p in MODELS.rglob("*.prototxt") if not p.name.endswith("solver.prototxt"))
SOLVERS = sorted(MODELS.rglob("*solver.prototxt"))

IMAGES = {"lenet": (1, 28, 28), "mlp": (1, 28, 28), "convnet": (3, 32, 32)}
SIZES = {"lenet": 431_080, "mlp": 545_810, "convnet": 89_578}


def with_dummy_data(path):
    """Read a net, with random images where its databases are not."""
    param = read_net(path)
    for layer in param.layer:
        if layer.type == "Data":
            layer.data_param.batch_size = 4
            layer.data_param.source = "nowhere"
            layer.transform_param.Clear()
    return stand_in_for_missing_data(param, IMAGES[path.parent.name])


def name_of(path):
    return str(path.relative_to(MODELS))


@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("path", NETS, ids=name_of)
def test_net_loads_and_runs(path, phase):
    with Net(with_dummy_data(path), phase) as net:
        fill_inputs(net)
        net.forward()
        assert sum(p.blob.count for p in net.learnable_params) == SIZES[path.parent.name]


@pytest.mark.parametrize("path", SOLVERS, ids=name_of)
def test_solver_takes_a_step(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    solver_param = read_solver(path)
    solver_param.net_param.CopyFrom(with_dummy_data(ROOT / solver_param.net))
    for field in ("net", "test_iter", "test_interval"):
        solver_param.ClearField(field)
    solver_param.snapshot_prefix = str(tmp_path / "snapshot")
    solver = get_solver(solver_param)
    fill_inputs(solver.net)
    before = [p.const_data.copy() for p in solver.net.learnable_params]
    solver.step(1)
    after = [p.const_data for p in solver.net.learnable_params]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.isfinite(a).all() for a in after)


@pytest.mark.parametrize("path", SOLVERS, ids=name_of)
def test_only_ssl_has_group_lasso_at_work(path):
    solver = read_solver(path)
    net = read_net(ROOT / solver.net)
    grouped = any(spec.block_group_lasso for layer in net.layer for spec in layer.param)
    assert (solver.block_group_decay > 0) == grouped == ("ssl" in path.name)


@pytest.mark.parametrize("path", [p for p in NETS if "finetune" in p.name], ids=name_of)
def test_fine_tuning_keeps_what_is_zero(path):
    modes = {layer.connectivity_mode for layer in read_net(path).layer}
    assert caffe_pb2.LayerParameter.DISCONNECTED_GRPWISE in modes


@pytest.mark.parametrize("path", SOLVERS, ids=name_of)
def test_snapshots_lie_beside_the_solver(path):
    assert ROOT / read_solver(path).snapshot_prefix == path.with_name(
        path.name.removesuffix("_solver.prototxt")
    )


def test_parses_strictly():
    for path in NETS:
        parse_net(path.read_bytes(), str(path))
