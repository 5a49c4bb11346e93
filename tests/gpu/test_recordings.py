"""Recorded passes: what they must see, how they end, and who may go on meanwhile."""

import gc
import threading
import weakref

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.blob import Blob
from sscaffe.device import cpu, gpu, gpu_count
from sscaffe.kernels import gpu_graph, gpu_runtime
from sscaffe.kernels.gpu_runtime import pinned, to_host, xp
from sscaffe.layer_types.inner_product import InnerProductLayer
from sscaffe.net import Net
from sscaffe.random_numbers import RandomNumbers
from tests.gpu.test_passes import NET

pytestmark = pytest.mark.gpu


def pair():
    param = prototxt.parse_net(NET)
    nets = [Net(param, 0, device=d, rng=RandomNumbers(3)) for d in (cpu(), gpu(0))]
    draw = np.random.default_rng(2)
    data, label = draw.standard_normal((4, 2, 9, 9)), draw.integers(0, 5, 4)
    for net in nets:
        net.blobs["data"].set_data(data.astype(np.float32))
        net.blobs["label"].set_data(label.astype(np.float32))
    return nets


def pass_over(net):
    net.clear_param_diffs()
    return net.forward_backward()


def assert_same_gradients(nets):
    for a, b in zip(nets[0].learnable_params, nets[1].learnable_params, strict=True):
        scale = max(1e-3, abs(a.blob.host_diff).max())
        np.testing.assert_allclose(
            b.blob.host_diff, a.blob.host_diff, rtol=0, atol=1e-4 * scale, err_msg=a.name
        )


@pytest.mark.parametrize("is_held", [False, True])
def test_a_weight_of_the_loss_that_a_user_sets_is_seen(is_held):
    nets = pair()
    held = [net.blobs["loss"].diff for net in nets] if is_held else []
    for i in range(12):
        for number, net in enumerate(nets):
            diff = held[number] if is_held else None
            if i % 6 == 5:
                (net.blobs["loss"].diff if diff is None else diff)[...] = i
            pass_over(net)
        assert_same_gradients(nets)


def test_an_array_that_is_gone_leaves_its_id_to_no_other_one():
    """What was recorded is known by the ids of its arrays."""
    net = pair()[1]
    for _ in range(5):
        pass_over(net)
    weights = net.params["ip"][0]
    before = weakref.ref(weights.data_tensor._plain)
    other = Blob(weights.shape, weights.dtype, weights.device)
    other.set_data(np.zeros(weights.shape, np.float32))
    weights.share_data(other)
    assert before() is not None
    net.run_forward()
    assert np.ptp(net.blobs["ip"].host_data, axis=0).max() == 0
    pass_over(net)
    gc.collect()
    assert before() is None


def test_a_recording_that_fails_leaves_gradients_as_they_were(monkeypatch):
    nets, backward = pair(), InnerProductLayer.backward

    def waits(layer, *arguments):
        backward(layer, *arguments)
        if not layer.device.is_cpu:
            to_host(layer.blobs[0].const_diff)

    monkeypatch.setattr(InnerProductLayer, "backward", waits)
    for _ in range(6):
        for net in nets:
            pass_over(net)
        assert_same_gradients(nets)


def test_ctrl_c_ends_a_recording_and_leaves_gradients_as_they_were(monkeypatch):
    nets, backward = pair(), InnerProductLayer.backward
    interrupts = [KeyboardInterrupt()]

    def interrupted(layer, *arguments):
        backward(layer, *arguments)
        if interrupts and xp.cuda.get_current_stream().is_capturing():
            raise interrupts.pop()

    monkeypatch.setattr(InnerProductLayer, "backward", interrupted)
    for _ in range(8):
        pass_over(nets[0])
        try:
            pass_over(nets[1])
        except KeyboardInterrupt:
            nets[1].run_backward()
        assert_same_gradients(nets)
    assert not interrupts


def test_the_default_stream_is_free_while_a_pass_is_recorded():
    x, seen = xp.zeros(3, np.float32), []

    def work():
        nonlocal x
        thread = threading.Thread(target=lambda: seen.append(float(xp.ones(4).sum())))
        thread.start()
        thread.join()
        x += 1

    graph = gpu_graph.Graph(work)
    assert seen == [4]
    assert to_host(x).tolist() == [0, 0, 0]
    graph.launch()
    assert to_host(x).tolist() == [1, 1, 1]


def test_a_recording_goes_in_the_order_of_the_current_stream():
    x, out = xp.ones(3, np.float32), pinned(3, np.float32)
    graph = gpu_graph.Graph(lambda: x.get(out=out, blocking=False))
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        graph.launch()
        stream.synchronize()
    assert out.tolist() == [1, 1, 1]


def test_a_number_that_nobody_asks_for_keeps_its_memory_until_it_is_there():
    gpu_graph.Later(xp.ones((), np.float32))
    gpu_runtime.synchronize()


def test_a_thread_computes_on_the_gpu_of_the_net(monkeypatch):
    net, runtime = pair()[1], xp.cuda.runtime
    pass_over(net)
    entered = []
    monkeypatch.setattr(gpu_runtime, "enter", entered.append)
    threads = [
        threading.Thread(target=work)
        for work in (net.run_forward, net.run_backward, net.forward_backward)
    ]
    for thread in threads:
        thread.start()
        thread.join()
    assert len(entered) >= 3
    assert set(entered) == {runtime.getDevice()}


def test_a_thread_that_is_on_another_gpu_changes_to_it(monkeypatch):
    used = []
    monkeypatch.setattr(xp.cuda.runtime, "getDevice", lambda: 1)
    monkeypatch.setattr(xp.cuda.Device, "use", lambda self: used.append(self.id))
    gpu_runtime.enter(0)
    gpu_runtime.enter(1)
    assert used == [0]


def test_who_counts_gpus_stays_on_his_own(monkeypatch):
    used = []
    monkeypatch.setattr(xp.cuda.Device, "use", lambda self: used.append(self.id))
    assert gpu_count() == xp.cuda.runtime.getDeviceCount()
    assert not used
