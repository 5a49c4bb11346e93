"""What a rank does in a step: which layer ends a bucket, parts of a batch, times."""

import numpy as np
import pytest

from sscaffe import TRAIN, Net, prototxt
from sscaffe.errors import SscaffeError
from sscaffe.proto import caffe_pb2
from sscaffe.scaling.compute import batch_of, bucket_ends, measure_work, split_batch, training_net

IP = 'type: "InnerProduct" inner_product_param { num_output: 4 weight_filler { type: "xavier" } }'
NET = f"""
layer {{ name: "in" type: "Input" top: "data" top: "label"
  input_param {{ shape {{ dim: 6 dim: 4 }} shape {{ dim: 6 }} }} }}
layer {{ name: "a" bottom: "data" top: "a" {IP} }}
layer {{ name: "b" bottom: "a" top: "b" {IP} PARAM }}
layer {{ name: "c" bottom: "b" top: "c" {IP} PARAM }}
layer {{ name: "norm" type: "BatchNorm" bottom: "c" top: "c" }}
layer {{ name: "d" bottom: "c" top: "d" {IP} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "d" bottom: "label" top: "loss" }}
"""
LAYER = 4 * (16 + 4)  # bytes of weights and biases
PLACES = {"a": 1, "b": 2, "c": 3, "d": 5}


def net_param(param=""):
    return prototxt.parse_net(NET.replace("PARAM", param))


def test_buckets_in_the_order_of_backward():
    net = Net(net_param(), TRAIN)
    assert bucket_ends(net, 1) == [(PLACES[name], size) for name in "dcba" for size in (64, 16)]
    assert bucket_ends(net, LAYER) == [(PLACES[name], LAYER) for name in "dcba"]
    assert bucket_ends(net, 2 * LAYER) == [(PLACES["c"], 2 * LAYER), (PLACES["a"], 2 * LAYER)]
    assert bucket_ends(net) == [(PLACES["a"], 4 * LAYER)]


def test_what_does_not_learn_is_not_reduced():
    net = Net(net_param("param { lr_mult: 0 } param { lr_mult: 0 }"), TRAIN)
    assert bucket_ends(net, LAYER) == [(PLACES["d"], LAYER), (PLACES["a"], LAYER)]


def test_what_is_shared_is_there_when_its_first_layer_is_done():
    net = Net(net_param('param { name: "w" } param { name: "v" }'), TRAIN)
    assert bucket_ends(net, LAYER) == [(PLACES[name], LAYER) for name in "dba"]


def test_parts_of_a_batch():
    half = split_batch(net_param(), 3)
    net = Net(half, TRAIN)
    assert batch_of(net) == 2
    assert net.blobs["label"].shape == (2,)
    assert split_batch(net_param(), 4) is None


def solver_param(text=""):
    param = caffe_pb2.SolverParameter(base_lr=0.5, lr_policy="fixed", iter_size=2, test_iter=[1])
    param.net_param.CopyFrom(net_param())
    param.MergeFrom(prototxt.parse_solver(text))
    return param


def test_a_step_is_timed():
    param = solver_param("display: 1 snapshot: 1 test_interval: 1")
    work = measure_work(param, training_net(param), 3)
    assert (work.batch, work.passes, work.size) == (6, 2, 4 * LAYER)
    assert min(work.forward, work.backward, work.update) > 0
    assert all(0 < bucket.ready <= work.backward for bucket in work.buckets)
    assert work.step == pytest.approx(2 * (work.forward + work.backward) + work.update)


def test_the_first_bucket_is_there_before_backward_ends(monkeypatch):
    monkeypatch.setattr("sscaffe.scaling.compute.BUCKET", LAYER)
    param = solver_param()
    ready = [bucket.ready for bucket in measure_work(param, training_net(param), 5).buckets]
    assert len(ready) == 4
    assert np.all(np.diff(ready) > 0)


def test_a_net_that_learns_nothing():
    param = solver_param()
    for layer in param.net_param.layer:
        if layer.type == "InnerProduct":
            del layer.param[:]
            layer.param.add(lr_mult=0)
            layer.param.add(lr_mult=0)
    with pytest.raises(SscaffeError, match="net: expected parameters that learn, got none"):
        measure_work(param, training_net(param), 1)
