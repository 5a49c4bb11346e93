"""sscaffe init: nets and solvers of SSL and fine-tuning, which train."""

import json

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

SPEC = caffe_pb2.BlockGroupLassoSpec
RESIDUAL = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "first" type: "Convolution" bottom: "data" top: "first"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "first" top: "first" }
layer { name: "inner" type: "Convolution" bottom: "first" top: "inner"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "inner" bottom: "first" top: "sum" }
layer { name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
        inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def trained(tiny, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    return tiny


def test_the_files_hold_the_recipe(tiny, sscaffe):
    status, out, _ = sscaffe("init solver.prototxt --ssl filter,shape --lambda 0.01 --out runs/a")
    assert status == 0
    ssl = prototxt.read_solver("runs/a/net_ssl_solver.prototxt")
    assert ssl.net == "runs/a/net_ssl_train_test.prototxt"
    assert (ssl.base_lr, ssl.lr_policy) == (pytest.approx(0.005), "multistep")
    assert (ssl.max_iter, list(ssl.stepvalue)) == (10, [7, 9])
    assert ssl.block_group_decay == pytest.approx(0.01)
    assert list(ssl.weights) == ["tiny_iter_20.caffemodel"]
    assert list(ssl.test_iter) == [2]
    tune = prototxt.read_solver("runs/a/net_finetune_solver.prototxt")
    assert (tune.max_iter, list(tune.stepvalue)) == (6, [2, 4])
    assert tune.base_lr == pytest.approx(0.005)
    assert not tune.block_group_decay
    assert list(tune.weights) == ["runs/a/net_ssl_iter_10.caffemodel"]
    layers = {one.name: one for one in prototxt.read_net(ssl.net).layer}
    spec = layers["conv1"].param[0]
    assert [one.group for one in spec.block_group_lasso] == [SPEC.FILTER, SPEC.SHAPE]
    assert (spec.lr_mult, spec.decay_mult) == (1, 0)
    assert not layers["ip1"].param
    layers = {one.name: one for one in prototxt.read_net(tune.net).layer}
    assert layers["conv1"].connectivity_mode == layers["conv1"].DISCONNECTED_GRPWISE
    assert not layers["conv1"].param[0].block_group_lasso
    assert "conv1 4 x 9 filter 4 1 x 9 a filter" in " ".join(out.split())


def test_what_it_writes_trains(trained, sscaffe):
    command = "init solver.prototxt --ssl filter --lambda 1 --out run --proximal"
    assert sscaffe(command)[0] == 0
    assert prototxt.read_solver("run/net_ssl_solver.prototxt").regularization_step == 1
    assert sscaffe("train -solver run/net_ssl_solver.prototxt --set base_lr=0.3")[0] == 0
    assert sscaffe("train -solver run/net_finetune_solver.prototxt")[0] == 0
    nets = [
        Net("net.prototxt", TRAIN, weights=f"run/net_{name}.caffemodel")
        for name in ("ssl_iter_10", "finetune_iter_6")
    ]
    zeros = [~net.params["conv1"][0].const_data.reshape(4, 9).any(axis=1) for net in nets]
    assert zeros[0].any()
    np.testing.assert_array_equal(zeros[0], zeros[1])
    for net in nets:
        net.close()


def test_auto_starts_where_group_lasso_weighs_as_much_as_the_loss(trained, sscaffe):
    command = "init solver.prototxt --ssl filter --lambda auto --weights tiny_iter_20.caffemodel"
    status, out, _ = sscaffe(f"{command} --batches 3 --out run --json")
    assert status == 0
    result = json.loads(out)
    with Net("net.prototxt", TRAIN, weights="tiny_iter_20.caffemodel") as net:
        loss = sum(net.run_forward() for _ in range(3)) / 3
        norms = np.linalg.norm(net.params["conv1"][0].const_data.reshape(4, 9), axis=1)
    assert result["balance"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert result["lambda"] == pytest.approx(loss / norms.sum(), rel=5e-3)  # three digits
    ssl = prototxt.read_solver("run/net_ssl_solver.prototxt")
    assert list(ssl.weights) == ["tiny_iter_20.caffemodel"]


def test_auto_without_trained_weights_is_told(tiny, sscaffe):
    status, out, err = sscaffe("init solver.prototxt --ssl FILTER --lambda auto --out run --json")
    assert (status, json.loads(out)["balance"]["batches"]) == (0, 10)
    assert "lambda: auto of weights that are not trained; name some by --weights" in err


def test_without_lambda_it_is_the_weight_decay(tiny, sscaffe):
    _, out, _ = sscaffe("init solver.prototxt --ssl filter --out run --json")
    assert json.loads(out)["lambda"] == pytest.approx(0.0005)


def test_a_net_alone_gets_what_is_usual(tiny, sscaffe):
    status, _, err = sscaffe("init net.prototxt --ssl filter --out run")
    assert status == 0
    assert "base_lr 0.01 and max_iter 10000 are taken" in err
    assert prototxt.read_solver("run/net_ssl_solver.prototxt").max_iter == 5000


def groups_of(out):
    return {(row["layer"], row["kind"]): row for row in json.loads(out)["groups"]}


def test_each_group_is_explained_and_only_what_makes_sense_is_a_group(tiny, sscaffe):
    (tiny / "res.prototxt").write_text(RESIDUAL)
    kinds = "filter,channel,shape,depth,filter2d"
    _, out, err = sscaffe(f"init res.prototxt --ssl {kinds} --layers * --out run --json")
    found = groups_of(out)
    counts = {key: (row["count"], row["ydimen"], row["xdimen"]) for key, row in found.items()}
    assert counts == {
        ("first", "filter"): (4, 1, 18),
        ("first", "channel"): (2, 4, 9),
        ("first", "shape"): (18, 4, 1),
        ("first", "filter2d"): (8, 1, 9),
        ("inner", "filter"): (4, 1, 18),
        ("inner", "channel"): (4, 2, 9),
        ("inner", "shape"): (36, 2, 1),
        ("inner", "depth"): (1, 4, 18),
        ("inner", "filter2d"): (8, 1, 9),
        ("ip", "channel"): (4, 3, 16),
        ("ip", "shape"): (64, 3, 1),
        ("ip", "filter2d"): (12, 1, 16),
    }
    assert "first: no depth group, as nothing leads around it" in err
    assert "ip: no filter groups, as its rows are the outputs of the net" in err


def test_convolutions_are_the_default_and_inner_products_where_there_are_none(tiny, sscaffe):
    _, out, _ = sscaffe("init solver.prototxt --ssl shape --out a --json")
    assert {layer for layer, _ in groups_of(out)} == {"conv1"}
    text = (tiny / "net.prototxt").read_text()
    start, end = text.index('layer {\n  name: "conv1"'), text.index('layer {\n  name: "ip1"')
    mlp = text[:start] + text[end:].replace('bottom: "conv1"', 'bottom: "data"')
    (tiny / "mlp.prototxt").write_text(mlp)
    _, out, _ = sscaffe("init mlp.prototxt --ssl shape --out b --json")
    assert {layer for layer, _ in groups_of(out)} == {"ip1"}


def test_missing_data_do_not_matter(tiny, sscaffe):
    text = (tiny / "net.prototxt").read_text().replace("digits_lmdb", "nowhere")
    (tiny / "net.prototxt").write_text(text)
    status, out, err = sscaffe("init solver.prototxt --ssl filter --out run")
    assert status == 0
    assert "the groups cannot be counted here: source: there is no LMDB 'nowhere'" in err
    assert "wrote run/net_ssl_train_test.prototxt" in out
    # What the message asks for is there.
    _, out, err = sscaffe("init solver.prototxt --ssl filter --out run --force --shape 1,6,6")
    assert "conv1 4 x 9 filter" in " ".join(out.split())
    assert "cannot be counted" not in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--ssl rows", "ssl: expected some of filter, channel, shape, depth, filter2d, got 'rows'"),
        ("--ssl ,", "ssl: expected some of filter, channel, shape, depth, filter2d, got ''"),
        ("--ssl filter --lambda 1e-50", "lambda: expected a number above 0 or auto, got '1e-50'"),
        ("--ssl filter --lambda 1e50", "lambda: expected a number above 0 or auto, got '1e50'"),
        ("--ssl depth", "ssl: depth suits none of the layers; choose others by --layers"),
        ("--ssl filter --layers conv2", "got 'conv2'; there is conv1"),
        ("--ssl filter --lambda much", "lambda: expected a number above 0 or auto, got 'much'"),
        ("--ssl filter --lambda -1", "lambda: expected a number above 0 or auto, got '-1'"),
        ("--ssl filter --lambda auto --batches 0", "batches: expected 1 or more, got 0"),
        ("--ssl filter --weights none.caffemodel", "none.caffemodel"),
    ],
)
def test_refusals_write_nothing(tiny, sscaffe, flags, message):
    status, out, err = sscaffe(f"init solver.prototxt {flags} --out run")
    assert (status, out) == (1, "")
    assert message in err
    assert not (tiny / "run").exists()


def test_what_is_there_stays(tiny, sscaffe):
    command = "init solver.prototxt --ssl filter --out run"
    assert sscaffe(command)[0] == 0
    before = (tiny / "run/net_ssl_solver.prototxt").read_bytes()
    status, _, err = sscaffe(f"{command} --lambda 5")
    assert status == 1
    assert "is there already; choose another --out, or add --force" in err
    assert (tiny / "run/net_ssl_solver.prototxt").read_bytes() == before
    assert sscaffe(f"{command} --lambda 5 --force")[0] == 0
    assert (tiny / "run/net_ssl_solver.prototxt").read_bytes() != before
