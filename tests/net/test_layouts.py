"""Who reads a convolution's top decides the layout that AUTO's sparse kernels leave it in."""

import numpy as np
import pytest

from sscaffe import _core, memo
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.weighted import choice
from sscaffe.weighted.race import Race
from tests.squeeze.nets import conv, layer

INPUT = """layer { name: 'x' type: 'Input' top: 'x'
  input_param { shape { dim: 2 dim: 16 dim: 12 dim: 12 } } }"""
RELU = layer("ReLU", "a", "a", name="r")
POOL = layer("Pooling", "a", "y", "pooling_param { kernel_size: 2 stride: 2 }")


@pytest.mark.parametrize(
    ("readers", "native"),
    [
        (POOL, True),
        (RELU + POOL, True),
        (conv("a", "y"), False),
        (RELU + conv("a", "y"), False),
        (conv("a", "y") + layer("Eltwise", "a a", "z"), True),
        (layer("InnerProduct", "a", "y", "inner_product_param { num_output: 3 }"), False),
    ],
)
def test_who_reads_it(readers, native):
    net = Net(parse_net(INPUT + conv("x", "a", 16) + readers), TEST)
    assert net.layer_dict["a"].kernel.hands_on_native == native


@pytest.mark.skipif(not _core.has_onednn, reason="there is one layout without oneDNN")
@pytest.mark.parametrize("compact", [False, True])
def test_pooling_after_a_sparse_kernel_is_native(monkeypatch, rng, compact):
    times = {"DIRECT_DCONV": 2.0, "LOWERED_CCNMM": 1.0, "DIRECT_SCONV": 3.0}
    monkeypatch.setattr(
        choice, "race", lambda kernels, *_: Race({name: times[name] for name in kernels}, True)
    )
    monkeypatch.setattr(memo, "recall", lambda key: None)
    monkeypatch.setattr(memo, "remember", lambda key, times: None)
    text = INPUT + conv("x", "a", 32) + RELU + POOL
    nets = [
        Net(parse_net(text.replace("kernel_size: 3", m)), TEST)
        for m in ("kernel_size: 3", "kernel_size: 3 conv_mode: DIRECT_DCONV")
    ]
    weights = rng.standard_normal(nets[0].params["a"][0].shape)
    weights[:, :9] = 0
    x = rng.standard_normal(nets[0].blobs["x"].shape)
    results = []
    for net in nets:
        net.params["a"][0].set_data(weights)
        if compact:
            net.compact()
        for _ in range(5):
            results.append(net.forward(x=x)["y"].copy())
    for result in results[:-1]:
        np.testing.assert_allclose(result, results[-1], atol=1e-4 * abs(results[-1]).max())
    assert "implicit GEMM" in nets[0].layer_dict["a"].kernel.description
    assert nets[0].layer_dict["a"].kernel._native is not None
