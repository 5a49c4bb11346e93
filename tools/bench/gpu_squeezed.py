"""Squeezed nets on the GPU against their dense selves: forward passes."""

import numpy as np

from bench.gpu import Budget, going_on, take_turns, tell
from bench.inputs import image_batch
from bench.nets import NETS
from bench.prototxt import net_text
from bench.weights import conv_weights, fill
from sscaffe import TEST, Net, prototxt
from sscaffe.squeeze import squeeze

# Zero rows are filters, which squeezing takes away; of LeNet as this package trains it.
ZEROS = {
    "lenet": {"conv1": {"rows": 0.8}, "conv2": {"rows": 0.1, "columns": 0.85}},
    "cifar_full": {f"conv{i}": {"rows": 0.6} for i in (1, 2, 3)},
    "caffenet": {f"conv{i}": {"rows": 0.4} for i in range(1, 6)},
}


def sparse_weights(net):
    """Return the blobs of each layer; a zero filter has no bias either."""
    param = prototxt.parse_net(net_text(net, NETS[net](), 1))
    rng = np.random.default_rng(1)
    with Net(param, TEST) as built:
        fill(built, {}, rng)
        weights = {
            name: [b.host_data.copy() for b in blobs] for name, blobs in built.params.items()
        }
    groups = {layer.name: layer.convolution_param.group for layer in param.layer}
    for name, zeros in ZEROS[net].items():
        matrix, bias = weights[name]
        matrix[...] = conv_weights(matrix.shape, groups[name], zeros, rng)
        bias[~matrix.reshape(len(bias), -1).any(1)] = 0
    return weights


def net_of(param, weights, batch, dense, device):
    """Return a net for so many images; all convolutions dense, or as AUTO chooses."""
    param = type(param).FromString(param.SerializeToString())
    for layer in param.layer:
        if layer.type == "Input":
            layer.input_param.shape[0].dim[0] = batch
        if layer.type == "Convolution" and dense:
            layer.convolution_param.conv_mode = layer.convolution_param.DIRECT_DCONV
    net = Net(param, TEST, device=device)
    for name, blobs in net.params.items():
        for blob, values in zip(blobs, weights[name], strict=True):
            blob.set_data(values)
    return net


def _run(net, place):
    def run(steps):
        for _ in range(steps):
            net.run_forward()
        place.synchronize()

    run(5)
    return run


def measure_net(name, batch, place, budget):
    """Return ms of a forward pass of the net as it was, dense and AUTO, and squeezed."""
    weights = sparse_weights(name)
    param = prototxt.parse_net(net_text(name, NETS[name](), 1))
    small = squeeze(param, weights)
    cases = {
        "dense": (param, weights, True),
        "auto": (param, weights, False),
        "squeezed dense": (small.net, small.weights, True),
        "squeezed": (small.net, small.weights, False),
    }
    images = image_batch({"net": name, "batch": batch})
    runs, outputs = {}, {}
    for case, case_of in cases.items():
        with going_on(f"{name} N={batch} {case}"):
            net = net_of(*case_of[:2], batch, case_of[2], place.device)
            net.blobs["data"].set_data(images)
            runs[case] = _run(net, place)
            outputs[case] = net.blobs["prob"].host_data.copy()
    errors = {case: float(abs(o - outputs["dense"]).max()) for case, o in outputs.items()}
    return take_turns(runs, budget), errors


def measure(place, budget, args):
    """Measure and print; return the figures."""
    tell("\nsqueezed, ms a forward pass; in brackets dense over it")
    results = []
    nets = [net for net in ZEROS if net in args.nets]
    batches = [batch for batch in (1, 64, 128) if batch <= args.most_batch]
    cases = [(net, batch) for net in nets for batch in batches]
    for i, (net, batch) in enumerate(cases):
        with going_on(f"{net} N={batch}"):
            share = Budget(max(0.3, budget.left / (len(cases) - i)))
            times, errors = measure_net(net, batch, place, share)
            results.append({"net": net, "batch": batch, "ms": times, "errors": errors})
            base = times.get("dense", np.nan)
            cells = (f"{case} {t:.3f} ({base / t:.2f})" for case, t in times.items())
            tell(f"{net:<12} N={batch:<4} " + "   ".join(cells))
            if not max(errors.values()) < 1e-4:
                tell(f"  WRONG: {errors}")
    return results
