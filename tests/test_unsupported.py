"""No field that can be written is ignored without a word."""

import logging
import re
from pathlib import Path

import pytest

import sscaffe
from sscaffe.errors import UnsupportedError
from sscaffe.layer import REGISTRY
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.solver.settings import checked
from sscaffe.unsupported import FIELDS, check
from tests.helpers import make_layer
from tests.net.layers import INPUT, make_net, times
from tests.solver.nets import settings

# Fields that may have any value: what they ask for makes no difference here.
HARMLESS = {
    "NetParameter": {
        "engine",  # the best kernel is chosen anyway
        "version",  # of the form, which the layers tell
    },
    "LayerParameter": {
        "engine",
        "sigmoid_param",  # has nothing but an engine, nor have these
        "split_param",
        "tanh_param",
        "multinode",  # one machine trains
        "mn_grad_compress_param",
    },
    "SolverParameter": {
        "engine",
        "layer_wise_reduce",  # one device trains
        # What only force_decay, warmup_iter, local_lr_auto and eval_type read, all refused:
        "force_type",
        "force_iter",
        "force_decay_type",
        "force_direction",
        "warmup_start_lr",
        "local_gw_ratio",
        "ap_version",
        "show_per_class_result",
        "plateau_winsize",  # lr_policy: "plateau" is refused
        # What only the Winograd forms of regularization_type read, which are refused:
        "winograd_sparsity_factor",
        "winograd_adjust_threshold",
    },
    "ParamSpec": {"force_mult"},  # a factor on force_decay, which is refused
    "LossParameter": {"pre_fixed_normalizer"},  # normalization: PRE_FIXED is refused
    "BatchNormParameter": {"engine"},
    "ConcatParameter": {"engine"},
    "ConvolutionParameter": {
        "engine",
        "conv_algorithm",  # conv_mode is what counts
        "force_nd_im2col",  # there is one way for any number of axes
        "negative_slope",  # relu is refused
    },
    "DetectionOutputParameter": {"visualize_threshold"},  # visualize is told of
    "EltwiseParameter": {"engine"},
    "InnerProductParameter": {
        "engine",
        "spmdm_transpose_in",  # the kernel sees to its own layout
        "spmdm_transpose_out",
        "negative_slope",  # relu is refused
    },
    "LRNParameter": {"engine"},
    "PoolingParameter": {"engine"},
    "PythonParameter": {"share_in_parallel"},  # one device trains
    "ReLUParameter": {"engine"},
    "SigmoidParameter": {"engine"},
    "SPPParameter": {"engine"},
    "SoftmaxParameter": {"engine"},
    "TanHParameter": {"engine"},
}

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in Path(sscaffe.__file__).parent.rglob("*.py")
    if path.name not in ("caffe_pb2.py", "unsupported.py")
}
LAYER = "LayerParameter"
TYPES = {name.lower() for name in REGISTRY} | {"norm"}  # norm_param is of Normalize


def readers(field):
    """Return the source of the modules that may read the message in a field.

    For the settings of a layer type: those that name the field or the message.
    """
    settings_of_layer = field.name.endswith("_param") and field.containing_type.name == LAYER
    names = rf"\b({field.name}|{field.message_type.name})\b" if settings_of_layer else ""
    return "\n".join(source for source in SOURCES.values() if re.search(names, source))


def is_of_missing_layer(field):
    """Tell whether a field has the settings of a layer type that is refused by its name."""
    stem = field.name.removesuffix("_param").replace("_", "")
    return (
        field.containing_type.name == LAYER
        and field.name.endswith("_param")
        and stem not in TYPES | {"transform", "loss"}
    )


def silent(message, source, seen):
    """Yield each field, from a message down, that `source` does not read and nothing tells of."""
    for field in message.fields:
        told = field.name in FIELDS.get(message.name, {})
        if told or field.name in HARMLESS.get(message.name, {}) or is_of_missing_layer(field):
            continue
        stem = re.sub("_[hw]$", "", field.name)  # as in f"{stem}_h"
        if not re.search(rf"""\.{stem}\b|"{stem}["_]""", source):
            yield f"{message.name}.{field.name}"
        inner = field.message_type
        if inner and inner.name not in seen:
            yield from silent(inner, readers(field), seen | {inner.name})


@pytest.mark.parametrize("root", ["NetParameter", "SolverParameter"])
def test_every_field_is_read_or_told_of_or_known_to_be_harmless(root):
    message = caffe_pb2.DESCRIPTOR.message_types_by_name[root]
    seen = {root, "V1LayerParameter", "NetParameter"}
    assert sorted(set(silent(message, "\n".join(SOURCES.values()), seen))) == []


