"""Depth of a net with BatchNorm: from init to a net without the branch."""

import json

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

BRANCH = """
layer { name: "in" type: "Convolution" bottom: "data" top: "in"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "branch" type: "Convolution" bottom: "in" top: "branch"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "branch/bn" type: "BatchNorm" bottom: "branch" top: "branch" }
layer { name: "branch/scale" type: "Scale" bottom: "branch" top: "branch"
        scale_param { bias_term: true } }
layer { name: "sum" type: "Eltwise" bottom: "in" bottom: "branch" top: "conv1" }
"""
INIT = "init solver.prototxt --ssl depth --out run"


@pytest.fixture
def residual(tiny):
    text = (tiny / "net.prototxt").read_text()
    start, end = text.index('layer {\n  name: "conv1"'), text.index('layer {\n  name: "ip1"')
    (tiny / "net.prototxt").write_text(text[:start] + BRANCH + text[end:])
    return tiny


@pytest.fixture
def sparse(residual, sscaffe):
    """Train it until the branch is gone."""
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    assert sscaffe(f"{INIT} --lambda 3")[0] == 0
    assert sscaffe("train -solver run/net_ssl_solver.prototxt --set base_lr=0.1")[0] == 0
    return residual


def test_init_says_what_the_groups_of_scale_are(residual, sscaffe):
    status, out, err = sscaffe(f"{INIT} --lambda 3")
    assert status == 0
    words = " ".join(out.split())
    assert "branch 4 x 36 depth 1 4 x 36 the whole layer" in words
    assert "branch/scale 4 x 1 depth 1 4 x 1 all factors of the layer" in words
    assert "regularization_step: PROXIMAL is taken, as factors of Scale are not pruned" in err
    solver = prototxt.read_solver("run/net_ssl_solver.prototxt")
    assert solver.regularization_step == caffe_pb2.SolverParameter.PROXIMAL
    _, out, _ = sscaffe("explain run/net_ssl_train_test.prototxt")
    words = " ".join(out.split())
    assert "branch/scale Scale 4 x 1 1 1 1 2 4 1" in words
    assert "branch/scale depth 4 x 1 1 1 all factors of the layer" in words


def test_auto_counts_the_groups_of_scale(residual, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    _, out, _ = sscaffe(f"{INIT} --lambda auto --weights tiny_iter_20.caffemodel --json")
    with Net("net.prototxt", TRAIN, weights="tiny_iter_20.caffemodel") as net:
        norms = [np.linalg.norm(net.params[n][0].const_data) for n in ("branch", "branch/scale")]
    assert json.loads(out)["balance"]["term"] == pytest.approx(0.3 * norms[0] + norms[1], rel=1e-5)


def test_what_is_gone_stays_so_and_is_squeezed_out(sparse, sscaffe):
    assert sscaffe("train -solver run/net_finetune_solver.prototxt")[0] == 0
    for name in ("ssl_iter_10", "finetune_iter_6"):
        with Net("net.prototxt", TRAIN, weights=f"run/net_{name}.caffemodel") as net:
            assert not net.params["branch/scale"][0].const_data.any()
    flags = "-model net.prototxt -weights run/net_finetune_iter_6.caffemodel"
    status, out, _ = sscaffe(f"squeeze {flags}")
    assert status == 0
    assert "branch Convolution 4 x 4 x 3 x 3 gone" in " ".join(out.split())
    assert "branch/bn, branch/scale" in out


@pytest.mark.parametrize("net", ["", "net.prototxt", "run/net_finetune_train_test.prototxt"])
def test_sparsity_shows_factors_that_are_zero(sparse, sscaffe, net):
    _, out, _ = sscaffe(f"sparsity run/net_ssl_iter_10.caffemodel {net} --plot pictures --json")
    result = json.loads(out)
    rows = {row["layer"]: row for row in result["layers"]}
    scale = rows["branch/scale"]
    assert (scale["rows"], scale["columns"], scale["nonzero"], scale["row"]) == (4, 1, 0, 100)
    assert scale["frozen_grpwise"] == 100
    assert scale["frozen"] == (100 if "finetune" in net else 0)
    assert scale["blocks"] == ({} if net else {"4 x 1": 100})
    assert len(result["pictures"]) == 3  # and none of a single column


def test_sparsity_leaves_dense_factors_out(residual, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    _, out, _ = sscaffe("sparsity tiny_iter_20.caffemodel --json")
    assert [row["layer"] for row in json.loads(out)["layers"]] == ["in", "branch", "ip1"]


def test_a_report_has_the_factors_over_time(sparse, sscaffe):
    more = "--snapshot run/net_ssl_iter_10.solverstate --set display=1 --set max_iter=12"
    command = f"train -solver run/net_ssl_solver.prototxt --log run/ssl.log {more}"
    assert sscaffe(command)[0] == 0
    assert sscaffe("report run --out report.html")[0] == 0
    page = (sparse / "report.html").read_text()
    assert page.count("branch/scale") == 4  # zeros over time, by row, column, element; the table
    assert page.count("<img") == 3
