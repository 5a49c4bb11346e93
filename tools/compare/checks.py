"""Comparing nets: forward and backward, sparse and compact, through files of either side."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compare import ours, peers
from compare.batch_norm import RAW
from compare.nets import NETS
from sscaffe.net import Net

TOLERANCE = 1e-4
ZEROS = ("rows", "columns", "scattered")
MODES = ("LOWERED_GEMM", "LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV", "DIRECT_DCONV")
PRODUCTS = ("GEMM", "SPMDM", "CCNMM")


@dataclass
class Row:
    """A line of the table."""

    what: str
    arrays: int
    worst: float  # in units of what is allowed
    at: str

    @property
    def is_good(self):
        """Whether all is within the tolerance."""
        return self.worst <= 1 and self.arrays > 0

    def __str__(self):
        mark = "" if self.is_good else "  DIFFERS"
        return f"{self.what:<58}{self.arrays:>7}{self.worst:>10.3f}  {self.at}{mark}"


def compare(what, got, wanted, tolerance=TOLERANCE):
    """Compare arrays by their names; the names are those of `got`."""
    if isinstance(wanted, str):
        return Row(what, 0, np.inf, wanted)
    worst, at = 0.0, ""
    for name, array in got.items():
        other = wanted.get(name)
        if other is None or other.shape != array.shape:
            return Row(what, len(got), np.inf, f"{name}: not of one shape")
        error = _error(array.astype(np.float64), other.astype(np.float64), tolerance)
        if not error <= worst:
            worst, at = error, name
    return Row(what, len(got), worst, at)


def _error(array, other, tolerance):
    if not array.size:
        return 0.0
    allowed = tolerance * (np.maximum(1, abs(other).max()) + abs(other))
    with np.errstate(invalid="ignore"):
        error = abs(array - other) / allowed
    return float(np.where(np.isnan(array) & np.isnan(other) | (array == other), 0, error).max())


def nets(python, names, folder):
    """Compare every blob and gradient, in TRAIN and TEST."""
    made = {name: NETS[name]() for name in names}
    found = [
        ours.prepare(name, net, phase, "none", folder)
        for name, net in made.items()
        for phase in ("TRAIN", "TEST")
    ]
    theirs = peers.run_all(python, [_of_peer(job) for job in found], folder)
    for job, wanted in zip(found, theirs, strict=True):
        got, net = ours.run(job)
        unset = _without_gradient(net) if job["backward"] else set()
        unset |= _of_other_meaning(got, wanted)
        got = {key: value for key, value in got.items() if key not in unset}
        yield compare(Path(job["stem"]).name.removesuffix("_none"), got, wanted)


def sparse(python, names, folder):
    """Compare sparse weights in TEST: AUTO, every conv_mode and gemm_mode, compact."""
    made = {name: NETS[name]() for name in names if NETS[name]().is_sparse}
    found = [
        ours.prepare(name, net, "TEST", zeros, folder) | {"backward": False}
        for name, net in made.items()
        for zeros in ("none", *ZEROS)
    ]
    theirs = peers.run_all(python, [_of_peer(job) for job in found], folder)
    for job, wanted in zip(found, theirs, strict=True):
        name = Path(job["stem"]).name.replace("_TEST_", " zeros: ")
        for mode, path in _modes(job):
            got, _ = ours.run(job, path)
            yield compare(f"{name} {mode}", got, wanted)
            got, _ = ours.run(job, path, compact=True, passes=5)
            yield compare(f"{name} {mode} compact", got, wanted)


def files(python, names, folder):
    """Let each side read the files of the other one, binary and HDF5."""
    for name in names:
        job = ours.prepare(name, NETS[name](), "TEST", "none", folder) | {"backward": False}
        saved = f"{job['stem']}_theirs"
        reads = [
            job | {"save": saved, "out": f"{saved}_1.npz"},
            job | {"weights": f"{job['stem']}.h5", "out": f"{saved}_2.npz"},
        ]
        weights = _weights(job, job["weights"])
        if not weights:
            continue
        results = peers.run_all(python, reads, folder)
        for form, theirs in zip(("caffemodel", "h5"), results, strict=True):
            yield compare(f"{name}: BVLC reads our {form}", weights, theirs)
        for form in ("caffemodel", "h5"):
            got = _weights(job, f"{saved}.{form}")
            yield compare(f"{name}: we read its {form}", got, weights)


def _weights(job, path):
    """Return the weights of a net that loaded a file."""
    net = Net(job["prototxt"], ours.PHASES["TEST"], weights=path)
    return {
        f"weights {name} {i}": blob.data
        for name, blobs in net.params.items()
        for i, blob in enumerate(blobs)
    }


def _of_peer(job):
    stem = job["stem"]
    return job | {"prototxt": f"{stem}_peer.prototxt", "out": f"{stem}_theirs.npz"}


def _modes(job):
    """Return what sets modes, and the prototxt for each."""
    text = Path(job["prototxt"]).read_text(encoding="utf-8")
    yield "AUTO", job["prototxt"]
    for i, mode in enumerate(MODES):
        product = PRODUCTS[i % len(PRODUCTS)]
        changed = re.sub(
            r"(type: 'Convolution'.*convolution_param \{)", rf"\1 conv_mode: {mode}", text
        )
        changed = changed.replace(
            "inner_product_param {", f"inner_product_param {{ gemm_mode: {product}"
        )
        path = Path(f"{job['stem']}_{mode}.prototxt")
        path.write_text(changed, encoding="utf-8")
        yield f"{mode} {product}", str(path)


def _without_gradient(net):
    """Return the names of the gradients that no layer sets."""
    unset = {f"diff {name}" for name in net.blobs}
    for bottoms, flags in zip(net.bottom_ids, net.bottom_need_backward, strict=True):
        unset -= {
            f"diff {net.blob_names[i]}" for i, flag in zip(bottoms, flags, strict=True) if flag
        }
    return unset


def _of_other_meaning(got, wanted):
    """Return what `for_peer` has taken from the peer: statistics, and gradients in place."""
    statistics = {key for key in got if "BatchNorm" in key and key not in wanted}
    renamed = {key.partition(RAW)[0].split(" ")[-1] for key in wanted if RAW in key}
    return statistics | {f"diff {name}" for name in renamed}
