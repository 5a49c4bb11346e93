"""sscaffe as a contestant: "sscaffe", or "sscaffe LOWERED_CCNMM" for any other conv_mode."""

from pathlib import Path

import numpy as np

from bench.inputs import image_batch, label_batch, save_output
from bench.nets import NETS
from bench.prototxt import SOLVER, net_text
from bench.weights import fill
from sscaffe import TEST, Net, _core, prototxt
from sscaffe.solver import Solver


def _net(spec, batch, weights=None):
    mode = spec["contestant"].partition(" ")[2] or None
    text = net_text(spec["net"], NETS[spec["net"]](), batch, conv_mode=mode)
    path = Path(spec["folder"], f"{mode}_{batch}.prototxt")
    path.write_text(text)
    return Net(path, TEST, weights=weights)


def prepare(spec):
    """Write the weights that all contestants load: random ones, or those of a caffemodel."""
    net = _net(spec, 1, spec.get("caffemodel"))
    if not spec.get("caffemodel"):
        fill(net, spec["zeros"], np.random.default_rng(1))
    arrays = {
        f"{layer.name}/{i}": blob.const_data
        for layer in net.layers
        for i, blob in enumerate(layer.blobs)
    }
    np.savez(Path(spec["folder"], "weights.npz"), **arrays)
    net.save(Path(spec["folder"], "weights.caffemodel"))


def infer(spec):
    """Return a function that takes the images from an array and the results to an array."""
    _core.set_num_threads(spec["threads"])
    net = _net(spec, spec["batch"], Path(spec["folder"], "weights.caffemodel"))
    net.compact()
    images = image_batch(spec)

    def run():
        net.blobs["data"].set_data(images)
        net.forward()
        return net.blobs["prob"].const_data

    save_output(spec, run())
    return run


def train(spec, team=None):
    """Return a function that does one step, of one of the ranks of a team if there is one."""
    _core.set_num_threads(spec["threads"])
    param = prototxt.parse_solver(SOLVER)
    text = net_text(spec["net"], NETS[spec["net"]](), spec["batch"], train=True)
    param.net_param.CopyFrom(prototxt.parse_net(text))
    solver = Solver(param, team=team)
    solver.net.blobs["data"].set_data(image_batch(spec))
    solver.net.blobs["label"].set_data(label_batch(spec))
    return lambda: solver.step(1)
