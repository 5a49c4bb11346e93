"""The stand-in for CuPy finds the faults that a GPU would hide or hang on."""

import numpy as np
import pytest

from sscaffe.kernels.gpu_runtime import pinned, to_device, to_host, xp

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not xp.__version__.endswith("host"), reason="the real CuPy is here"),
]

SOURCE = """
#include "common.cuh"

__device__ Real both(Real a, Real b) { return a + b; }

extern "C" __global__ void __launch_bounds__(256)
block_sums(int count, const Real* __restrict__ x, Real* __restrict__ sums) {
    __shared__ Real partial[32];
    Real sum = 0;
    FOR_EACH(i, count) sum = both(sum, x[i]);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : Real(0);
        for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (threadIdx.x == 0) sums[blockIdx.x] = sum;
    }
}

extern "C" __global__ void reversed(Real* x) {
    extern __shared__ Real copy[];
    copy[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void forgets_some(Real* x) {
    if (threadIdx.x > 3) return;
    __syncthreads();
    x[threadIdx.x] = 0;
}

extern "C" __global__ void forgets_a_lane(Real* x) {
    if (threadIdx.x != 5) x[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0);
}

extern "C" __global__ void leaves(int place, Real value, const Real* x, Real* y) {
    if (value == 0) y[0] = x[place];
    else y[place] = value;
}

extern "C" __global__ void reads_what_is_not_there(Real* y) {
    __shared__ Real cell, cells[2];
    y[3 * blockIdx.x] = cell;
    y[3 * blockIdx.x + 1] = cells[0];
    y[3 * blockIdx.x + 2] = cells[1];
    cell = cells[0] = cells[1] = 1;
}

extern "C" __global__ void goes_on_near_the_largest_int(int* steps) {
    const dim3 blockDim = {256, 1, 1}, gridDim = {65536, 1, 1};
    for (unsigned thread : {0u, 255u}) {
        const dim3 threadIdx = {thread, 0, 0}, blockIdx = {65535, 0, 0};
        FOR_EACH(i, 2147483647) steps[0] += i < 0 ? 1000 : 1;
    }
}

extern "C" __global__ void twice(int count, Real factor, Real* x) {
    FOR_EACH(i, count) x[i] *= factor;
}
"""


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def kernel(dtype):
    from sscaffe.kernels.gpu_runtime import FOLDER

    name = "double" if dtype == np.float64 else "float"
    module = xp.RawModule(code=SOURCE, options=(f"-DReal={name}", f"-I{FOLDER}"))
    return module.get_function


@pytest.mark.parametrize("threads", [32, 64, 256])
def test_block_reduction(kernel, dtype, rng, threads):
    x = rng.integers(-9, 9, 1000).astype(dtype)
    sums = xp.empty(3, dtype)
    kernel("block_sums")((3,), (threads,), (np.int32(1000), to_device(x), sums))
    owner = np.arange(1000) // threads % 3
    np.testing.assert_array_equal(to_host(sums), np.bincount(owner, x))


def test_dynamic_shared_memory(kernel, dtype):
    x = to_device(np.arange(70, dtype=dtype))
    kernel("reversed")((1,), (70,), (x,), shared_mem=70 * dtype.itemsize)
    np.testing.assert_array_equal(to_host(x), np.arange(70)[::-1])
    with pytest.raises(RuntimeError, match="beyond the 8 bytes of dynamic shared memory"):
        kernel("reversed")((1,), (70,), (x,), shared_mem=8)


def test_deadlocks_are_found(kernel, dtype):
    x = to_device(np.zeros(64, dtype))
    with pytest.raises(RuntimeError, match=r"deadlock.* 4 threads wait .*60 have returned \(4\)"):
        kernel("forgets_some")((1,), (64,), (x,))
    with pytest.raises(RuntimeError, match=r"deadlock.* 31 at a warp operation .*\b33 have"):
        kernel("forgets_a_lane")((1,), (64,), (x,))
    kernel("twice")((1,), (64,), (np.int32(64), dtype.type(2), x))  # and the next one runs


def test_arguments_of_a_wrong_type_are_refused(kernel, dtype):
    other = np.dtype("float32" if dtype == "float64" else "float64")
    count, two = np.int32(4), dtype.type(2)
    for arguments, words in [
        ((count, two, xp.zeros(4, other)), f"array of {other}"),
        ((count, other.type(2), xp.zeros(4, dtype)), f"given a {other}"),
        ((np.int64(4), two, xp.zeros(4, dtype)), "given a int64"),
        ((count, two, xp.zeros(8, dtype)[::2]), "not C-contiguous"),
        ((count, two), "3 arguments"),
        ((count, two, np.zeros(4, dtype)), "ndarray"),
    ]:
        with pytest.raises(TypeError, match=words):
            kernel("twice")((1,), (4,), arguments)
    with pytest.raises(RuntimeError, match="256 threads at most"):
        kernel("block_sums")((1,), (512,), (count, xp.zeros(4, dtype), xp.zeros(4, dtype)))


