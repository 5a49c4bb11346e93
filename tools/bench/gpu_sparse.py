"""Sparse convolutions on the GPU: conv1-5 of CaffeNet at Table 4's entry 2, whole layers."""

import statistics

import numpy as np
from bench_sparse import ENTRIES

from bench.gpu import going_on, tell
from bench.one_layer import MODES, geometry
from bench.weights import conv_weights
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.layer import TEST

ORDER = ["LOWERED_GEMM", "LOWERED_CCNMM", "LOWERED_CSRMM", "DIRECT_SCONV", "dense", "AUTO"]


def _blob(array, device):
    blob = Blob(array.shape, np.float32, device)
    blob.set_data(array)
    return blob


def time_layer(place, path, zeros, batch, rounds):
    """Return ms of each mode, the largest error against dense, and what AUTO chose."""
    g, rng = geometry(*path.split("/")), np.random.default_rng(1)
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    weights = _blob(conv_weights(shape, g.group, zeros, rng), place.device)
    images = rng.standard_normal((batch, g.in_channels, *g.input), dtype=np.float32)
    bottom = _blob(images, place.device)
    bias = _blob(rng.standard_normal(g.out_channels), place.device)
    runs, tops, chosen = {}, {}, ""
    for name in ORDER:
        with going_on(f"{path} N={batch} {name}"):
            kernel = make_kernel(MODES[name], g, batch, place.device, np.float32, TEST)
            top = Blob((batch, g.out_channels, *g.output), np.float32, place.device)
            run = lambda k=kernel, t=top: k.forward(bottom, weights, bias, t)  # noqa: E731
            run()
            place.synchronize()
            runs[name], tops[name] = run, top.host_data.copy()
            chosen = kernel.description if name == "AUTO" else chosen
    times = dict(zip(runs, place.elapsed(runs.values(), rounds), strict=True))
    exact = tops.get("dense", next(iter(tops.values())))
    errors = {name: float(abs(t - exact).max() / abs(exact).max()) for name, t in tops.items()}
    return times, errors, chosen


def ratios(layers):
    """Return what counts, of the layers of one batch size."""
    found = {}
    for mode in ORDER[1:]:
        over = [t["LOWERED_GEMM"] / t[mode] for t in layers if mode in t and "LOWERED_GEMM" in t]
        if len(over) == len(layers):
            found[f"gemm / {mode}"] = statistics.mean(over)
    over = [t["dense"] / t["AUTO"] for t in layers if {"dense", "AUTO"} <= t.keys()]
    if over:
        found["dense / AUTO, mean"], found["dense / AUTO, least"] = statistics.mean(over), min(over)
    return found


def measure(place, budget, args):
    """Measure and print; return the figures."""
    results = []
    for batch in args.batch:
        tell(f"\nsparse, N = {batch}, ms on the device; in brackets LOWERED_GEMM's over it")
        tell(f"{'layer':<16}" + "".join(f"{name.removeprefix('LOWERED_'):>16}" for name in ORDER))
        layers = {}
        for path, zeros in ENTRIES["2"].items():
            if budget.left < 0:
                tell(f"{path}: out of time")
                continue
            with going_on(f"{path} N={batch}"):
                times, errors, chosen = time_layer(place, path, zeros, batch, args.rounds)
                layers[path] = {"ms": times, "errors": errors, "auto": chosen}
                base = times.get("LOWERED_GEMM", np.nan)
                cells = (f"{t:.3f} ({base / t:.2f})" for t in (times.get(m, np.nan) for m in ORDER))
                tell(f"{path:<16}" + "".join(f"{c:>16}" for c in cells) + f"  AUTO: {chosen}")
                for mode, error in errors.items():
                    if not error < 1e-4:
                        tell(f"  WRONG: {mode} differs from dense by {error:.1e}")
        found = ratios([layer["ms"] for layer in layers.values()])
        for name, value in found.items():
            tell(f"  N = {batch}: {name:<24}{value:>8.2f}")
        results.append({"batch": batch, "layers": layers, "ratios": found})
    return results
