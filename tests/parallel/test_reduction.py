"""Means of gradients, in buckets, while backward still runs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.device import gpu
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.parallel.reduction import Reduction, last_places
from sscaffe.parallel.world import World
from sscaffe.random_numbers import RandomNumbers

IP = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" %s
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }"""
NET = "".join(
    [
        'layer { name: "in" type: "DummyData" top: "data" top: "label" dummy_data_param {'
        "shape { dim: 2 dim: 4 } shape { dim: 2 }"
        'data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }',
        IP % ("ip1", "data", "ip1", 'param { name: "shared" } param { lr_mult: 0 }'),
        IP % ("ip2", "ip1", "ip2", ""),
        'layer { name: "norm" type: "BatchNorm" bottom: "ip2" top: "ip2" }',
        IP % ("ip3", "ip2", "ip3", 'param { name: "shared" }'),
        IP % ("ip4", "ip3", "ip4", ""),
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip4" bottom: "label" top: "loss" }',
    ]
)


class Meeting:
    """Where the ranks of a world of threads meet: what each gives is summed when all have come."""

    def __init__(self, size):
        self.size, self.arrays = size, {}
        self.barrier = threading.Barrier(size, timeout=200)


class ThreadWorld(World):
    def __init__(self, rank, meeting):
        self.rank, self.size, self._meeting = rank, meeting.size, meeting
        self.events, self._number = [], 0

    def gather(self, value):
        number, self._number = self._number, self._number + 1
        self._meeting.arrays[number, self.rank] = value
        self._meeting.barrier.wait()
        return [self._meeting.arrays[number, rank] for rank in range(self.size)]

    def start_sum(self, array):
        number, self._number = self._number, self._number + 1
        self.events.append(("start", array.size))
        self._meeting.arrays[number, self.rank] = array
        return ThreadSum(self, number, array)


class ThreadSum:
    def __init__(self, world, number, array):
        self.world, self.number, self.array = world, number, array

    def progress(self):
        self.world.events.append(("progress", self.array.size))
        return False

    def wait(self):
        meeting = self.world._meeting
        meeting.barrier.wait()
        arrays = [meeting.arrays[self.number, rank] for rank in range(meeting.size)]
        total = np.sum([array.copy() for array in arrays], axis=0)
        meeting.barrier.wait()
        self.array[...] = total


def small_net(seed):
    return Net(prototxt.parse_net(NET), TRAIN, rng=RandomNumbers(seed))


def gradients(net):
    return {p.name: p.blob.host_diff.copy() for p in net.learnable_params if p.learns}


def on_all(size, work):
    """Call a function in a thread for each rank; return what it returned."""
    meeting = Meeting(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(ThreadWorld(rank, meeting)), range(size)))


@pytest.mark.parametrize("bucket", [1, 100, 300, 1 << 20])
@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_and_statistics_become_means(bucket, passes):
    def reduce(world):
        own, net = small_net(world.rank), small_net(world.rank)
        reduction = Reduction(net, world, bucket)
        for one in (own, net):
            one.forward_backward()
        reduction.finish()  # the first time they agree on layouts
        for one in (own, net):
            one.clear_param_diffs()
            for blob in one.params["norm"]:
                blob.set_data(0)
        for _ in range(passes):
            own.forward_backward()
        for left in range(passes - 1, -1, -1):
            if not left:
                reduction.arm()
            net.forward_backward()
        mean = reduction.finish(world.rank)
        norm = [blob.host_data for blob in own.params["norm"]]
        new = [blob.host_data for blob in net.params["norm"]]
        return gradients(own), norm, gradients(net), new, mean

    found = on_all(3, reduce)
    for name in found[0][0]:
        expected = np.mean([one[0][name] for one in found], axis=0)
        for one in found:
            np.testing.assert_allclose(one[2][name], expected, rtol=1e-6, atol=1e-7, err_msg=name)
    for i in range(3):
        expected = np.mean([one[1][i] for one in found], axis=0)
        np.testing.assert_allclose(found[0][3][i], expected, rtol=1e-6)
    assert [one[4] for one in found] == [[1.0]] * 3


