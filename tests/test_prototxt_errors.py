"""Prototxts that are refused: where, and in which words."""

import re

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sscaffe import prototxt
from sscaffe.errors import PrototxtError
from sscaffe.prototxt import format_net, parse_net, parse_solver, read_net
from sscaffe.prototxt_errors import explain
from tests.test_prototxt import NET


def refusal(text, parse=parse_net):
    """Return the error of a text, without its place."""
    with pytest.raises(PrototxtError) as caught:
        parse(text, "a.prototxt")
    error = caught.value
    assert error.source == "a.prototxt"
    assert not re.search(r"(?i)\b(invalid|failed|please|error)\b", str(error))
    place = ":".join(str(part) for part in (error.source, error.line, error.column) if part)
    return str(error).removeprefix(f"{place}: ")


def check_explained(error):
    """Hold that the fault was found here, not only by the library."""
    assert error.line is not None
    assert "expected a prototxt" not in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Where a field belongs.
        (
            "layer { conv_mode: AUTO }",
            "LayerParameter has no field 'conv_mode'; it belongs in convolution_param",
        ),
        (
            "layer { kernel_size: 3 }",
            "LayerParameter has no field 'kernel_size'; it belongs in convolution_param or "
            "pooling_param",
        ),
        (
            "layer { xdimen: 3 }",
            "LayerParameter has no field 'xdimen'; it belongs in param { block_group_lasso }",
        ),
        (
            "layer { param { top_k: 3 } }",
            "ParamSpec has no field 'top_k'; it belongs in accuracy_param or argmax_param",
        ),
        (
            "layer { convolution_param { num_output: 1\n top: 'a' } }",
            "ConvolutionParameter has no field 'top'; it belongs in layer, so close the '{' of "
            "line 1 before it",
        ),
        (
            "layer {\n name: 'a'\nlayer { }",
            "LayerParameter has no field 'layer'; it belongs at the top level, so close the '{' of "
            "line 1 before it",
        ),
        (
            "block_group_decay: 1",
            "NetParameter has no field 'block_group_decay'; it belongs in the solver",
        ),
        ("layer { base_lr: 1 }", "LayerParameter has no field 'base_lr'; it belongs in the solver"),
        (
            "layer {\n name: 'a' }\n param { lr_mult: 1 }\n}",
            "NetParameter has no field 'param'; it belongs in LayerParameter, which the '}' of "
            "line 2 closed: remove that, or put the field before it",
        ),
        (
            "layer { convolution_param { num_output: 3 } kernel_size: 3 }",
            "LayerParameter has no field 'kernel_size'; it belongs in ConvolutionParameter, which "
            "the '}' of line 1 closed: remove that, or put the field before it",
        ),
        # Names of old that nothing is called any more.
        (
            "bottom: 'data'",
            "NetParameter has no field 'bottom'; write input for an input of the net; else it "
            "belongs in layer",
        ),
        (
            "layers { layer { datum_dims { channels: 1 } } }",
            "V0LayerParameter has no field 'datum_dims'; no layer had it in 2013, so write this "
            "one in the form of today",
        ),
        # What was meant.
        (
            "layer { convolution_param { num_outputs: 3 } }",
            "ConvolutionParameter has no field 'num_outputs'; the nearest is 'num_output'",
        ),
        (
            "layer { dropout_ratioo: 1 }",
            "LayerParameter has no field 'dropout_ratioo'; the nearest is 'dropout_ratio' in "
            "dropout_param",
        ),
        ("wibble: 3", "NetParameter has no field 'wibble'"),
        (
            "layer { blobs_lr: 1 }",
            "LayerParameter has no field 'blobs_lr'; write param { lr_mult: ... }",
        ),
        (
            "layer { weight_decay: 1 }",
            "LayerParameter has no field 'weight_decay'; write param { decay_mult: ... }",
        ),
        # Values.
        (
            "layer { convolution_param { conv_mode: LOWERED_CNMM } }",
            "conv_mode: expected LOWERED_GEMM, LOWERED_CSRMM, LOWERED_CCNMM, DIRECT_SCONV, "
            "DIRECT_DCONV or AUTO, got LOWERED_CNMM; write LOWERED_CCNMM",
        ),
        (
            "layer { pooling_param { pool: 'max' } }",
            "pool: expected MAX, AVE or STOCHASTIC, got 'max'; write MAX",
        ),
        ("layer { pooling_param { pool: 7 } }", "pool: expected MAX, AVE or STOCHASTIC, got 7"),
        (
            "layers { type: RELUU }",
            "type: expected NONE, ABSVAL, ACCURACY, ARGMAX, BNLL, CONCAT, CONTRASTIVE_LOSS, "
            "CONVOLUTION, DATA, DECONVOLUTION, DROPOUT, DUMMY_DATA, ..., got RELUU; write RELU",
        ),
        (
            "layer { convolution_param { num_output: '20' } }",
            "num_output: expected an integer from 0 to 4294967295, got '20'; remove the quotes",
        ),
        (
            "layer { convolution_param { num_output: -1 } }",
            "num_output: expected an integer from 0 to 4294967295, got -1",
        ),
        (
            "layer { convolution_param { num_output: 1.5 } }",
            "num_output: expected an integer from 0 to 4294967295, got 1.5",
        ),
        (
            "input_dim: 3000000000",
            "input_dim: expected an integer from -2147483648 to 2147483647, got 3000000000",
        ),
        (
            "input_dim: [1, 2,]",
            "input_dim: expected an integer from -2147483648 to 2147483647, got ']'",
        ),
        ("input_dim: [1 2]", "input_dim: expected ',' or ']', got 2"),
        ("input_dim: [1, 2", "input_dim: expected ',' or ']', got the end of the text"),
        ("force_backward: yes", "force_backward: expected true or false, got yes"),
        (
            "layer { dropout_param { dropout_ratio: half } }",
            "dropout_ratio: expected a number, got half",
        ),
        ("layer { dropout_param { dropout_ratio: } }", "dropout_ratio: expected a number, got '}'"),
        ("name: 5", 'name: expected a string in quotes, got 5; write "5"'),
        ("layer { type: ReLU }", 'type: expected a string in quotes, got ReLU; write "ReLU"'),
        (
            "layer { type: RELU }",
            "type: expected a string in quotes, got RELU; that is how layers is written: in layer, "
            'write as in "Convolution"',
        ),
        (
            "layers { param { lr_mult: 1 } }",
            "param: expected ':' and a string in quotes, got '{'; that is how layer is written, so "
            "write layer instead of layers",
        ),
        ("name: '\\377'", "name: expected text in UTF-8, got '\\377'"),
        (
            "name: 'C:\\data'",
            "expected an escape such as \\n or \\\\, got \\d; write / in file names, or \\\\ for a "
            "backslash",
        ),
        # Structure.
        ("name 'a'", "name: expected ':' and a string in quotes, got 'a'"),
        ("state: 5", "state: expected '{', got 5"),
        ("layer", "layer: expected '{', got the end of the text"),
        (
            "name: 'a' name: 'b'",
            "name: expected once in NetParameter, got a second one (the first is on line 1); keep "
            "one of them",
        ),
        (
            "state { } state { }",
            "state: expected once in NetParameter, got a second one (the first is on line 1); keep "
            "one of them",
        ),
        (
            "\nlayer { name: 'a'\n",
            "LayerParameter: expected '}' before the end of the text, got none; close the '{' of "
            "line 2",
        ),
        (
            "layer { } }",
            "expected a field name, got '}'; remove it, or add the opening brace that it belongs "
            "to",
        ),
        ("layer < }", "expected '>' to close the '<' of line 1, got '}'"),
        ("name: 'abc\nforce_backward: true", "expected a closing ' on the same line, got 'abc"),
        ("'abc", "expected a closing ' on the same line, got 'abc"),
        ("@", "expected a field name, got '@'"),
        ("< name: 'a' >", "expected a field name, got '<'"),
        *(
            (
                f"name: 'a'\n{marker} HEAD\nforce_backward: true",
                f"expected a field name, got the '{marker}' of a merge that was not ended; keep "
                "one of the two versions, and none of these lines",
            )
            for marker in ("<<<<<<<", "=======", ">>>>>>>")
        ),
        ("[foo.bar]: 1", "expected a field name, got '['"),
        ("name: '" + "x" * 100, "expected a closing ' on the same line, got '" + "x" * 36 + "..."),
        (
            "layer { " * 200,
            "LayerParameter has no field 'layer'; it belongs at the top level, so close the '{' of "
            "line 1 before it",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_refuses_nets(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer { }", "SolverParameter has no field 'layer'; it belongs in the net"),
        (
            "conv_mode: AUTO",
            "SolverParameter has no field 'conv_mode'; it belongs in layer { convolution_param }, "
            "in the net",
        ),
        (
            "block_group_lasso { }",
            "SolverParameter has no field 'block_group_lasso'; it belongs in layer { param }, in "
            "the net",
        ),
        ("solver_mode: TPU", "solver_mode: expected CPU or GPU, got TPU"),
        ("prune_scope: WEIGHT", "prune_scope: expected WEIGHTS or ALL, got WEIGHT; write WEIGHTS"),
        ("base_lr: 010", "base_lr: expected a number, got 010"),
    ],
    ids=lambda value: value[:40],
)
def test_refuses_solvers(text, message):
    assert refusal(text, parse_solver) == message


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (b"name: 'a'\n# \xb5\n", (2, 3), "byte 0xb5"),
        (b"\x0a\x03abc\0\0", (2, 5), "a NUL byte"),
        ("name: '\0'", (1, 8), "a NUL byte"),
        ("name: '\ud800'", (1, 8), "byte 0xed"),
    ],
    ids=["latin-1", "caffemodel", "NUL", "surrogate"],
)
def test_refuses_what_is_not_text(text, place, what):
    with pytest.raises(
        PrototxtError, match=f"expected text in UTF-8, got {what}; give a proto"
    ) as e:
        parse_net(text)
    assert (e.value.line, e.value.column) == place


