"""The groups that are chosen for a residual net."""

import pytest

from sscaffe.generate import files_of, resnet
from sscaffe.prototxt import parse_net
from sscaffe.ssl import choose_groups, finetune_net, ssl_net

LAYERS = [
    f"group{g}_block{b}/conv{c}{end}"
    for g in (1, 2, 3)
    for b in (1, 2, 3)
    for c in (1, 2)
    for end in ("", "/scale")
]


@pytest.fixture(scope="module")
def files():
    return {
        name: parse_net(text)
        for name, text in files_of(resnet(3, learn_depth=True), "").items()
        if "solver" not in name
    }


def lassos(net):
    return {
        layer.name: [(one.group, one.block_decay_mult) for one in layer.param[0].block_group_lasso]
        for layer in net.layer
        if layer.param and layer.param[0].block_group_lasso
    }


def modes(net):
    return {layer.name for layer in net.layer if layer.connectivity_mode}


def test_depth_of_a_residual_net_is_what_the_generator_writes(files):
    base = files["resnet20_train_val.prototxt"]
    groups = choose_groups(base, ["depth"])
    assert sorted(groups) == sorted(LAYERS)
    assert lassos(ssl_net(base, groups)) == lassos(files["resnet20_ssl_train_val.prototxt"])
    frozen = modes(files["resnet20_finetune_train_val.prototxt"])
    assert modes(finetune_net(base, groups)) == set(LAYERS) < frozen


def test_a_shortcut_stays_where_what_it_leads_around_may_go(files, caplog):
    caplog.set_level("INFO", "sscaffe")
    base = files["resnet20_train_val.prototxt"]
    assert "group2_block1/shortcut" not in choose_groups(base, ["depth"])
    assert (
        "group2_block1/shortcut: no depth group, as nothing leads around it once "
        "group2_block1/conv1 is gone"
    ) in caplog.text
    assert "group2_block1/shortcut" in choose_groups(base, ["depth"], ["*/shortcut"])


def test_other_kinds_leave_scale_alone(files):
    groups = choose_groups(files["resnet20_train_val.prototxt"], ["filter", "depth"], ["*3/conv2"])
    assert groups["group1_block3/conv2"] == {"FILTER": 1.0, "DEPTH": 0.3}
    assert groups["group1_block3/conv2/scale"] == {"DEPTH": 1.0}
    assert len(groups) == 6


def test_of_three_ways_one_stays():
    layers = [
        "layer { name: 'data' type: 'Input' top: 'data' "
        "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }",
        *(
            f"layer {{ name: '{name}' type: 'Convolution' bottom: '{bottom}' top: '{name}' "
            "convolution_param { num_output: 4 kernel_size: 1 } }"
            for name, bottom in [("first", "data"), ("a", "first"), ("b", "first"), ("c", "first")]
        ),
        "layer { name: 'cat' type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'cat' }",
        "layer { name: 'fc' type: 'InnerProduct' bottom: 'cat' top: 'fc' "
        "inner_product_param { num_output: 4 } }",
    ]
    assert list(choose_groups(parse_net("\n".join(layers)), ["depth"])) == ["a", "b"]
