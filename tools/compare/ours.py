"""The jobs of sscaffe, and what both sides start from: prototxts, inputs, weights."""

from pathlib import Path

import numpy as np

from compare import jobs
from compare.batch_norm import for_peer
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.solver import get_solver

PHASES = {"TRAIN": TRAIN, "TEST": TEST}


def make_input(shape, kind, rng):
    """Return what fills an input."""
    if isinstance(kind, int):
        return rng.integers(0, kind, shape)
    if kind == "positive":
        return rng.uniform(0.3, 3, shape)
    if kind == "unit":
        return rng.random(shape)
    if kind == "normal":
        return rng.normal(size=shape)
    bits = rng.integers(0, 2, shape)
    bits[-1] = 1
    if kind == "bits":
        bits[0] = 0
    return bits


def make_weights(layer, index, shape, rng, zeros):
    """Return weights of a layer; `zeros` says where those of convolutions and products are 0."""
    if layer.type == "BatchNorm" and index:
        return rng.uniform(0.6, 2, shape)
    weights = rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))
    if index or layer.type not in ("Convolution", "InnerProduct"):
        return 0.5 * weights + (layer.type == "Scale" and index == 0)
    if zeros == "rows":
        weights[:: 2 if shape[0] > 1 else 1] *= rng.random() < 0.1
    elif zeros == "columns":
        weights *= rng.random(shape[1:]) < 0.4
    elif zeros == "scattered":
        weights *= rng.random(shape) < 0.2
    return weights


def prepare(name, made, phase, zeros, folder):
    """Write what both sides load, and return the job; its net comes with it."""
    rng = np.random.default_rng(sum(f"{name}{phase}{zeros}".encode()))
    stem = str(Path(folder, f"{name}_{phase}_{zeros}"))
    Path(f"{stem}.prototxt").write_text(made.text, encoding="utf-8")
    net = Net(f"{stem}.prototxt", PHASES[phase])
    axes = {name: blob.ndim for name, blob in net.blobs.items()}
    peer = for_peer(made.text, PHASES[phase], axes)
    Path(f"{stem}_peer.prototxt").write_text(peer, encoding="utf-8")
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            blob.set_data(make_weights(layer, i, blob.shape, rng, zeros))
    net.save(f"{stem}.caffemodel")
    net.save(f"{stem}.h5")
    given = {f"data/{key}": make_input(*value, rng) for key, value in made.inputs.items()}
    if not made.has_loss:
        outputs = {key: net.blobs[key].shape for key in net.outputs}
        given |= {f"diff/{key}": rng.normal(size=shape) for key, shape in outputs.items()}
    np.savez(f"{stem}_inputs.npz", **given)
    job = {"task": "net", "prototxt": f"{stem}.prototxt", "phase": phase, "stem": stem}
    job |= {"weights": f"{stem}.caffemodel", "inputs": f"{stem}_inputs.npz"}
    return job | {"backward": made.has_backward, "out": f"{stem}_ours.npz"}


def run(job, prototxt=None, compact=False, passes=1):
    """Do a job of a net; return its results and the net."""
    net = Net(prototxt or job["prototxt"], PHASES[job["phase"]], weights=job["weights"])
    if compact:
        net.compact()
        with np.load(job["inputs"]) as given:
            for _ in range(passes):
                for name in net.inputs:
                    net.blobs[name].data[...] = given[f"data/{name}"]
                net.forward()
        return {f"data {name}": net.blobs[name].data.copy() for name in net.outputs}, net
    jobs.run(net, job)
    with np.load(job["out"]) as results:
        return dict(results), net


def train(job):
    """Do a job of a solver, and return its results."""
    solver = get_solver(job["solver"])
    if "weights" in job:
        solver.net.copy_from(job["weights"])
    if "restore" in job:
        solver.restore(job["restore"])
    jobs.train(solver, job)
    if "snapshot" in job:
        solver.snapshot()
    with np.load(job["out"]) as results:
        return dict(results)
