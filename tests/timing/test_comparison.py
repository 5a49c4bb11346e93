"""Every mode of every layer: that all compute the same, what is counted, what is concluded."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.conv.base import ConvKernel
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.timing import compare, comparison, contest, fill_inputs
from sscaffe.timing.contest import contest as run_contest, is_comparable

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 9 dim: 9 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "c1"
        convolution_param { num_output: 16 kernel_size: 3 pad: 1
                            weight_filler { type: "xavier" }
                            bias_filler { type: "constant" value: 0.1 } } }
layer { name: "norm1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "relu1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "conv2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 8 kernel_size: 1 group: 2 weight_filler { type: "xavier" } }
      }
layer { name: "ip" type: "InnerProduct" bottom: "c2" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip" top: "ip" }
"""
MODES = ["LOWERED_GEMM", "LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV", "DIRECT_DCONV"]


@pytest.fixture
def net():
    """Return a net with zeros, statistics and inputs."""
    made = Net(parse_net(NET), TEST)
    fill_inputs(made)
    weights = made.params["conv1"][0].data
    weights[:4] = 0  # rows
    weights[:, :2] = 0  # 18 of 72 columns
    mean, variance, count = made.params["norm1"]
    mean.data[...], variance.data[...], count.data[...] = 0.3, 2.0, 1.0
    return made


@pytest.fixture
def stopwatch(monkeypatch):
    """Make up the ms of layers by mode, and of whole nets by name; everything else takes 10."""

    def set_times(nets=None, **modes):
        def layers(runs, rounds):
            for run in runs.values():
                run()
            return {(mode, part): [float(modes.get(mode, 10))] for mode, part in runs}

        def wholes(runs, rounds):
            return {name: [float((nets or {}).get(name, 10))] for name in runs}

        monkeypatch.setattr(contest, "in_turns", layers)
        monkeypatch.setattr(comparison, "in_turns", wholes)

    return set_times


def test_every_mode_computes_what_the_net_does(net):
    net.forward()
    compared = 0
    for unit in net.units:
        if is_comparable(unit):
            field = contest.MODE_FIELDS[contest._first(unit).layer.type]
            contestants = [
                contest._Contestant(unit, mode) for mode in field.values if mode != "SPGEMM"
            ]
            for contestant in contestants:
                contestant._run_layer()
            unit.forward()
            expected = unit.step.top[0].const_data
            for contestant in contestants:
                got = contestant._tops[0].const_data
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * abs(expected).max())
                compared += 1
        else:
            unit.forward()
    assert compared == 5 + 5 + 3


def test_a_contest_leaves_the_net_as_it_was(net):
    net.forward()
    before = net.blobs["ip"].const_data.copy()
    for unit in net.units:
        if is_comparable(unit):
            bottom, top = unit.step.bottom[0], unit.step.top[0]
            layout, values = bottom.data_tensor.is_plain, top.alias().const_data.copy()
            run_contest(unit, 1)
            assert bottom.data_tensor.is_plain == layout
            np.testing.assert_array_equal(top.alias().const_data, values)
        unit.forward()
    np.testing.assert_array_equal(net.blobs["ip"].const_data, before)


def test_modes_get_the_bottom_in_the_layout_in_which_it_arrives(net, monkeypatch):
    conv1 = net.layers[1]
    assert conv1.name == "conv1"
    conv1.kernel = make_kernel(
        4, conv1.kernel.geometry, 2, conv1.device, np.float32, TEST
    )  # DIRECT_DCONV
    net.forward()
    seen = {}
    for kernel in ConvKernel.__subclasses__():
        forward = kernel.forward

        def watched(self, bottom, *rest, forward=forward):
            seen.setdefault(self.mode_name, set()).add(bottom.data_tensor.is_plain)
            forward(self, bottom, *rest)

        monkeypatch.setattr(kernel, "forward", watched)
    unit = next(unit for unit in net.units if net.blobs["c1"] in unit.step.bottom)
    arrives_plain = net.blobs["c1"].data_tensor.is_plain
    assert arrives_plain != _core.has_onednn
    for mode in ("DIRECT_SCONV", "DIRECT_DCONV"):
        contest._Contestant(unit, mode)._run_layer()
    assert seen == {"DIRECT_SCONV": {arrives_plain}, "DIRECT_DCONV": {arrives_plain}}


def test_what_is_counted(net):
    net.forward()
    conv1, conv2, ip = [run_contest(unit, 2) for unit in net.units if is_comparable(unit)]
    assert [timing.mode for timing in conv1.modes] == MODES
    assert conv1.name == "conv1 + norm1 + relu1"
    macs = 2 * 81 * 16 * 72
    kept = 2 * 81 * 12 * 54
    assert (conv1.macs, conv1.kept_macs) == (macs, kept)
    assert (conv1.zero_rows, conv1.zero_columns) == (25, 25)
    assert conv1.zeros == pytest.approx(100 * (1 - 12 * 54 / (16 * 72)))
    assert [timing.macs for timing in conv1.modes] == [macs, kept, kept, kept, macs]
    assert [timing.lowering is not None for timing in conv1.modes] == [True, True] + [False] * 3
    assert all(timing.lowering is None for timing in conv2.modes)  # 1 x 1: the image itself
    assert [timing.mode for timing in ip.modes] == ["GEMM", "SPMDM", "CCNMM"]
    assert ip.refused == {"SPGEMM": "gemm_mode: SPGEMM has no kernel; use SPMDM"}
    assert {layer.rounds for layer in (conv1, conv2, ip)} == {2}
    assert all(timing.description for timing in conv1.modes)


