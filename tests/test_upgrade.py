"""Forms of old become those of today, one step at a time, whenever a file is read."""

import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.layer import REGISTRY, TEST
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, parse_solver, read_net, read_solver
from sscaffe.serialized import array_to_blobproto, read_binary, write_binary
from sscaffe.solver.settings import checked
from sscaffe.upgrade import (
    NET_STEPS,
    batch_norm,
    solver_type,
    transform,
    upgrade_net,
    upgrade_solver,
    v0,
    v1,
)

V1 = caffe_pb2.V1LayerParameter
NEW = 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    return lambda: [record.getMessage() for record in caplog.records]


def check(step, old, new):
    """Compare what a step makes of a net with another net; the step leaves the first as it is."""
    net = parse_net(old)
    assert step.is_needed(net)
    assert step.upgrade(net) == parse_net(new)
    assert net == parse_net(old)
    assert not step.is_needed(parse_net(new))


V0_LAYERS = {
    "conv: its sizes": (
        'name: "c" type: "conv" num_output: 4 biasterm: false pad: 1 kernelsize: 3 group: 2 '
        "stride: 2 weight_filler { std: 1 } bias_filler { value: 2 } blobs_lr: 1 blobs_lr: 2 "
        "weight_decay: 3",
        'name: "c" type: CONVOLUTION convolution_param { num_output: 4 bias_term: false pad: 1 '
        "kernel_size: 3 group: 2 stride: 2 weight_filler { std: 1 } bias_filler { value: 2 } } "
        "blobs_lr: 1 blobs_lr: 2 weight_decay: 3",
    ),
    "innerproduct": (
        'type: "innerproduct" num_output: 4 biasterm: true weight_filler { std: 1 }',
        "type: INNER_PRODUCT inner_product_param { num_output: 4 bias_term: true "
        "weight_filler { std: 1 } }",
    ),
    "pool": (
        'type: "pool" pool: STOCHASTIC kernelsize: 3 stride: 2 pad: 1',
        "type: POOLING pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 pad: 1 }",
    ),
    "im2col": (
        'type: "im2col" kernelsize: 3 stride: 2',
        "type: IM2COL convolution_param { kernel_size: 3 stride: 2 }",
    ),
    "dropout": (
        'type: "dropout" dropout_ratio: 0.25',
        "type: DROPOUT dropout_param { dropout_ratio: 0.25 }",
    ),
    "lrn": (
        'type: "lrn" local_size: 3 alpha: 2 beta: 1 k: 4',
        "type: LRN lrn_param { local_size: 3 alpha: 2 beta: 1 k: 4 }",
    ),
    "concat": ('type: "concat" concat_dim: 0', "type: CONCAT concat_param { concat_dim: 0 }"),
    "data": (
        'type: "data" source: "s" batchsize: 4 rand_skip: 3 scale: 2 meanfile: "m" cropsize: 5 '
        "mirror: true",
        'type: DATA data_param { source: "s" batch_size: 4 rand_skip: 3 } '
        'transform_param { scale: 2 mean_file: "m" crop_size: 5 mirror: true }',
    ),
    "images": (
        'type: "images" source: "s" batchsize: 4 rand_skip: 3 shuffle_images: true new_height: 5 '
        "new_width: 6",
        'type: IMAGE_DATA image_data_param { source: "s" batch_size: 4 rand_skip: 3 shuffle: true '
        "new_height: 5 new_width: 6 }",
    ),
    "window_data": (
        'type: "window_data" source: "s" batchsize: 4 det_fg_threshold: 0.5 det_bg_threshold: 0.25 '
        'det_fg_fraction: 0.125 det_context_pad: 6 det_crop_mode: "square"',
        'type: WINDOW_DATA window_data_param { source: "s" batch_size: 4 fg_threshold: 0.5 '
        'bg_threshold: 0.25 fg_fraction: 0.125 context_pad: 6 crop_mode: "square" }',
    ),
    "hdf5_data": (
        'type: "hdf5_data" source: "s" batchsize: 4',
        'type: HDF5_DATA hdf5_data_param { source: "s" batch_size: 4 }',
    ),
    "hdf5_output": (
        'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
        'type: HDF5_OUTPUT hdf5_output_param { file_name: "f" }',
    ),
    "infogain_loss": (
        'type: "infogain_loss" source: "s"',
        'type: INFOGAIN_LOSS infogain_loss_param { source: "s" }',
    ),
    "blobs": ('name: "b" blobs { data: 1 }', 'name: "b" blobs { data: 1 }'),
}


