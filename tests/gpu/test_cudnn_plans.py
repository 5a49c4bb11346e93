"""cuDNN's three products of a convolution, against a slow one and by their adjoints."""

import numpy as np
import pytest

from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import gpu_cudnn
from sscaffe.kernels.gpu_cudnn import Plan, Sizes, plan
from sscaffe.kernels.gpu_runtime import to_device, to_host, xp
from tests import reference

pytestmark = pytest.mark.gpu

GEOMETRIES = [
    ConvGeometry(3, 5, 1, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    ConvGeometry(6, 10, 2, (11, 8), (3, 2), (2, 3), (1, 0), (1, 1)),
    ConvGeometry(4, 6, 2, (9, 9), (3, 3), (1, 2), (3, 2), (2, 3)),
    ConvGeometry(5, 4, 1, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    ConvGeometry(6, 6, 6, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    ConvGeometry(4, 6, 2, (13,), (3,), (2,), (1,), (2,)),
    ConvGeometry(2, 4, 1, (4, 5, 6), (2, 3, 2), (1, 2, 1), (1, 1, 0), (1, 1, 1)),
]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the products' largest element


def run(sizes, kind, one, other, shape):
    out = xp.empty(shape, one.dtype)
    plan(sizes, kind).run(to_device(one), to_device(other), out)
    return to_host(out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_products_of_a_convolution(rng, g, dtype):
    x = rng.standard_normal((3, g.in_channels, *g.input)).astype(dtype)
    weights = rng.standard_normal((g.out_channels, g.in_channels // g.group, *g.kernel))
    weights = weights.astype(dtype)
    expected = reference.convolution(x, weights, None, g)
    dy = rng.standard_normal(expected.shape).astype(dtype)
    sizes = Sizes.of(g, len(x), dtype)

    top = run(sizes, "fprop", x, weights, expected.shape)
    scale = abs(expected).max()
    np.testing.assert_allclose(top, expected, rtol=0, atol=TOLERANCE[dtype] * scale)

    product = np.vdot(dy, expected)
    for kind, one, other, with_ in [("dgrad", dy, weights, x), ("wgrad", x, dy, weights)]:
        gradient = run(sizes, kind, one, other, with_.shape)
        size = np.linalg.norm(gradient) * np.linalg.norm(with_)
        assert abs(np.vdot(gradient.astype(float), with_) - product) <= TOLERANCE[dtype] * size


def test_another_process_chooses_the_same_plan(monkeypatch, tmp_path):
    monkeypatch.setenv("SSCAFFE_CACHE", str(tmp_path))
    sizes = Sizes.of(GEOMETRIES[0], 5, "float32")
    seen = []
    for order in (1, -1):  # the second one would find the first plan to be the slowest
        times = iter(range(100)[::order])
        monkeypatch.setattr(gpu_cudnn, "elapsed", lambda *_, times=times: [float(next(times))])
        seen.append(Plan(sizes, "fprop").name)
    (tmp_path / "auto.json").unlink()
    monkeypatch.setenv("SSCAFFE_CACHE", str(tmp_path / "other"))
    seen.append(Plan(sizes, "fprop").name)
    assert seen[0] == seen[1]
    if xp.__version__.endswith("host"):
        assert seen[2] != seen[0]