def test_sums_begin_while_backward_runs():
    def watch(world):
        net = small_net(1)
        reduction = Reduction(net, world, 1)
        names = [layer.name for layer in net.layers]
        reduction.arm()
        net.forward_backward()
        reduction.finish(0)
        world.events.clear()
        net.hooks.after_backward.insert(0, lambda place: world.events.append(names[place]))
        reduction.arm()
        net.forward_backward()
        reduction.finish(0)
        return world.events

    [events] = on_all(1, watch)
    starts = [i for i, event in enumerate(events) if event[0] == "start"]
    # Each blob a bucket: those of ip4, the bias of ip3, those of ip2; then what is shared,
    # statistics and a number.
    assert [events[i][1] for i in starts] == [16, 4, 4, 16, 4, 16, 4 + 4 + 1, 1]
    assert events.index("ip4") < starts[0] < starts[1] < events.index("ip3") < starts[2]
    assert starts[2] < events.index("ip2") < starts[3] < starts[4] < events.index("ip1")
    assert events.index("ip1") < starts[5]
    assert ("progress", 16) in events[: starts[2]]


CONV = """
layer { name: "in" type: "DummyData" top: "data" dummy_data_param {
  shape { dim: 2 dim: 32 dim: 9 dim: 9 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 64 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param {
  num_output: 48 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }
"""


@pytest.mark.parametrize("odd", [None, 1])
def test_large_gradients_stay_in_the_layout_that_all_ranks_have(odd):
    def reduce(world):
        nets = [
            Net(prototxt.parse_net(CONV), TRAIN, rng=RandomNumbers(world.rank)) for _ in range(2)
        ]
        reduction = Reduction(nets[1], world, 1 << 16)
        tensors = [nets[1].params[name][0].diff_tensor for name in ("conv", "ip")]
        held = nets[1].params["conv"][0].diff if world.rank == odd else None
        for _ in range(3):
            for net in nets:
                net.clear_param_diffs()
            nets[0].forward_backward()
            reduction.arm()
            nets[1].forward_backward()
            if world.rank == odd and reduction._means.needs_agreement:
                for tensor in tensors:
                    tensor.write()  # as a layer might that knows no layouts
            reduction.finish()
        if held is not None:
            np.testing.assert_array_equal(held, nets[1].params["conv"][0].host_diff)
        alone = nets[0].params["conv"][0].diff_tensor.is_plain
        plain = tensors[0].is_plain
        return gradients(nets[0]), gradients(nets[1]), alone, plain

    found = on_all(2, reduce)
    for name in found[0][0]:
        expected = np.mean([one[0][name] for one in found], axis=0)
        for one in found:
            np.testing.assert_allclose(one[1][name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(found[0][1][name], found[1][1][name])
    assert found[0][3] == (odd is not None or found[0][2])


class EqualWorld(World):
    """Three ranks that have the same."""

    size = 3

    def gather(self, value):
        return [value] * 3

    def start_sum(self, array):
        array *= 3
        return SimpleNamespace(progress=lambda: True, wait=lambda: None)


@pytest.mark.gpu
def test_gradients_of_a_gpu_go_by_way_of_the_host():
    net = Net(prototxt.parse_net(NET), TRAIN, rng=RandomNumbers(1), device=gpu())
    reduction = Reduction(net, EqualWorld(), 1)
    for _ in range(5):  # until passes are recorded
        net.clear_param_diffs()
        reduction.arm()
        net.forward_backward()
        own = gradients(net) | {"norm": net.params["norm"][0].host_data.copy()}
        assert reduction.finish(0.5) == [0.5]
        new = gradients(net) | {"norm": net.params["norm"][0].host_data}
        assert any(gradient.any() for gradient in own.values())
        for name, array in own.items():
            np.testing.assert_allclose(new[name], array, rtol=1e-6, err_msg=name)
    assert not net.hooks


def test_a_shared_gradient_waits_for_all_its_layers():
    net = small_net(1)
    numbers = {layer.name: i for i, layer in enumerate(net.layers)}
    places = last_places(net)
    assert places["ip1 weight"] == numbers["ip1"]
    assert places["ip3 bias"] == numbers["ip3"]
    assert "ip3 weight" not in places
