"""Threads that call NVIDIA's libraries at a time: each on its own stream."""

import threading

import numpy as np
import pytest

from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import gpu_cudnn, gpu_libraries
from sscaffe.kernels.gpu_graph import Graph
from sscaffe.kernels.gpu_runtime import to_device, to_host, xp

pytestmark = pytest.mark.gpu


class Interrupter:
    """Lets another thread do the same between the choice of the stream and the call."""

    def __init__(self, monkeypatch, module, name, work):
        self._function, self._work, self._thread = getattr(module, name), work, None
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments, **others):
        result = self._function(*arguments, **others)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work)
            self._thread.start()
            self._thread.join(0.3)  # it has to wait for the first
        return result

    def join(self):
        self._thread.join()


def test_products(rng, monkeypatch):
    a = rng.standard_normal((5, 5)).astype(np.float32)
    left, first, second = to_device(a), xp.zeros((5, 5), np.float32), xp.zeros((5, 5), np.float32)
    gpu_libraries.gemm(left, left, first)
    first.fill(0)
    other = Interrupter(
        monkeypatch, gpu_libraries, "_cublas", lambda: gpu_libraries.gemm(left, left, second)
    )
    graph = Graph(lambda: gpu_libraries.gemm(left, left, first))
    other.join()
    assert not to_host(first).any()
    graph.launch()
    for out in (first, second):
        np.testing.assert_allclose(to_host(out), a @ a, rtol=0, atol=1e-5)


def test_convolutions(rng, monkeypatch):
    g = ConvGeometry(2, 3, 1, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1))
    plan = gpu_cudnn.plan(gpu_cudnn.Sizes.of(g, 2, "float32"), "fprop")
    x = to_device(rng.standard_normal((2, 2, 6, 6)).astype(np.float32))
    w = to_device(rng.standard_normal((3, 2, 3, 3)).astype(np.float32))
    wanted, first, second = (xp.zeros((2, 3, 6, 6), np.float32) for _ in range(3))
    plan.run(x, w, wanted)
    other = Interrupter(monkeypatch, gpu_cudnn, "handle_of_stream", lambda: plan.run(x, w, second))
    graph = Graph(lambda: plan.run(x, w, first))
    other.join()
    assert not to_host(first).any()
    graph.launch()
    for out in (first, second):
        np.testing.assert_array_equal(to_host(out), to_host(wanted))
