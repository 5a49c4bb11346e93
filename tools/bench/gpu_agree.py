"""Whether nets compute the same on CPU and GPU: tops, gradients, weights after some steps."""

import numpy as np

from bench.gpu import going_on, tell
from bench.inputs import image_batch, label_batch
from bench.nets import NETS
from bench.prototxt import SOLVER, net_text
from bench.weights import fill
from sscaffe import TEST, Net, prototxt
from sscaffe.device import cpu
from sscaffe.solver import Solver

BATCHES = {"lenet": 16, "cifar_quick": 16, "cifar_full": 16, "resnet20": 16, "caffenet": 4}
STEPS = 3
LIMIT = 1e-4


def _text(net, train):
    # What drops out is drawn by each device in its own way.
    return net_text(net, NETS[net](), BATCHES[net], train).replace(
        "dropout_ratio: 0.5", "dropout_ratio: 0"
    )


def forward_values(net, device):
    """Return the outputs in TEST."""
    with Net(prototxt.parse_net(_text(net, False)), TEST, device=device) as built:
        fill(built, {"columns": 0.5}, np.random.default_rng(1))
        built.blobs["data"].set_data(image_batch({"net": net, "batch": BATCHES[net]}))
        built.run_forward()
        return {f"TEST {name}": built.blobs[name].host_data.copy() for name in built.outputs}


def train_values(net, device):
    """Return loss and gradients, and the weights after some steps."""
    param = prototxt.parse_solver(SOLVER.replace("solver_mode: CPU ", ""))
    param.net_param.CopyFrom(prototxt.parse_net(_text(net, True)))
    spec = {"net": net, "batch": BATCHES[net]}
    with Solver(param, device=device) as solver:
        built = solver.net
        fill(built, {}, np.random.default_rng(1))
        built.blobs["data"].set_data(image_batch(spec))
        built.blobs["label"].set_data(label_batch(spec))
        built.clear_param_diffs()
        found = {"loss": np.array(built.forward_backward())}
        for name, blobs in built.params.items():
            for i, blob in enumerate(blobs):
                found[f"gradient {name}/{i}"] = blob.host_diff.copy()
        built.clear_param_diffs()
        solver.step(STEPS)
        for name, blobs in built.params.items():
            for i, blob in enumerate(blobs):
                found[f"after {STEPS} steps {name}/{i}"] = blob.host_data.copy()
    return found


def errors_of(net, place):
    """Return the largest error of each array, relative to its largest element.

    What is almost 0 next to others of its kind is measured by those: it is made of their rounding.
    """
    found = {}
    for values in (forward_values, train_values):
        expected, got = values(net, cpu()), values(net, place.device)
        kinds = {name: name.rpartition(" ")[0] for name in expected}
        for name, array in expected.items():
            alike = (expected[n] for n in kinds if kinds[n] == kinds[name])
            scale = max(abs(array).max(), 1e-4 * max(abs(a).max() for a in alike), 1e-30)
            found[name] = float(abs(got[name] - array).max() / scale)
    return found


def measure(place, budget, args):
    """Compare and print; return the errors."""
    tell(f"\nagree: largest errors of the device against the CPU; limit {LIMIT}")
    results = {}
    for net in (net for net in BATCHES if net in args.nets):
        if budget.left < 0:
            tell(f"{net}: out of time")
            continue
        with going_on(net):
            errors = results[net] = errors_of(net, place)
            worst = max(errors, key=errors.get)
            wrong = sorted((e, name) for name, e in errors.items() if not e < LIMIT)
            tell(f"{net:<12}{errors[worst]:.1e} in {worst}; {'WRONG' if wrong else 'ok'}")
            for error, name in wrong[::-1][:8]:
                tell(f"    {name}: {error:.1e}")
    return results