@pytest.mark.parametrize("name", sorted(HARMLESS.keys() | FIELDS.keys()))
def test_the_fields_that_are_listed_are_there_and_listed_once(name):
    fields = set(caffe_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name)
    harmless, told = HARMLESS.get(name, set()), set(FIELDS.get(name, {}))
    assert harmless | told <= fields
    assert not harmless & told


SCALE = "put a Scale layer after this one and leave the field out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "type: 'BatchNorm' batch_norm_param { use_weight_bias: true }",
            f"use_weight_bias: true is not supported; {SCALE}",
        ),
        (
            "type: 'BatchNorm' batch_norm_param { bias_term: true }",
            f"bias_term: true is not supported; {SCALE}",
        ),
        (
            "type: 'BatchNorm' batch_norm_param { filler { } }",
            f"filler: is not supported; {SCALE}",
        ),
        (
            "type: 'BatchNorm' batch_norm_param { bias_filler { value: 1 } }",
            f"bias_filler: is not supported; {SCALE}",
        ),
        (
            "type: 'Convolution' quantization_param { bw_params: 8 }",
            "quantization_param: is not supported; leave the field out",
        ),
    ],
)
def test_what_would_change_the_result_is_refused(text, message):
    with pytest.raises(UnsupportedError) as caught:
        make_layer(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "type: 'BatchNorm'",
        "type: 'BatchNorm' batch_norm_param { use_weight_bias: false bias_term: false }",
        "type: 'BatchNorm' batch_norm_param { engine: MKLDNN }",
        "type: 'Pooling' pooling_param { avg_include_pad: true engine: CUDNN }",
        "type: 'Convolution' convolution_param { engine: CAFFE conv_algorithm: 'winograd' }",
        "type: 'InnerProduct' inner_product_param { engine: MKL2017 } engine: 'MKLDNN:CPU'",
        "type: 'ReLU' relu_param { engine: CAFFE } multinode { num_nodes: 4 }",
        "type: 'InnerProduct' param { } param { force_mult: 0.5 }",
        "type: 'InnerProduct' inner_product_param { dump_parameter: false }",
    ],
)
def test_what_changes_nothing_is_accepted_in_silence(text, caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    make_layer(text)
    assert not caplog.records


@pytest.mark.parametrize(
    ("kind", "param", "field"),
    [
        ("Convolution", "convolution_param", "dump_parameter"),
        ("Convolution", "convolution_param", "dump_activation"),
        ("Convolution", "convolution_param", "parameter_sparsity_pattern_histogram"),
        ("InnerProduct", "inner_product_param", "dump_parameter"),
        ("InnerProduct", "inner_product_param", "dump_activation"),
        ("LSTM", "recurrent_param", "debug_info"),
        ("DetectionOutput", "detection_output_param", "visualize"),
    ],
)
def test_what_changes_no_result_is_told_once_for_each_layer(kind, param, field, caplog):
    make_layer(f"name: 'l' type: '{kind}' {param} {{ {field}: true }}")
    (record,) = caplog.records
    assert record.getMessage() == f"{field}: not supported; the field of layer 'l' has no effect"


def test_blocks_of_force_regularization_are_told_of(caplog):
    make_layer("name: 'l' type: 'InnerProduct' param { force_regularize { multi: 1 } }")
    (record,) = caplog.records
    assert (
        record.getMessage()
        == "force_regularize: not supported; the field of layer 'l' has no effect"
    )


def test_the_refusal_says_which_layer():
    with pytest.raises(UnsupportedError, match="quantization_param: is not") as caught:
        make_net(INPUT + times("a", more="quantization_param { bw_params: 8 }"))
    assert any("layer:  'a'" in note for note in caught.value.__notes__)


def test_layers_that_the_rules_leave_out_are_not_looked_at():
    make_net(INPUT + times("a", more="quantization_param { } include { phase: TRAIN }"))


def test_a_net_inside_a_solver_is_left_to_the_net(caplog):
    param = settings()
    param.net_param.layer[1].quantization_param.bw_params = 8
    checked(param)
    assert not caplog.records


def test_the_first_refused_field_of_a_solver_is_named():
    param = text_format.Parse('eval_type: "detection"', caffe_pb2.SolverParameter())
    with pytest.raises(UnsupportedError, match=r"^eval_type: 'detection' is not supported; leave"):
        check(param)


@pytest.mark.parametrize("value", [0, 1, 1.5])
def test_threshold_factors_below_2_ask_for_nothing(value, caplog):
    check(caffe_pb2.SolverParameter(max_threshold_factor=value))
    assert not caplog.records
    with pytest.raises(UnsupportedError, match="max_threshold_factor: 2 is not supported"):
        check(caffe_pb2.SolverParameter(max_threshold_factor=2))