@pytest.mark.parametrize(("old", "new"), V0_LAYERS.values(), ids=V0_LAYERS)
def test_a_layer_of_2013(old, new):
    ends = 'bottom: "x" top: "y"'
    check(v0, f"layers {{ layer {{ {old} }} {ends} }}", f"layers {{ {new} {ends} }}")


def test_every_type_of_2013_is_one_of_2014_and_of_today():
    for name in v0._TYPES:
        net = v1.upgrade(v0.upgrade(parse_net(f'layers {{ layer {{ type: "{name}" }} }}')))
        assert net.layer[0].type in REGISTRY


def test_padding_of_2013_goes_into_the_layers_that_read_it():
    check(
        v0,
        """
        layers { layer { name: "p" type: "padding" pad: 2 } bottom: "x" top: "p" }
        layers { layer { type: "conv" } bottom: "p" top: "a" }
        layers { layer { type: "pool" } bottom: "p" top: "b" }
        layers { layer { type: "relu" } bottom: "p2" top: "p" }
        layers { layer { type: "tanh" } bottom: "p" top: "d" }
        """,
        """
        layers { type: CONVOLUTION convolution_param { pad: 2 } bottom: "x" top: "a" }
        layers { type: POOLING pooling_param { pad: 2 } bottom: "x" top: "b" }
        layers { type: RELU bottom: "p2" top: "p" }
        layers { type: TANH bottom: "p" top: "d" }
        """,
    )


def test_a_layer_of_2014_among_those_of_2013_stays():
    check(v0, 'layers { layer { type: "relu" } } layers { type: TANH name: "t" }',
          'layers { type: RELU } layers { type: TANH name: "t" }')  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('layers { layer { name: "a" type: "deconv" } }', "type: 'deconv' of layer 'a' is no"),
        (
            'layers { layer { name: "p" type: "padding" } top: "p" bottom: "x" }'
            'layers { layer { name: "r" type: "relu" } bottom: "p" }',
            "bottom: padding layer 'p' leads to layer 'r' of type 'relu'; expected conv or",
        ),
        (
            'layers { layer { name: "p" type: "padding" } top: "p" }'
            'layers { layer { name: "c" type: "conv" } bottom: "p" }',
            "bottom: expected one bottom and one top of padding layer 'p'",
        ),
    ],
)
def test_layers_of_2013_that_mean_nothing_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        upgrade_net(parse_net(text))


def test_fields_that_a_type_of_2013_did_not_obey_are_told_of(log):
    check(v0, 'layers { layer { type: "relu" pad: 3 new_num: 1 } }', "layers { type: RELU }")
    assert log() == [
        "Unknown parameter pad for layer type relu",
        "Unknown parameter new_num for layer type relu",
    ]


@pytest.mark.parametrize("kind", ["DATA data", "IMAGE_DATA image_data", "WINDOW_DATA window_data"])
def test_transformations_get_a_message_of_their_own(kind):
    kind, name = kind.split()
    fields = 'scale: 2 mean_file: "m" crop_size: 5 mirror: false'
    check(
        transform,
        f'layers {{ type: {kind} {name}_param {{ source: "s" {fields} }} }} layers {{ }}',
        f'layers {{ type: {kind} {name}_param {{ source: "s" }} transform_param {{ {fields} }} }} '
        "layers { }",
    )


def test_every_type_of_2014_has_the_name_of_a_layer_type():
    names = {v1.type_name(number) for number in V1.LayerType.values()}
    assert names - {""} <= set(REGISTRY)
    assert len(names) == len(V1.LayerType.values()) - 1  # LRN has two


def test_a_net_of_early_2014():
    check(
        v1,
        'version: 1 name: "n" layers { type: LRN_MAP lrn_param { local_size: 3 } }',
        'name: "n" layer { type: "LRN" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL } }',
    )


def test_every_field_of_2014_has_a_place():
    fields = set(V1.DESCRIPTOR.fields_by_name) - {"layer", "blob_share_mode", "blobs_lr",
                                                  "weight_decay"}  # fmt: skip
    today = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    for name in fields - {"param", "type"}:
        assert V1.DESCRIPTOR.fields_by_name[name].message_type is today[name].message_type


