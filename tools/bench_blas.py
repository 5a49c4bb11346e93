"""Time matrix products: sgemm by library, sparse products, and InnerProduct by how weights lie.

python tools/bench_blas.py [--parts gemm csrmm ip] [--rounds 15] [--threads 2] [--json]

MKL takes part where it is installed. Printed are median ms of runs in turns, and how many times as
fast as the last (as GEMM, for ip). Zeros are scattered; for CCNMM, in rows and columns.
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
from sscaffe.layer import TEST
from sscaffe.weight_matrix import compress_rows

# rows, columns and positions of the product of a conv group, and images
SIZES = {"conv2": (128, 1200, 729, 1), "conv3": (384, 2304, 169, 2), "lenet": (50, 500, 64, 32)}
IPS = {"fc6": (4096, 9216), "fc8": (1000, 4096), "lenet ip1": (500, 800)}
rng = np.random.default_rng(1)


def random_array(*shape):
    """Return floats in aligned memory, as a blob has them."""
    array = _core.aligned_array(int(np.prod(shape)), np.float32).reshape(shape)
    array[...] = rng.standard_normal(shape, np.float32)
    return array


def weights(rows, columns, zeros, structured=False):
    """Return a matrix of which such a share is zero."""
    matrix = random_array(rows, columns)
    if structured:
        matrix[rng.permutation(rows)[: rows // 2]] = 0
        matrix[:, rng.permutation(columns)[: round(columns * (2 * zeros - 1))]] = 0
    else:
        matrix *= rng.random(matrix.shape, np.float32) >= zeros
    return matrix


def gemms():
    """Yield a name and what to run, for each size of dense product."""
    onednn = {"onednn": _core.onednn_sgemm} if _core.has_onednn else {}
    libraries = {"native": _core.gemm, **onednn, **({"mkl": mkl.sgemm} if mkl.find() else {})}
    for name, (m, k, n, _) in {"square": (2048, 2048, 2048, 1), **SIZES}.items():
        x = random_array(m, k), random_array(k, n), random_array(m, n), False, False, False
        yield name, {key: lambda f=f, x=x: f(*x) for key, f in libraries.items()}


def csrmms():
    """Yield a name and what to run, for each layer and sparsity."""
    makers = {"native": cpu_blas.NativeProduct, "mkl": cpu_blas.MklProduct}
    if not mkl.find():
        del makers["mkl"]
    for name, (m, k, p, images) in SIZES.items():
        x, out = random_array(images, k, p), random_array(images, m, p)
        for zeros in (0.5, 0.8, 0.9, 0.95):
            csr = *compress_rows(weights(m, k, zeros), cpu()), k, p
            made = {key: make(*csr).multiply for key, make in makers.items()}
            runs = {key: lambda f=f, x=x, out=out: f(x, out) for key, f in made.items()}
            yield f"{name} N={images} {100 * zeros:.0f} %", runs


def inner_products():
    """Yield a name and what to run, for each layer, batch and sparsity."""
    for name, (m, k) in IPS.items():
        for batch, zeros in ((1, 0.8), (1, 0.9), (32, 0.6), (32, 0.8), (32, 0.9)):
            bottom, runs = Blob((batch, k)), {}
            bottom.set_data(random_array(batch, k))
            for key, kernel_class in KERNELS.items():
                matrix = Blob((m, k))
                matrix.set_data(weights(m, k, zeros, key == "CCNMM"))
                forward = kernel_class(IpSizes(batch, k, m), cpu(), np.float32, TEST).forward
                blobs = bottom, matrix, Blob((m,)), Blob((batch, m))
                runs[key] = lambda forward=forward, blobs=blobs: forward(*blobs)
            yield f"{name} N={batch} {100 * zeros:.0f} %", runs


def measure(runs, rounds):
    """Return the median milliseconds of one run of each."""
    times = {}
    for _ in range(rounds + 1):
        for key, run in runs.items():
            count = max(1, round(1e-3 / times[key][-1])) if key in times else 1
            times.setdefault(key, []).append(timeit.timeit(run, number=count) / count)
    return {key: 1e3 * statistics.median(values[1:]) for key, values in times.items()}


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
            other = list(times.values())[0 if part == "ip" else -1]
            if not args.json:
                cells = (f"{key} {ms:8.3f} ({other / ms:5.2f}x)" for key, ms in times.items())
                print(f"{part:6}{name:22}", *cells, flush=True)
    if args.json:
        print(json.dumps({"threads": args.threads, "results": results}, indent=2))


if __name__ == "__main__":
    main()
