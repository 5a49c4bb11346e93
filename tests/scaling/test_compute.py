"""What a rank does in a step: its buckets as the reduction makes them, and times."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.parallel import reduction
from sscaffe.scaling.compute import measure_work, training_net

IP = 'type: "InnerProduct" inner_product_param { num_output: 4 weight_filler { type: "xavier" } }'
NET = f"""
layer {{ name: "in" type: "Input" top: "data" top: "label"
  input_param {{ shape {{ dim: 6 dim: 4 }} shape {{ dim: 6 }} }} }}
layer {{ name: "a" bottom: "data" top: "a" {IP} PARAM }}
layer {{ name: "b" bottom: "a" top: "b" {IP} PARAM }}
layer {{ name: "c" bottom: "b" top: "c" {IP} PARAM }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "loss" }}
"""
WEIGHTS, BIASES = 4 * 16, 4 * 4  # bytes
LAYER = WEIGHTS + BIASES
NUMBERS = 8  # bytes of the loss and a flag, which are a sum of their own


def solver_param(text="", param=""):
    settings = prototxt.parse_solver(
        f"base_lr: 0.5 lr_policy: 'fixed' iter_size: 2 test_iter: 1 random_seed: 1 {text}"
    )
    settings.net_param.CopyFrom(prototxt.parse_net(NET.replace("PARAM", param)))
    return settings


def test_a_step_is_timed():
    param = solver_param("display: 1 snapshot: 1 test_interval: 1")
    alone, one = measure_work(param, training_net(param), 3)
    assert (alone.batch, alone.size, alone.agreements) == (12, 0, 0)
    assert (one.batch, one.size) == (12, 3 * LAYER + NUMBERS)
    assert one.agreements >= 1
    assert min(alone.step, one.rest, one.buckets[0].ready) > 0


def test_buckets_are_those_of_the_reduction(monkeypatch):
    monkeypatch.setattr(reduction.Reduction.__init__, "__defaults__", (LAYER, 0))
    param = solver_param()
    _, one = measure_work(param, training_net(param), 5)
    # Large weights lie where they are; biases are gathered.
    assert [bucket.size for bucket in one.buckets] == [*[WEIGHTS] * 3, 3 * BIASES, NUMBERS]
    assert np.all(np.diff([bucket.ready for bucket in one.buckets]) > 0)


def test_a_net_that_learns_nothing():
    frozen = solver_param(param="param { lr_mult: 0 } param { lr_mult: 0 }")
    with pytest.raises(SscaffeError, match="net: expected parameters that learn, got none"):
        measure_work(frozen, training_net(frozen), 1)


def test_shares_of_a_batch():
    param = prototxt.parse_solver("base_lr: 1")
    param.net_param.CopyFrom(
        prototxt.parse_net(
            'layer { name: "in" type: "Data" top: "data" top: "label"'
            '  data_param { source: "nowhere" batch_size: 6 } include { phase: TRAIN } }'
            'layer { name: "test" type: "Data" top: "data" top: "label"'
            '  data_param { source: "nowhere" batch_size: 7 } include { phase: TEST } }'
        )
    )
    net = training_net(param, (1, 2, 2), ranks=3)
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [[2, 1, 2, 2], [2]]
    assert len(net.layer) == 1
    with pytest.raises(UnsupportedError, match="expected a batch_size that 4 ranks can share"):
        training_net(param, (1, 2, 2), ranks=4)
