"""BVLC Caffe as a contestant, through pycaffe."""

import os
from pathlib import Path

os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112 - glog spells it so

import caffe

from bench.inputs import image_batch, label_batch, save_output
from bench.nets import NETS
from bench.prototxt import SOLVER, net_text


def _write(spec, name, text):
    path = Path(spec["folder"], name)
    path.write_text(text)
    return str(path)


def infer(spec):
    """Return a function that takes the images from an array and the results to an array."""
    caffe.set_mode_cpu()
    text = net_text(spec["net"], NETS[spec["net"]](), spec["batch"])
    path = _write(spec, f"caffe_{spec['batch']}.prototxt", text)
    net = caffe.Net(path, str(Path(spec["folder"], "weights.caffemodel")), caffe.TEST)
    images = image_batch(spec)

    def run():
        net.blobs["data"].data[...] = images
        return net.forward()["prob"]

    save_output(spec, run())
    return run


def train(spec):
    """Return a function that does one step."""
    caffe.set_mode_cpu()
    text = net_text(spec["net"], NETS[spec["net"]](), spec["batch"], train=True)
    net = _write(spec, "caffe_train.prototxt", text)
    solver = caffe.SGDSolver(_write(spec, "caffe_solver.prototxt", f'{SOLVER} net: "{net}"'))
    solver.net.blobs["data"].data[...] = image_batch(spec)
    solver.net.blobs["label"].data[...] = label_batch(spec)
    return lambda: solver.step(1)
