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
        self.barrier = threading.Barrier(size, timeout=20)


class ThreadWorld(World):
    def __init__(self, rank, meeting):
        self.rank, self.size, self._meeting = rank, meeting.size, meeting
        self.events, self._number = [], 0

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


@pytest.mark.parametrize("bucket", [1, 100, 1 << 20])
@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_and_statistics_become_means(bucket, passes):
    def reduce(world):
        own, net = small_net(world.rank), small_net(world.rank)
        for _ in range(passes):
            own.forward_backward()
        reduction = Reduction(net, world, bucket, numbers=1)
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
        reduction = Reduction(net, world, 1, numbers=1)
        names = [layer.name for layer in net.layers]
        net.hooks.after_backward.insert(0, lambda place: world.events.append(names[place]))
        reduction.arm()
        net.forward_backward()
        reduction.finish(0)
        return world.events

    [events] = on_all(1, watch)
    starts = [i for i, event in enumerate(events) if event[0] == "start"]
    # Each blob a bucket: those of ip4, the bias of ip3, those of ip2; what is last waits.
    assert [events[i][1] for i in starts] == [16, 4, 4, 16, 4, 16 + 4 + 4 + 1 + 1]
    assert events.index("ip4") < starts[0] < starts[1] < events.index("ip3") < starts[2]
    assert starts[2] < events.index("ip2") < starts[3] < starts[4] < events.index("ip1")
    assert ("progress", 16) in events[: starts[2]]


class EqualWorld(World):
    """Three ranks that have the same."""

    size = 3

    def start_sum(self, array):
        array *= 3
        return SimpleNamespace(progress=lambda: True, wait=lambda: None)


@pytest.mark.gpu
def test_gradients_of_a_gpu_go_by_way_of_the_host():
    net = Net(prototxt.parse_net(NET), TRAIN, rng=RandomNumbers(1), device=gpu())
    reduction = Reduction(net, EqualWorld(), 1, numbers=1)
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
