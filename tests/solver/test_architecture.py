"""A training goes on with the net that it began with, and with no other."""

import re

import pytest

from sscaffe.errors import WeightsError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.serialized import read_binary, write_binary
from sscaffe.solver import Solver
from sscaffe.solver.architecture import describe, fingerprint
from tests.solver.nets import assert_same, settings, small_net, small_solver, weights_of

pytestmark = pytest.mark.usefixtures("here")

LINES = [
    "'conv1': Convolution of data; 4 x 1 x 3 x 3; 4",
    "'relu1': ReLU of conv1",
    "'drop1': Dropout of conv1",
    "'ip1': InnerProduct of conv1; 3 x 36; 3",
    "'loss': SoftmaxWithLoss of ip1, label",
]
ACCURACY = """
layer { name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy" }
layer { name: "quiet" type: "Silence" bottom: "accuracy" bottom: "conv1" }
"""


def changed(change, name="other"):
    """Return the small net with a change, under another name."""
    net = small_net()
    net.name = name
    change(net)
    return net


def test_layers_that_matter_are_described():
    net = changed(lambda net: net.MergeFrom(parse_net(ACCURACY)))  # with Split layers
    assert describe(Solver(settings(net=net)).net) == LINES


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_state_carries_it(form):
    path = small_solver(f"snapshot_format: {form}").snapshot()
    if form == "BINARYPROTO":
        proto = read_binary(path, caffe_pb2.SolverState)
        assert (proto.net_name, list(proto.architecture)) == ("small", LINES)
        assert proto.architecture_hash == fingerprint(LINES)
    small_solver().restore(path)


def rename(net):
    net.layer[1].name = "conv1b"


def retype(net):
    net.layer[2].type = "Sigmoid"


def resize(net):
    net.layer[4].inner_product_param.num_output = 5


def rewire(net):
    net.layer[4].bottom[0] = "data"


def cut(net):
    del net.layer[3]


def lengthen(net):
    net.layer.add(name="more", type="EuclideanLoss", bottom=["ip1", "ip1"], top=["more"])


CHANGES = {
    rename: (0, "'conv1b': Convolution of data; 4 x 1 x 3 x 3; 4"),
    retype: (1, "'relu1': Sigmoid of conv1"),
    resize: (3, "'ip1': InnerProduct of conv1; 5 x 36; 5"),
    rewire: (1, "'ip1': InnerProduct of data; 3 x 50; 3"),
    cut: (2, LINES[3]),
    lengthen: (5, "'more': EuclideanLoss of ip1, ip1"),
}


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_net_is_refused_with_names_and_difference(change, form):
    text = f"snapshot_format: {form}"
    path = Solver(settings(text, changed(change))).snapshot()
    solver = small_solver(text)
    before = weights_of(solver)
    place, there = CHANGES[change]
    here = LINES[place] if place < len(LINES) else "no layer"
    message = (
        rf"net: expected a state of 'small' \([0-9a-f]{{12}}\), got one of 'other' "
        rf"\([0-9a-f]{{12}}\) in {re.escape(path)}: it has {re.escape(there)} where the net has "
        rf"{re.escape(here)}; go on with that net, or start from its weights alone"
    )
    with pytest.raises(WeightsError, match=message):
        solver.restore(path)
    assert_same(weights_of(solver), before)
    assert solver.iter == 0


def looked_at(net):
    net.MergeFrom(parse_net(ACCURACY))


def other_rates(net):
    net.layer[1].param.add(lr_mult=0, decay_mult=0)


def other_batch(net):
    net.layer[0].dummy_data_param.shape[0].dim[0] = 2
    net.layer[0].dummy_data_param.shape[1].dim[0] = 2


@pytest.mark.parametrize("change", [looked_at, other_rates, other_batch])
def test_what_may_change(change):
    path = small_solver().snapshot()
    Solver(settings(net=changed(change))).restore(path)


def test_a_description_that_was_tampered_with_is_refused():
    proto = read_binary(small_solver().snapshot(), caffe_pb2.SolverState)
    proto.architecture_hash = "0" * 1000
    write_binary("small_iter_0.solverstate", proto)
    with pytest.raises(WeightsError, match=r"got one of 'small' \(0{12}\).* not that of its hash"):
        small_solver().restore("small_iter_0.solverstate")
