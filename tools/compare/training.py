"""Comparing training: the six solvers, their options, and snapshots that the other side resumes."""

from pathlib import Path

import numpy as np

from compare import ours, peers
from compare.batch_norm import for_peer
from compare.checks import compare
from compare.nets import BATCH_NORM, CompareNet
from sscaffe.layer import TRAIN
from sscaffe.net import Net

STEPS = 15
SOLVERS = {
    "SGD": ("base_lr: 0.02 momentum: 0.9", 0.002),
    "Nesterov": ("base_lr: 0.02 momentum: 0.9", 0.002),
    "AdaGrad": ("base_lr: 0.02", 0.002),
    "RMSProp": ("base_lr: 0.002 rms_decay: 0.95", 0.002),
    "AdaDelta": ("base_lr: 1 momentum: 0.95 delta: 1e-5", 0.002),
    "Adam": ("base_lr: 0.002 momentum: 0.9 momentum2: 0.99", 0.02),
}
OPTIONS = {
    "L2": "weight_decay: 0.01 regularization_type: 'L2'",
    "L1": "weight_decay: 0.0005 regularization_type: 'L1'",
    "step": "lr_policy: 'step' gamma: 0.5 stepsize: 4",
    "multistep": "lr_policy: 'multistep' gamma: 0.3 stepvalue: 3 stepvalue: 9",
    "poly": "lr_policy: 'poly' power: 1.5",
    "inv": "lr_policy: 'inv' gamma: 0.1 power: 0.75",
    "exp": "lr_policy: 'exp' gamma: 0.9",
    "sigmoid": "lr_policy: 'sigmoid' gamma: 0.5 stepsize: 6",
    "iter_size": "iter_size: 2",
    "clip": "clip_gradients: 0.5",
    "all": "weight_decay: 0.01 lr_policy: 'step' gamma: 0.5 stepsize: 5 iter_size: 2 "
    "clip_gradients: 1",
}


