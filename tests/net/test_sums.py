"""A sum in a compact net takes the memory of what it adds, if nobody reads that again."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.net.fusion import FusedStep
from tests.net.test_plan import (
    INPUT,
    assert_close,
    conv,
    layer,
    make_net,
    run_one_by_one,
)
from tests.net.test_tape import replayed

NETS = {
    "read no more": conv("x", "a")
    + conv("a", "b")
    + conv("b", "c")
    + layer("Eltwise", "a c", "d")
    + layer("ReLU", "d", "d")
    + conv("d", "y"),
    "the bottom too": conv("x", "a")
    + conv("a", "b")
    + layer("Eltwise", "a b", "c")
    + conv("c", "y"),
    "read later": conv("x", "a")
    + conv("a", "b")
    + conv("b", "c")
    + layer("Eltwise", "a c", "d")
    + conv("d", "e")
    + conv("e", "f")
    + layer("Eltwise", "a f", "g")
    + conv("g", "y"),
    "an input": conv("x", "b") + conv("b", "c") + layer("Eltwise", "x c", "d") + conv("d", "y"),
    "to an output": conv("x", "a") + conv("a", "b") + conv("b", "c") + layer("Eltwise", "a c", "y"),
    "another layout": conv("x", "a")
    + layer("Pooling", "a", "p", "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    + conv("p", "b", 16)
    + conv("b", "c")
    + layer("Eltwise", "p c", "d")
    + conv("d", "y"),
}
TAKES = {"read no more": 1, "read later": 1, "to an output": 1, "another layout": 1}


@pytest.mark.parametrize("name", NETS)
def test_a_sum_is_what_the_layers_give(name):
    text = INPUT + NETS[name]
    net, other = make_net(text), make_net(text)
    net.compact()
    for seed in range(6):  # the last passes by a tape
        x = np.random.default_rng(seed).normal(size=net.blobs["x"].shape)
        for each in (net, other):
            each.blobs["x"].set_data(x)
        net.forward()
        assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])
    fused = [unit.step for unit in net.units if isinstance(unit.step, FusedStep)]
    assert sum(step.epilogue.takes for step in fused) == TAKES.get(name, 0)


@pytest.mark.skipif(not _core.has_onednn, reason="a build without oneDNN")
def test_nothing_is_copied_for_a_sum_that_takes():
    net = replayed(make_net(INPUT + NETS["read no more"]))
    assert not any("copy_to" in call.__name__ for call, _ in net._ways.replay._tape._calls[:-1])