def test_host_and_device_do_not_mix():
    x, host = xp.ones(3, np.float32), np.ones(3, np.float32)
    for mix in [
        lambda: x + host,
        lambda: host + x,
        lambda: xp.maximum(x, host),
        lambda: np.asarray(x),
        lambda: x.__setitem__(0, host),
        lambda: x.__iadd__(host),
    ]:
        with pytest.raises(TypeError):
            mix()
    for sum_ in [x + np.float32(1), np.float32(1) + x, x + 1, np.sqrt(x) + 1]:
        assert isinstance(sum_, xp.ndarray)
        assert sum_.dtype == np.float32
    assert isinstance(x.sum(), xp.ndarray)
    assert isinstance(np.concatenate([x, x]), xp.ndarray)
    assert float(x.sum()) == 3
    assert np.isnan(to_host(xp.empty(2))).all()
    assert not hasattr(xp, "errstate")


def test_capture_notes_down_and_replays(kernel, dtype):
    host = pinned(4, dtype)
    x, total, index = xp.empty(4, dtype), xp.zeros((), dtype), to_device(np.array([3, 1]))
    twice = kernel("twice")  # no module may be loaded during a strict capture
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture(xp.cuda.runtime.streamCaptureModeGlobal)
        x.set(host)
        twice((1,), (4,), (np.int32(4), dtype.type(2), x))
        total += x.sum()
        x.reshape(2, 2)[1] -= 1
        picked = x[index] * 10
        for wait in (x.get, total.item, lambda: bool(total > 0), lambda: xp.nonzero(x)):
            with pytest.raises(RuntimeError, match="StreamCaptureUnsupported"):
                wait()
        graph = stream.end_capture()
    assert float(total) == 0
    for start, sums in [(0, 12), (1, 32)]:
        host[:] = np.arange(start, start + 4)
        graph.launch(stream)
        stream.synchronize()
        assert float(total) == sums
        doubled = 2.0 * host - [0, 0, 1, 1]
        np.testing.assert_array_equal(to_host(x), doubled)
        np.testing.assert_array_equal(to_host(picked), doubled[[3, 1]] * 10)


@pytest.mark.parametrize("place", [-2, 5, -40000, 40000])
@pytest.mark.parametrize("value", [0, 1])
def test_what_leaves_an_array_is_found(kernel, dtype, place, value):
    x, y = xp.zeros(5, dtype), xp.zeros(5, dtype)
    found = 0
    for _ in range(2):  # one launch finds what lies before, the next one what lies behind
        arguments = np.int32(place), dtype.type(value), x, y
        try:
            kernel("leaves")((1,), (1,), arguments)
        except RuntimeError as error:
            found += 1
            where = "before" if place < 0 else "behind the end of"
            assert f"{where} {'y' if value else 'x'}, of {x.nbytes} bytes" in str(error)  # noqa: PT017
        else:
            assert np.isnan(float(y[0]))
    assert found == 2 if value or abs(place) > 1000 else found == 1


def test_shared_memory_holds_nothing_at_the_start_of_a_block(kernel, dtype):
    y = xp.zeros(12, dtype)
    kernel("reads_what_is_not_there")((4,), (1,), (y,))
    assert np.isnan(to_host(y)).all()


def test_elements_are_counted_up_to_the_largest_int(kernel):
    steps = to_device(np.zeros(1, np.int32))
    kernel("goes_on_near_the_largest_int")((1,), (1,), (steps,))
    assert to_host(steps).tolist() == [128 + 127]


def test_arrays_that_overlap_stay_one(kernel, dtype):
    x = to_device(np.arange(8, dtype=dtype))
    kernel("leaves")((1,), (1,), (np.int32(3), dtype.type(0), x[4:], x[2:7]))
    assert to_host(x).tolist() == [0, 1, 7, 3, 4, 5, 6, 7]


def test_page_locked_memory_is_not_written_to_under_a_copy():
    host, stream = pinned(4, np.float32), xp.cuda.Stream(non_blocking=True)
    event = xp.cuda.Event(disable_timing=True)
    x = xp.empty(4, np.float32)
    for wait in (stream.synchronize, event.synchronize, lambda: to_host(x)):
        with stream:
            host[:] = 1
            to_device(host, x)
            event.record()
            wait()
            host[:] = 2
            to_device(host, x)
            host[:] = 3
            with pytest.raises(RuntimeError, match="before the host waited"):
                to_device(host, x)
            stream.synchronize()


def test_page_locked_memory_is_not_freed_under_a_copy():
    stream = xp.cuda.Stream(non_blocking=True)
    for copy in (lambda host, x: x.set(host), lambda host, x: x.get(out=host, blocking=False)):
        with stream:
            copy(pinned(4, np.float32), xp.zeros(4, np.float32))
            with pytest.raises(RuntimeError, match="freed before the host waited"):
                stream.synchronize()


def test_a_copy_to_the_host_is_there_when_the_host_has_waited():
    stream, event = xp.cuda.Stream(non_blocking=True), xp.cuda.Event(disable_timing=True)
    out = pinned(3, np.float32)
    with stream:
        x = xp.ones(3, np.float32)
        x.get(out=out, blocking=False)
        event.record()
        x += 1
        assert np.isnan(out).all()
        event.synchronize()
        assert out.tolist() == [1, 1, 1]
