"""One convolution layer under several conv_modes, which take turns in this process."""

import os
import statistics
import timeit
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.nets import NETS
from sscaffe.blob import Blob
from sscaffe.conv import KERNELS, make_kernel
from sscaffe.device import cpu
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import cpu_winograd
from sscaffe.layer import TEST
from sscaffe.proto import caffe_pb2

Mode = caffe_pb2.ConvolutionParameter
MODES = {
    "dense": Mode.DIRECT_DCONV,
    **{Mode.ConvMode.Name(m): m for m in KERNELS if m not in (None, Mode.DIRECT_DCONV)},
}


AS_RUN = "dense as run"
READ_NATIVE = (
    "dense",
    AS_RUN,
    "AUTO",
    "LOWERED_CCNMM",
)  # best where a dense convolution comes before


def geometry(net, name):
    """Return the sizes of a layer of one of the nets."""
    layer = next(layer for layer in NETS[net]().list if layer.name == name)
    p, (channels, *size) = layer.param(), layer.bottom_shape
    pairs = ((n, n) for n in (p["kernel_size"], p.get("stride", 1), p.get("pad", 0), 1))
    return ConvGeometry(channels, p["num_output"], p.get("group", 1), tuple(size), *pairs)


def blob_of(array):
    """Return a blob of float32 that holds an array."""
    blob = Blob(array.shape)
    blob.set_data(array)
    return blob


def read_matrix(path, g):
    """Return the weights that a file in MatrixMarket's coordinate form has, one row a filter."""
    lines = [line for line in Path(path).read_text().splitlines() if not line.startswith("%")]
    rows, columns, count = map(int, lines[0].split())
    entries = np.array([line.split() for line in lines[1 : 1 + count]], np.float64)
    matrix = np.zeros((rows, columns), np.float32)
    matrix[tuple(entries[:, :2].astype(int).T - 1)] = entries[:, 2]
    return matrix.reshape(g.out_channels, -1, *g.kernel)


def in_native_layout(bottom, g):
    """Return a copy of the bottom in the layout that a dense convolution before would leave."""
    if g.in_channels < 8:
        return bottom
    c, copy = g.in_channels, Blob(bottom.shape)
    one_by_one = ConvGeometry(c, c, 1, g.input, (1, 1), (1, 1), (0, 0), (1, 1))
    identity = blob_of(np.eye(c).reshape(c, c, 1, 1))
    dense = make_kernel(Mode.DIRECT_DCONV, one_by_one, bottom.shape[0], cpu(), np.float32, TEST)
    dense.forward(bottom, identity, None, copy)
    return copy


@contextmanager
def only_onednn():
    """Let convolutions that run for the first time be oneDNN's."""
    before = os.environ.get(cpu_winograd.SWITCH)
    os.environ[cpu_winograd.SWITCH] = "0"
    yield
    del os.environ[cpu_winograd.SWITCH]
    if before is not None:
        os.environ[cpu_winograd.SWITCH] = before


def prepare(g, weights, batch, modes=MODES):
    """Return, by mode, a function that runs the layer once, and the kernel's description.

    Each kernel's bottom is in the layout that it reads: after its first run it is there in both.
    "dense" is oneDNN's convolution; where the program would run Winograd's algorithm, `AS_RUN` is
    that one.
    """
    modes = [*modes, *([AS_RUN] if cpu_winograd.infers(g, batch) else [])]
    rng = np.random.default_rng(1)
    images = rng.standard_normal((batch, g.in_channels, *g.input), dtype=np.float32)
    bias, runs, kernels = blob_of(rng.standard_normal(g.out_channels)), {}, {}
    for name in modes:
        try:
            mode = MODES["dense" if name == AS_RUN else name]
            kernel = make_kernel(mode, g, batch, cpu(), np.float32, TEST)
        except UnsupportedError:
            continue
        bottom = in_native_layout(blob_of(images), g) if name in READ_NATIVE else images
        bottom = bottom if isinstance(bottom, Blob) else blob_of(bottom)
        arguments = (bottom, blob_of(weights), bias, Blob((batch, g.out_channels, *g.output)))
        runs[name] = lambda kernel=kernel, arguments=arguments: kernel.forward(*arguments)
        kernels[name] = kernel
        if name == "dense":
            with only_onednn():
                runs[name]()
    return runs, kernels


def measure(runs, rounds):
    """Let the kernels take turns; return the median seconds of one run of each.

    A turn is three runs or more, after one that does not count: it finds the caches as the kernel
    before left them.
    """
    times = {}
    for name, run in runs.items():
        run()
        times[name] = [timeit.timeit(run, number=1)]
    repeats = {name: max(3, round(4e-3 / first)) for name, (first,) in times.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            times[name].append(timeit.timeit(run, number=repeats[name]) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}
