"""Rows of a net: what runs, timed; the work of each; nets in turns."""

from types import SimpleNamespace

import pytest

from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.timing import Spread, fill_inputs, spread, time_in_turns, time_net
from tests.timing.nets import NET


def test_spread_of_known_numbers():
    spread = Spread.of([float(n) for n in (11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
    assert (spread.median, spread.low, spread.high, spread.mean) == (6, 2, 10, 6)


IN_PLACE = NET.replace(
    'layer { name: "ip"',
    """
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip\"""",
)


@pytest.fixture
def clock(monkeypatch):
    """Make layer i take 2 to the i ms forward, and half a ms more backward."""
    now = [0.0]
    monkeypatch.setattr(spread, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(run, milliseconds):
        def slowed(*args):
            now[0] += milliseconds / 1e3
            return run(*args)

        return slowed

    def wind(net):
        for i, layer in enumerate(net.layers):
            layer.forward = slow(layer.forward, 2**i)
            layer.backward = slow(layer.backward, 2**i + 0.5)
            if hasattr(layer, "forward_with"):
                layer.forward_with = slow(layer.forward_with, 100)
        return net

    return wind


def test_every_layer_is_timed_in_both_directions():
    net = Net(parse_net(NET), TRAIN)
    fill_inputs(net)
    result = time_net(net, 4)
    assert result.iterations == 4
    assert [layer.name for layer in result.layers] == ["in", "conv", "ip", "loss"]
    assert all(layer.forward.median > 0 and layer.backward.median > 0 for layer in result.layers)
    assert result.rows.mean == pytest.approx(sum(layer.forward.mean for layer in result.layers))
    assert result.backward.mean == pytest.approx(sum(row.backward.mean for row in result.layers))
    assert result.forward.mean + result.backward.mean == pytest.approx(result.total.mean)


def test_each_time_is_that_of_its_layer(clock):
    result = time_net(clock(Net(parse_net(NET), TRAIN)), 2)
    assert [row.forward.median for row in result.layers] == pytest.approx([1, 2, 4, 8])
    assert [row.backward.median for row in result.layers] == pytest.approx([1.5, 2.5, 4.5, 8.5])


def test_the_whole_is_a_plain_forward_pass_and_not_the_sum(clock, monkeypatch):
    net = clock(Net(parse_net(NET), TRAIN))
    whole = net.run_forward
    calls = []

    def forward(*range_of_layers):
        calls.append(range_of_layers)
        net.layers[0].forward([], net.tops[0])  # something that no row has: 1 ms
        return whole(*range_of_layers)

    monkeypatch.setattr(net, "run_forward", forward)
    result = time_net(net, 2, backward=False, warm_up=1)
    assert calls == [()] * 4  # one to begin with, one of the warm-up, two that count
    assert result.rows.median == pytest.approx(15)
    assert result.forward.median == pytest.approx(16)


def test_layers_that_run_as_one_are_one_row(clock):
    rows = time_net(clock(Net(parse_net(IN_PLACE), TEST)), 1, backward=False).layers
    names = [row.name for row in rows if row.type not in ("Split", "Input")]
    assert names == ["conv + norm + relu", "ip", "acc", "loss"]
    conv = next(row for row in rows if row.name.startswith("conv"))
    assert conv.members == ["conv", "norm", "relu"]
    assert (conv.type, conv.types) == ("Convolution", ["Convolution", "BatchNorm", "ReLU"])
    assert conv.forward.median == pytest.approx(100)
    assert conv.macs == 2 * 4 * 9 * 4


def test_in_train_a_norm_and_what_follows_in_place_are_one_row(clock):
    net = clock(Net(parse_net(IN_PLACE), TRAIN))
    rows = time_net(net, 1).layers
    assert [row.name for row in rows] == ["in", "conv", "norm + relu", "ip", "loss"]
    assert all(row.backward is not None for row in rows)


def test_what_is_folded_runs_by_itself_for_a_backward_pass():
    net = Net(parse_net(IN_PLACE), TEST)
    fill_inputs(net)
    rows = time_net(net, 1).layers
    assert "norm" in [row.name for row in rows]
    assert all(row.backward.median > 0 for row in rows)


def test_macs_by_hand():
    net = Net(parse_net(NET), TRAIN)
    net.params["conv"][0].data[1:3] = 0  # filters
    net.params["conv"][0].data[:, :, 0] = 0  # a row of the kernel: three columns
    net.params["ip"][0].data[:, 4:] = 0
    layers = {layer.name: layer for layer in time_net(net, 1).layers}
    conv, ip = layers["conv"], layers["ip"]
    assert (conv.macs, conv.kept_macs) == (2 * 4 * 9 * 4, 2 * 2 * 6 * 4)
    assert (conv.zero_rows, conv.zero_columns) == (50, pytest.approx(100 / 3))
    assert (ip.macs, ip.kept_macs) == (2 * 3 * 16, 2 * 3 * 4)
    assert layers["loss"].macs is None
    assert layers["loss"].kernel == ""


def test_without_backward():
    net = Net(parse_net(NET), TRAIN)
    result = time_net(net, 2, backward=False)
    assert result.backward is None
    assert result.layers[1].backward is None
    assert result.total == result.forward


def test_nets_in_turns_run_as_often(monkeypatch):
    nets = [Net(parse_net(NET), TEST) for _ in range(2)]
    runs = []
    for number, net in enumerate(nets):
        forward = net.run_forward
        net.run_forward = lambda f=forward, n=number: (runs.append(n), f())
    time_in_turns(nets, 2, warm_up=1)
    assert runs == [0, 1] * 4


def test_progress_is_told():
    told = []
    time_net(Net(parse_net(NET), TEST), 3, backward=False, advance=lambda i, words: told.append(i))
    assert told == [1, 2, 3]
