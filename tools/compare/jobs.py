"""What either side does with a net, through what pycaffe and sscaffe have in common."""

import numpy as np


def run(net, job):
    """Run a net forward, and backward if the job says so; write all blobs and gradients."""
    with np.load(job["inputs"]) as given:
        for name in given.files:
            kind, _, blob = name.partition("/")
            array = net.blobs[blob].data if kind == "data" else net.blobs[blob].diff
            array[...] = given[name]
    net._forward(0, len(net.layers) - 1)  # pycaffe's own returns copies of outputs
    results = {f"data {name}": blob.data.copy() for name, blob in net.blobs.items()}
    if job["backward"]:
        net.clear_param_diffs()
        net.backward()
        results |= {f"diff {name}": blob.diff.copy() for name, blob in net.blobs.items()}
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            results[f"weights {name} {i}"] = blob.data.copy()
            if job["backward"]:
                results[f"gradient {name} {i}"] = blob.diff.copy()
    np.savez(job["out"], **results)


def train(solver, job):
    """Take the steps of a job on batches from a file; write losses and weights."""
    losses = []
    with np.load(job["inputs"]) as given:
        batches = {name: given[name] for name in given.files}
    for step in range(job["steps"]):
        for name, values in batches.items():
            solver.net.blobs[name].data[...] = values[step]
        solver.step(1)
        losses.append(float(np.asarray(solver.net.blobs["loss"].data).reshape(-1)[0]))
    weights = {
        f"weights {name} {i}": blob.data.copy()
        for name, blobs in solver.net.params.items()
        for i, blob in enumerate(blobs)
    }
    np.savez(job["out"], losses=np.array(losses), **weights)
