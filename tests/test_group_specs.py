"""Group lassos in nets: which Scale layers stand for the layers before them."""

import pytest

from sscaffe.group_specs import add_groups, depth_groups, freeze, scale_behind
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net

SPEC = caffe_pb2.BlockGroupLassoSpec
CONV = "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'a' }"
RELU = "layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'a' }"


def layer(kind, name, bottoms, top, more=""):
    lines = " ".join(f"bottom: '{bottom}'" for bottom in bottoms)
    return f"layer {{ name: '{name}' type: '{kind}' {lines} top: '{top}' {more} }}"


def norm(bottom="a", top="a", name="bn", more=""):
    return layer("BatchNorm", name, [bottom], top, more)


def scale(bottom="a", top="a"):
    return layer("Scale", "scale", bottom.split(), top)


PHASES = ("include { phase: TRAIN }", "include { phase: TEST }")


@pytest.mark.parametrize(
    "behind",
    [
        (norm(), scale()),
        (norm(top="b"), scale("b", "c")),
        (norm(top="b"), scale("b", "b")),
        # One BatchNorm for each phase, in place and not.
        (*(norm(more=phase) for phase in PHASES), scale()),
        (*(norm(top="b", more=phase) for phase in PHASES), scale("b", "c")),
        # Somebody reads another blob of the same name.
        (norm(), scale(), RELU, layer("Silence", "end", ["a"], "none")),
    ],
)
def test_finds_the_scale_behind_batch_norm(behind):
    assert scale_behind(parse_net("\n".join((CONV, *behind))), "conv") == "scale"


@pytest.mark.parametrize(
    "behind",
    [
        (),
        (scale(),),  # without BatchNorm the weights' own group bites
        (norm(),),
        (norm(), RELU, scale()),
        (RELU, norm(), scale()),
        (norm(top="b"), scale("b f", "c")),  # factors from elsewhere
        (norm(top="b"), layer("ReLU", "other", ["a"], "d"), scale("b", "c")),
        (norm(top="b"), scale("b", "c"), layer("ReLU", "other", ["b"], "d")),
    ],
)
def test_finds_no_scale_that_is_not_all_that_follows(behind):
    assert scale_behind(parse_net("\n".join((CONV, *behind))), "conv") == ""


def test_the_lasso_of_a_scale_is_that_of_the_layer():
    net = parse_net("\n".join((CONV, norm(), scale())))
    groups = depth_groups(net, ["conv"])
    assert groups == {"conv": {"DEPTH": 0.3}, "scale": {"DEPTH": 1.0}}
    add_groups(net, groups)
    conv, _, last = net.layer
    assert [one.group for one in conv.param[0].block_group_lasso] == [SPEC.DEPTH]
    assert conv.param[0].block_group_lasso[0].block_decay_mult == pytest.approx(0.3)
    assert not last.param[0].block_group_lasso[0].HasField("block_decay_mult")
    assert (conv.param[0].decay_mult, last.param[0].decay_mult) == (0, 0)
    freeze(net, groups, "DISCONNECTED_GRPWISE")
    for one in (conv, last):
        assert not one.param[0].block_group_lasso
        assert one.connectivity_mode == one.DISCONNECTED_GRPWISE


def test_batch_norm_without_a_scale_is_told(caplog):
    net = parse_net("\n".join((CONV, norm())))
    assert depth_groups(net, ["conv"]) == {"conv": {"DEPTH": 1.0}}
    assert "conv: BatchNorm makes up for weights that shrink" in caplog.text
    caplog.clear()
    assert depth_groups(parse_net(CONV), ["conv"]) == {"conv": {"DEPTH": 1.0}}
    assert not caplog.text
