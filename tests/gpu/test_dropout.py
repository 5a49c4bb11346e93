"""Dropout's generator on the GPU: Philox, as its authors publish it."""

import numpy as np
import pytest

from sscaffe.kernels.gpu_elementwise import Dropout
from sscaffe.kernels.gpu_runtime import to_host, xp
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff

pytestmark = pytest.mark.gpu


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def philox(counter, key):
    """Return the four numbers of Philox-4x32-10."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        low = 0xFFFFFFFF
        c = [b >> 32 ^ c[1] ^ k[0], b & low, a >> 32 ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def masks(count, seed, step, ratio):
    limit = np.uint32((1 - ratio) * 4294967295)
    draws = [philox((p, 0, step, 0), (seed, 0)) for p in range(-(-count // 4))]
    return np.array(draws, np.uint32).ravel()[:count] <= limit


def test_reference_has_the_published_answers():
    """Of kat_vectors in Random123."""
    assert philox((0,) * 4, (0,) * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    expected = [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox((ones,) * 4, (ones,) * 2) == expected


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("count", [0, 1, 5, 4098])
def test_forward_and_backward(count, ratio, dtype, rng):
    x, dy = rng.standard_normal((2, count)).astype(dtype)
    bottom, top = blob_of(x), unset(x.shape, dtype)
    dropout = Dropout(count, dtype, 7, ratio)
    factor = dtype(1 / (1 - ratio))
    for step in range(3 if count else 0):
        dropout.forward(bottom, top)
        kept = masks(count, 7, step, ratio)
        np.testing.assert_array_equal(data_of(top), x * (kept * factor))
        np.testing.assert_array_equal(to_host(dropout.mask), kept)
        dropout.backward(with_diff(top, dy), bottom)
        np.testing.assert_array_equal(diff_of(bottom), dy * (kept * factor))
        np.testing.assert_array_equal(to_host(dropout.state), [7, step + 1])


def test_in_place(dtype, rng):
    x, dy = rng.standard_normal((2, 1027)).astype(dtype)
    blob = blob_of(x, dy)
    dropout = Dropout(1027, dtype, 1, 0.5)
    dropout.forward(blob, blob)
    kept = masks(1027, 1, 0, 0.5)
    np.testing.assert_array_equal(data_of(blob), x * (kept * dtype(2)))
    dropout.backward(blob, blob)
    np.testing.assert_array_equal(diff_of(blob), dy * (kept * dtype(2)))


def test_keeps_as_many_as_it_should():
    count = 40_000
    blob = blob_of(np.ones(count, np.float32))
    Dropout(count, np.float32, 3, 0.3).forward(blob, blob)
    # Four standard deviations.
    assert abs((data_of(blob) > 0).mean() - 0.7) < 4 * np.sqrt(0.7 * 0.3 / count)


def test_a_graph_draws_anew_each_time():
    x = np.ones(1027, np.float32)
    bottom, top = blob_of(x), unset(x.shape, np.float32)
    dropout = Dropout(x.size, np.float32, 5, 0.5)
    stream = xp.cuda.Stream(non_blocking=True)
    xp.cuda.get_current_stream().synchronize()
    with stream:
        dropout.forward(bottom, top)  # compiles the kernel
        stream.begin_capture()
        dropout.forward(bottom, top)
        graph = stream.end_capture()
        for step in (1, 2):
            graph.launch(stream)
            np.testing.assert_array_equal(data_of(top), 2 * masks(1027, 5, step, 0.5))