def test_a_mode_that_cannot_run_here_says_why():
    text = NET.replace("dim: 9 dim: 9", "dim: 9").replace(" group: 2", "")
    net = Net(parse_net(text), TEST)
    net.forward()
    compared = run_contest(net.units[1], 1)
    assert "DIRECT_SCONV expected 2 spatial axes, got 1" in compared.refused["DIRECT_SCONV"]
    assert "DIRECT_SCONV" not in [timing.mode for timing in compared.modes]


def test_the_fastest_is_best_and_the_whole_net_is_measured(net, stopwatch):
    stopwatch(LOWERED_CCNMM=2, DIRECT_DCONV=8, nets={"dense": 9, "best modes": 3})
    result = compare(net)
    assert result.modes == {"conv1": "LOWERED_CCNMM", "conv2": "LOWERED_CCNMM", "ip": "GEMM"}
    assert result.gains
    assert "whole net: 3 ms with the best modes, 2 of 3 layers not dense: 3.0x dense (9 ms), " in (
        result.verdict
    )
    timing = result.layers[0].timing("LOWERED_CCNMM")
    assert result.layers[0].speedup(timing, "DIRECT_DCONV") == 4
    assert result.layers[0].speedup(timing, "LOWERED_GEMM") == 5
    assert result.layers[2].speedup(result.layers[2].modes[0], None) is None
    macs = 2e-6 * timing.macs
    assert result.per_cent_of_peak(timing) == pytest.approx(100 * macs / 2 / result.peak)


def test_what_is_hardly_faster_is_not_taken(net, stopwatch):
    stopwatch(LOWERED_CCNMM=9.6)
    result = compare(net)
    assert result.modes["conv1"] == "DIRECT_DCONV"
    assert set(result.nets) == {"dense", "LOWERED_GEMM"}
    assert not result.gains
    assert "whole net: stays dense" in result.verdict


def test_a_net_that_gains_nothing_as_a_whole_stays_dense(net, stopwatch):
    stopwatch(LOWERED_CCNMM=2, nets={"dense": 5, "best modes": 6})
    result = compare(net)
    assert result.layers[0].best == "LOWERED_CCNMM"
    assert set(result.modes.values()) == {"DIRECT_DCONV", "GEMM"}
    assert "stays dense; the best modes of its layers, 2 of 3 layers not dense, took 6 ms" in (
        result.verdict
    )


@pytest.mark.parametrize(
    ("zeros", "times", "expected"),
    [
        ("none", {}, "conv1: stays dense; no zeros"),
        ("one", {}, "conv1: stays dense; 2 % zeros is too few"),
        ("rows", {"LOWERED_CCNMM": 20}, "conv1: stays dense; 25 % zero rows is too few "),
        ("scattered", {"DIRECT_SCONV": 20}, "conv1: stays dense; 50 % zeros is too few "),
        ("rows", {"LOWERED_CCNMM": 2.5}, "conv1: LOWERED_CCNMM, 4.0x dense"),
        ("rows", {"LOWERED_GEMM": 5}, "conv1: LOWERED_GEMM, 2.0x dense"),
    ],
)
def test_verdicts_on_layers(net, stopwatch, zeros, times, expected):
    weights = net.params["conv1"][0]
    weights.set_data(1.0)
    if zeros == "one":
        weights.data[0, 0] = 0
        weights.data[1, :2] = 0
    elif zeros == "rows":
        weights.data[:4] = 0
    elif zeros == "scattered":
        weights.data.reshape(16, 72)[::2, ::2] = 0
        weights.data.reshape(16, 72)[1::2, 1::2] = 0
    stopwatch(**times)
    text = comparison.verdict.of_layer(compare(net).layers[0])
    assert text.startswith(expected)


def test_progress_is_told(net, stopwatch):
    stopwatch()
    told = []
    compare(net, advance=lambda done, words: told.append((done, words)))
    assert told == [(1, "conv1"), (2, "conv2"), (3, "ip"), (4, "whole net")]
    assert comparison.steps(net) == 4


def test_the_nets_compute_the_same_with_the_same_weights(net):
    net.forward()
    expected = net.blobs["ip"].const_data.copy()
    for mode in MODES:
        variant = comparison._variant(net, {"conv1": mode, "conv2": mode})
        variant.forward()
        got = variant.blobs["ip"].const_data
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * abs(expected).max())
        assert variant.layers[1].kernel.mode_name == mode


def test_a_blob_that_kernels_may_keep_in_their_layout_has_the_same_values(rng):
    blob = Blob((2, 3))
    blob.set_data(rng.standard_normal((2, 3)))
    copied = contest._like(blob)
    np.testing.assert_array_equal(copied.const_data, blob.const_data)
    copied.data[...] = 0
    assert blob.const_data.any()
