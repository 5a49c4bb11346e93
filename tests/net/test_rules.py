"""Layers are chosen by phase, level and stage."""

import pytest

from sscaffe.errors import PrototxtError
from sscaffe.net.rules import filter_net, is_included, is_met
from sscaffe.proto import caffe_pb2, text_format


def rule(text):
    return text_format.Parse(text, caffe_pb2.NetStateRule())


def state(text):
    return text_format.Parse(text, caffe_pb2.NetState())


@pytest.mark.parametrize(
    ("rule_text", "state_text", "met"),
    [
        ("", "phase: TEST", True),
        ("phase: TRAIN", "phase: TRAIN", True),
        ("phase: TRAIN", "phase: TEST", False),
        ("min_level: 2", "level: 2", True),
        ("min_level: 2", "level: 1", False),
        ("max_level: 2", "level: 2", True),
        ("max_level: 2", "level: 3", False),
        ("min_level: 0", "level: -1", False),
        ('stage: "a"', 'stage: "a" stage: "b"', True),
        ('stage: "a" stage: "b"', 'stage: "a"', False),
        ('not_stage: "a"', "", True),
        ('not_stage: "a" not_stage: "b"', 'stage: "b"', False),
        ('phase: TEST stage: "a"', 'phase: TRAIN stage: "a"', False),
        (
            'phase: TEST min_level: 1 stage: "a" not_stage: "b"',
            'phase: TEST level: 1 stage: "a"',
            True,
        ),
    ],
)
def test_a_rule_is_met_if_all_its_fields_agree(rule_text, state_text, met):
    assert is_met(rule(rule_text), state(state_text)) is met


def layer(text):
    return text_format.Parse(text, caffe_pb2.LayerParameter())


@pytest.mark.parametrize(
    ("layer_text", "included"),
    [
        ("", True),
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { level_holds }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN } exclude { level_holds }", False),
        ("exclude { phase: TRAIN }", True),
    ],
)
def test_one_rule_that_is_met_includes_or_excludes(layer_text, included):
    text = layer_text.replace("level_holds", "min_level: 0")
    assert is_included(layer(text), state("phase: TEST")) is included


def test_include_and_exclude_together_are_refused():
    both = layer('name: "conv1" include { phase: TEST } exclude { phase: TRAIN }')
    with pytest.raises(PrototxtError, match="include: layer 'conv1' has include and exclude rules"):
        is_included(both, state("phase: TEST"))


def test_filtering_leaves_the_net_as_it_was_and_sets_the_state():
    net = text_format.Parse(
        'name: "n" layer { name: "a" } layer { name: "b" include { phase: TRAIN } }',
        caffe_pb2.NetParameter(),
    )
    filtered = filter_net(net, state("phase: TEST level: 3"))
    assert [one.name for one in filtered.layer] == ["a"]
    assert (filtered.name, filtered.state.level) == ("n", 3)
    assert len(net.layer) == 2