def test_a_layer_of_2014():
    check(
        v1,
        """
        name: "n" state { level: 2 } force_backward: true
        layers { name: "a" type: ELTWISE bottom: "x" bottom: "y" top: "z" loss_weight: 2
          include { phase: TRAIN } exclude { stage: "s" } eltwise_param { operation: MAX } }
        layers { type: NONE blobs { data: 1 } blobs { data: 2 } }
        """,
        """
        name: "n" state { level: 2 } force_backward: true
        layer { name: "a" type: "Eltwise" bottom: "x" bottom: "y" top: "z" loss_weight: 2
          include { phase: TRAIN } exclude { stage: "s" } eltwise_param { operation: MAX } }
        layer { type: "" blobs { data: 1 } blobs { data: 2 } }
        """,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('param: "w"', 'param { name: "w" }'),
        ("blobs_lr: 1 blobs_lr: 2", "param { lr_mult: 1 } param { lr_mult: 2 }"),
        ("weight_decay: 0", "param { decay_mult: 0 }"),
        (
            'param: "w" blob_share_mode: PERMISSIVE blobs_lr: 1 blobs_lr: 2 weight_decay: 3',
            'param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 3 } '
            "param { lr_mult: 2 }",
        ),
    ],
)
def test_settings_of_parameters_of_2014(old, new):
    check(v1, f"layers {{ {old} }}", f"layer {{ {new} }}")


def test_layers_of_both_forms_in_one_net_are_refused():
    with pytest.raises(PrototxtError, match="layers: expected layer or layers, got 1 layer and 2"):
        v1.upgrade(parse_net(f"{NEW} layers {{ }} layers {{ }}"))


def test_statistics_of_batch_norm_are_not_learned():
    off = "param { lr_mult: 0 decay_mult: 0 }"
    check(
        batch_norm,
        'layer { type: "BatchNorm" param { lr_mult: 1 } param { name: "v" } param { } }'
        'layer { type: "PReLU" param { } param { } param { } }',
        f'layer {{ type: "BatchNorm" {off} param {{ name: "v" lr_mult: 0 decay_mult: 0 }} {off} }}'
        'layer { type: "PReLU" param { } param { } param { } }',
    )


@pytest.mark.parametrize("name", caffe_pb2.SolverParameter.SolverType.keys())
def test_the_rule_of_a_solver_gets_its_name(name):
    solver = parse_solver(f'solver_type: {name} base_lr: 2 lr_policy: "fixed"')
    upgraded = solver_type.upgrade(solver)
    assert not upgraded.HasField("solver_type")
    assert (upgraded.type.upper(), upgraded.base_lr) == (name, 2)
    assert checked(solver).type == upgraded.type
    assert not solver.HasField("type")


def test_two_rules_for_one_solver_are_refused():
    with pytest.raises(PrototxtError, match='solver_type: type is set as well; write type: "Adam"'):
        upgrade_solver(parse_solver('solver_type: ADAM type: "SGD"'))


def test_what_has_the_form_of_today_is_left_alone(log):
    net, solver = parse_net(NEW), parse_solver('type: "SGD"')
    assert upgrade_net(net) is net
    assert upgrade_solver(solver) is solver
    assert not log()


def test_the_steps_follow_each_other_and_are_told_of_in_the_words_of_caffe(log, tmp_path):
    path = tmp_path / "old.prototxt"
    path.write_text("""
        input: "x" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 3
        layers { layer { name: "r" type: "relu" } bottom: "x" top: "y" }
        layers { type: DATA name: "d" data_param { scale: 2 } }
    """)
    net = read_net(path)
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ("input", "Input"),
        ("r", "ReLU"),
        ("d", "Data"),
    ]
    assert net.layer[2].transform_param.scale == 2
    deprecated = "file specified using deprecated"
    assert log() == [
        f"Attempting to upgrade input {deprecated} V0LayerParameter: {path}",
        f"Successfully upgraded {deprecated} V0LayerParameter",
        f"Attempting to upgrade input {deprecated} transformation parameters: {path}",
        f"Successfully upgraded {deprecated} data transformation parameters.",
        f"Attempting to upgrade input {deprecated} V1LayerParameter: {path}",
        f"Successfully upgraded {deprecated} V1LayerParameter",
        f"Attempting to upgrade input {deprecated} input fields: {path}",
        f"Successfully upgraded {deprecated} input fields.",
    ]


