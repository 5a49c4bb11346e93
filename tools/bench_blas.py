"""Time matrix products: sgemm by library, sparse products, and InnerProduct by how weights lie.

python tools/bench_blas.py [--parts gemm csrmm ip] [--rounds 15] [--threads 2] [--json]

MKL takes part where the ``mkl`` package is installed. What is compared takes turns in one process;
what counts is the ratio of the medians. Zeros are scattered at random, but for `concatenated`,
where half of the rows and so many of the columns go that the same share of the weights is zero.
"""

import argparse
import json
import statistics
import timeit

import numpy as np

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.device import cpu
from sscaffe.ip import KERNELS, IpSizes
from sscaffe.kernels import cpu_blas, mkl
from sscaffe.weight_matrix import CsrMatrix

GEMMS = {"2048^3": (2048, 2048, 2048), "conv3": (384, 169, 2304), "lenet conv2": (50, 64, 500)}
# rows, columns and positions of a conv group's product, and images
CSRMMS = {
    "conv2 / 2": (128, 1200, 729, 1),
    "conv3": (384, 2304, 169, 2),
    "conv5 / 2": (128, 1728, 169, 2),
    "lenet conv2": (50, 500, 64, 32),
    "resnet20 3": (64, 576, 64, 32),
}
IPS = {"fc6": (4096, 9216), "fc8": (1000, 4096), "lenet ip1": (500, 800)}
rng = np.random.default_rng(1)


def random_array(*shape):
    """Return floats in aligned memory, as a blob has them."""
    array = _core.aligned_array(int(np.prod(shape)), np.float32).reshape(shape)
    array[...] = rng.standard_normal(shape, np.float32)
    return array


def scattered(rows, columns, zeros):
    """Return weights of which such a share is zero."""
    return random_array(rows, columns) * (rng.random((rows, columns), np.float32) >= zeros)


def structured(rows, columns, zeros):
    """Return weights with half of the rows, and of the columns as many as it takes, zero."""
    matrix = random_array(rows, columns)
    matrix[rng.permutation(rows)[: rows // 2]] = 0
    matrix[:, rng.permutation(columns)[: round(columns * (2 * zeros - 1))]] = 0
    return matrix


def gemms():
    """Yield a name and what to run, for each size of dense product."""
    for name, (m, n, k) in GEMMS.items():
        a, b, out = random_array(m, k), random_array(k, n), random_array(m, n)
        libraries = {"native": _core.gemm}
        if _core.has_onednn:
            libraries["onednn"] = _core.onednn_sgemm
        if mkl.find():
            libraries["mkl"] = mkl.sgemm
        sizes = a, b, out, False, False, False
        yield name, {key: lambda f=f, x=sizes: f(*x) for key, f in libraries.items()}


def csrmms():
    """Yield a name and what to run, for each layer and sparsity."""
    for name, (m, k, p, images) in CSRMMS.items():
        x, out = random_array(images, k, p), random_array(images, m, p)
        for zeros in (0.5, 0.8, 0.9, 0.95):
            matrix = CsrMatrix.from_dense(scattered(m, k, zeros), cpu())
            csr = matrix.row_ptr, matrix.indices, matrix.values, k, p
            runs = {"native": cpu_blas.NativeProduct(*csr).multiply}
            if mkl.find():
                runs["mkl"] = cpu_blas.MklProduct(*csr).multiply
            label = f"{name} N={images} {100 * zeros:.0f} %"
            yield label, {key: lambda f=f, x=x, y=out: f(x, y) for key, f in runs.items()}


def inner_products():
    """Yield a name and what to run, for each layer, batch and sparsity."""
    for name, (m, k) in IPS.items():
        for batch, zeros in ((1, 0.8), (1, 0.9), (32, 0.6), (32, 0.8), (32, 0.9)):
            bottom, bias = Blob((batch, k)), Blob((m,))
            bottom.set_data(random_array(batch, k))
            runs = {}
            for key, kernel_class in KERNELS.items():
                weights = Blob((m, k))
                weights.set_data((structured if key == "concatenated" else scattered)(m, k, zeros))
                kernel = kernel_class(IpSizes(batch, k, m), cpu(), np.float32)
                blobs = bottom, weights, bias, Blob((batch, m))
                runs[key] = lambda kernel=kernel, blobs=blobs: kernel.forward(*blobs)
            yield f"{name} N={batch} {100 * zeros:.0f} %", runs


def measure(runs, rounds):
    """Let them take turns; return the median milliseconds of one run of each."""
    times = {key: [] for key in runs}
    repeats = {}
    for key, run in runs.items():
        run()
        repeats[key] = max(1, round(1e-3 / timeit.timeit(run, number=1)))
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(timeit.timeit(run, number=repeats[key]) / repeats[key])
    return {key: 1e3 * statistics.median(values) for key, values in times.items()}


def main():
    """Measure and print."""
    parts = {"gemm": gemms, "csrmm": csrmms, "ip": inner_products}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    results = []
    for part in args.parts:
        for name, runs in parts[part]():
            times = measure(runs, args.rounds)
            results.append({"part": part, "case": name, "ms": times})
            if not args.json:
                last = list(times.values())[0 if part == "ip" else -1]
                cells = [f"{key} {ms:8.3f} ({last / ms:5.2f}x)" for key, ms in times.items()]
                print(f"{part:6}{name:24}", *cells, flush=True)
    if args.json:
        print(json.dumps({"threads": args.threads, "results": results}, indent=2))


if __name__ == "__main__":
    main()