def mixed_net(has_batch_norm):
    """Return a net to train: many kinds of layers that pass on a gradient.

    The peer's substitute for BatchNorm has no statistics, and so no history of them in a snapshot.
    """
    net = CompareNet({"x": ((8, 3, 13, 13), "normal"), "label": ((8,), 5)}, has_loss=True)
    net.conv("x", "a", "num_output: 8 kernel_size: 3 stride: 2").add("ReLU", "a", "a")
    grouped = "num_output: 8 kernel_size: 3 pad: 1 group: 2 bias_term: false"
    net.add("LRN", "a", "b").conv("b", "c", grouped)
    if has_batch_norm:
        net.add("BatchNorm", "c", "d", BATCH_NORM)
    net.add("Scale", "d" if has_batch_norm else "c", "d", "scale_param { bias_term: true }")
    net.add("PReLU", "d", "e").conv("b", "f", "num_output: 8 kernel_size: 3 pad: 2 dilation: 2")
    net.add("Eltwise", "e f", "g")
    net.add("Pooling", "g", "h", "pooling_param { kernel_size: 2 stride: 2 }")
    net.add("Pooling", "g", "i", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    net.add("Concat", "h i", "j").fc("j", "k", 5)
    return net.add("SoftmaxWithLoss", "k label", "loss")


def check(python, names, folder):
    """Compare losses and weights after the steps, from one start and on one set of batches."""
    start = _Start(folder, mixed_net(has_batch_norm=True))
    jobs = []
    for kind, (rates, tolerance) in SOLVERS.items():
        options = OPTIONS if kind == "SGD" else {"plain": "", "all": OPTIONS["all"]}
        for label, more in options.items():
            jobs.append((start.job(kind, label, f"{rates} {more}"), tolerance))
    theirs = peers.run_all(python, [start.of_peer(job) for job, _ in jobs], folder)
    for (job, tolerance), wanted in zip(jobs, theirs, strict=True):
        yield _compare(f"{STEPS} steps of {job['label']}", ours.train(job), wanted, tolerance)
    start = _Start(folder, mixed_net(has_batch_norm=False))
    for kind in SOLVERS:
        for form in ("BINARYPROTO", "HDF5"):
            yield from _resume(python, start, kind, form, folder)


def _resume(python, start, kind, form, folder):
    """Let each side go on from the other one's snapshot after half of the steps."""
    rates, tolerance = SOLVERS[kind]
    ending = ".h5" if form == "HDF5" else ""
    label, half = f"{kind} {form}", STEPS // 2
    options = f"{rates} {OPTIONS['all']} snapshot_format: {form}"
    whole = start.job(kind, f"{label} whole", options)
    first = start.job(kind, f"{label} first", options, slice(0, half)) | {"snapshot": True}
    second = start.job(kind, f"{label} second", options, slice(half, STEPS))
    del second["weights"]
    results = ours.train(whole)
    ours.train(first)
    their_first = start.of_peer(first)
    state = f"_iter_{half}.solverstate{ending}"
    ours_to_them = start.of_peer(second) | {"restore": f"{first['stem']}{state}"}
    _, theirs = peers.run_all(python, [their_first, ours_to_them], folder)
    results = {"losses": results["losses"][half:]} | {
        key: value for key, value in results.items() if key != "losses"
    }
    yield _compare(f"BVLC resumes our {label}", results, theirs, tolerance)
    got = ours.train(second | {"restore": f"{first['stem']}_peer{state}"})
    yield _compare(f"we resume its {label}", got, results, tolerance)


class _Start:
    """Weights, batches and prototxts that all solvers start from."""

    def __init__(self, folder, made):
        self.folder = Path(folder)
        job = ours.prepare("mixed", made, "TRAIN", "none", folder)
        self.weights, self.net = job["weights"], job["prototxt"]
        axes = {name: blob.ndim for name, blob in Net(self.net, TRAIN).blobs.items()}
        self.peer_net = Path(folder, "mixed_peer.prototxt")
        self.peer_net.write_text(for_peer(made.text, TRAIN, axes), encoding="utf-8")
        rng = np.random.default_rng(11)
        self.batches = {
            name: np.stack([ours.make_input(*value, rng) for _ in range(STEPS)])
            for name, value in made.inputs.items()
        }

    def job(self, kind, label, options, steps=slice(0, STEPS)):
        """Return a job of some of the steps."""
        label = label if label.startswith(kind) else f"{kind} {label}"
        stem = str(self.folder / label.replace(" ", "_"))
        policy = "" if "lr_policy" in options else "lr_policy: 'fixed'"
        for suffix, net in (("", self.net), ("_peer", self.peer_net)):
            Path(f"{stem}{suffix}.solver").write_text(
                f"net: '{net}' type: '{kind}' {options} {policy} max_iter: 40 display: 0 "
                f"snapshot_prefix: '{stem}{suffix}' solver_mode: CPU\n",
                encoding="utf-8",
            )
        batches = {name: values[steps] for name, values in self.batches.items()}
        np.savez(f"{stem}_inputs.npz", **batches)
        job = {"task": "train", "label": label, "stem": stem, "weights": self.weights}
        job |= {"solver": f"{stem}.solver", "inputs": f"{stem}_inputs.npz"}
        return job | {"out": f"{stem}_ours.npz", "steps": len(batches["x"])}

    def of_peer(self, job):
        """Return the same job for the peer."""
        stem = job["stem"]
        return job | {"solver": f"{stem}_peer.solver", "out": f"{stem}_theirs.npz"}


def _compare(what, got, wanted, tolerance):
    """Compare what both have; the peer has no statistics of BatchNorm."""
    got = {key: value for key, value in got.items() if "BatchNorm" not in key}
    if isinstance(wanted, dict):
        wanted = {key: value / abs(value).max() for key, value in wanted.items()}
        got = {key: value / abs(value).max() for key, value in got.items()}
    return compare(what, got, wanted, tolerance / 2)