def test_refuses_a_huge_text(monkeypatch):
    monkeypatch.setattr(prototxt, "MAX_SIZE", 10)
    assert refusal("name: 'abcdefgh'") == (
        "expected a prototxt of at most 10 bytes, got more; keep weights in a caffemodel"
    )


def test_a_huge_file_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(prototxt, "MAX_SIZE", 10)
    (tmp_path / "huge.prototxt").write_text("# " + "x" * 100)
    with pytest.raises(PrototxtError, match="at most 10 bytes, got more"):
        read_net(tmp_path / "huge.prototxt")


def test_what_nobody_foresaw_is_an_error_of_ours_too(monkeypatch):
    monkeypatch.setattr(prototxt, "explain", lambda text, descriptor: None)
    with pytest.raises(PrototxtError, match=r"expected a prototxt, got .*no field named") as caught:
        parse_net("\n wibble: 3")
    assert (caught.value.line, caught.value.column) == (2, 2)


@pytest.mark.parametrize("end", range(1, len(NET), 3))
def test_every_beginning_of_a_text_is_read_or_explained(end):
    try:
        parse_net(NET[:end])
    except PrototxtError as error:
        check_explained(error)


WORDS = st.sampled_from(
    [
        *"{}<>[]:,;-@",
        '"a"',
        "'b",
        "layer",
        "param",
        "name",
        "type",
        "convolution_param",
        "group",
        "conv_mode",
        "AUTO",
        "1",
        "-1",
        "0x",
        "1.5",
        "true",
        "bias_term",
        "kernel_size",
        "#x\n",
        "\n",
        "loss_weight",
        "wibble",
        "\\",
        '"\\x"',
        "é",
    ]
)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(WORDS, max_size=25))
def test_any_text_is_read_or_explained(words):
    text = " ".join(words)
    try:
        net = parse_net(text)
    except PrototxtError as error:
        check_explained(error)
    else:
        assert explain(text, net.DESCRIPTOR) is None
        assert parse_net(format_net(net)) == net