def test_solvers_are_upgraded_when_read(log, tmp_path):
    path = tmp_path / "old.prototxt"
    path.write_text("solver_type: NESTEROV")
    assert read_solver(path) == parse_solver('type: "Nesterov"')
    assert log() == [
        "Attempting to upgrade input file specified using deprecated 'solver_type' field (enum)': "
        f"{path}",
        "Successfully upgraded file specified using deprecated 'solver_type' field (enum) to "
        "'type' field (string).",
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{NEW}\nlayers {{ }}", 2, "layers: expected layer or layers"),
        ("name: 'n'\ninput: 'x'", 2, "input_dim: expected 4 sizes"),
        ("name: 'n'\ninput: 'x' input_dim: 3", 2, "input_dim: expected 4 sizes"),
        (
            "layers { layer { name: 'a' type: 'relu' } }\n\n"
            "layers { layer { name: 'b' type: 'rule' } }",
            3,
            "type: 'rule' of layer 'b' is no layer type of 2013",
        ),
    ],
    ids=["forms", "no sizes", "sizes", "type"],
)
def test_the_refusal_says_which_file_and_line(text, line, message, tmp_path):
    path = tmp_path / "old.prototxt"
    path.write_text(text)
    with pytest.raises(PrototxtError, match=message) as caught:
        read_net(path)
    error = caught.value
    assert (error.source, error.line) == (str(path), line)
    assert str(error).startswith(f"{path}:{line}:")
    assert not hasattr(error, "__notes__")


def test_the_refusal_of_a_solver_says_where(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text("type: 'SGD'\nsolver_type: ADAM")
    with pytest.raises(PrototxtError, match=r"solver\.prototxt:2:1: solver_type: type is set"):
        read_solver(path)


NET_OF_2013 = """
input: "x" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2
layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }
layers { layer { name: "c" type: "conv" num_output: 1 kernelsize: 3 } bottom: "p" top: "c" }
"""
MODEL_OF_2013 = """
layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }
layers {
  layer { name: "c" type: "conv"
    blobs { num: 1 channels: 1 height: 3 width: 3
            data: 0 data: 0 data: 0 data: 0 data: 1 data: 2 data: 0 data: 0 data: 0 }
    blobs { num: 1 channels: 1 height: 1 width: 1 data: 10 } }
  bottom: "p" top: "c"
}
"""


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_net_of_2013_runs_with_weights_of_2013(upgraded, log, tmp_path):
    model = parse_net(MODEL_OF_2013)
    write_binary(tmp_path / "w", upgrade_net(model) if upgraded else model)
    net = Net(parse_net(NET_OF_2013), TEST)
    net.copy_from(tmp_path / "w")
    net.blobs["x"].set_data([[[[1, 2], [3, 4]]]])
    net.forward()
    np.testing.assert_array_equal(net.blobs["c"].data, [[[[15, 12], [21, 14]]]])
    told = f"file specified using deprecated V0LayerParameter: {tmp_path / 'w'}"
    assert any(told in line for line in log()) is not upgraded


def test_the_blobs_of_a_caffemodel_of_2014_are_kept():
    model = caffe_pb2.NetParameter()
    blob = array_to_blobproto(np.arange(6, dtype=np.float32).reshape(2, 3))
    model.layers.add(name="ip", type=V1.INNER_PRODUCT, blobs=[blob])
    assert list(upgrade_net(model).layer[0].blobs) == [blob]


def test_the_steps_are_in_the_order_of_caffe():
    assert [step.apply.__module__.rpartition(".")[2] for step in NET_STEPS] == [
        "v0",
        "transform",
        "v1",
        "inputs",
        "batch_norm",
        "group_decay",  # of the fork alone, so after all of Caffe's
    ]


def test_a_model_of_2014_is_read_back_as_it_was_written(tmp_path):
    net = upgrade_net(parse_net(MODEL_OF_2013))
    write_binary(tmp_path / "w", net)
    assert read_binary(tmp_path / "w", caffe_pb2.NetParameter) == net
