"""Fields that are set in the text of a net, with everything else left as it is."""

import pytest

from sscaffe.prototxt import parse_net
from sscaffe.prototxt_edit import Setting, set_in_layers

DENSE = Setting("convolution_param", "conv_mode", "DIRECT_DCONV")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "layer { name: 'a' convolution_param { num_output: 2 } }",
            "layer { name: 'a' convolution_param { conv_mode: DIRECT_DCONV num_output: 2 } }",
        ),
        (
            "layer { name: 'a' convolution_param { conv_mode: AUTO  num_output: 2 } }",
            "layer { name: 'a' convolution_param { conv_mode: DIRECT_DCONV  num_output: 2 } }",
        ),
        (
            "layer {\n  convolution_param {  # not conv_mode: AUTO }\n    pad: 1\n  }\n"
            '  name: "a"\n}\n',
            "layer {\n  convolution_param {  # not conv_mode: AUTO }\n"
            "    conv_mode: DIRECT_DCONV\n    pad: 1\n  }\n"
            '  name: "a"\n}\n',
        ),
        (
            "layer: < name: 'a', convolution_param < pad: [1, 1]; weight_filler { std: 1 } > >",
            "layer: < name: 'a', convolution_param < conv_mode: DIRECT_DCONV pad: [1, 1]; "
            "weight_filler { std: 1 } > >",
        ),
        (
            "layer { name: 'a'\n  convolution_param {\n  }\n}",
            "layer { name: 'a'\n  convolution_param {\n    conv_mode: DIRECT_DCONV\n  }\n}",
        ),
        (
            "layer { param: [{ name: 'w' }, { name: 'b' }] name: 'a' "
            "convolution_param { pad: 1 } }",
            "layer { param: [{ name: 'w' }, { name: 'b' }] name: 'a' "
            "convolution_param { conv_mode: DIRECT_DCONV pad: 1 } }",
        ),
        (
            "layer { name: 'a' convolution_param {} }",
            "layer { name: 'a' convolution_param { conv_mode: DIRECT_DCONV} }",
        ),
    ],
)
def test_one_field_is_set_and_the_rest_stays(before, after):
    assert set_in_layers(before, {"a": DENSE}) == after
    parsed = parse_net(after)
    assert parsed.layer[0].convolution_param.conv_mode == 4  # DIRECT_DCONV


def test_line_ends_stay():
    text = "layer {\r\n  name: 'a'\r\n  convolution_param {\r\n    pad: 1\r\n  }\r\n}\r\n"
    edited = set_in_layers(text, {"a": DENSE})
    assert edited.startswith(text[: text.index("{\r\n    pad") + 1])
    assert edited.endswith(text[text.index("\n    pad") :])
    assert parse_net(edited).layer[0].convolution_param.conv_mode == 4


@pytest.mark.parametrize(
    "text",
    [
        "layer { name: 'b' convolution_param { num_output: 2 } }",
        "layer { name: 'a' type: 'ReLU' }",
        "name: 'a' # layer { name: 'a' convolution_param { } }",
        "layer { name: 'a' 'b' convolution_param: { } top: \"a\" }",
    ],
)
def test_other_layers_stay(text):
    settings = {"ab": DENSE, "c": DENSE} if "'a' 'b'" in text else {"a": DENSE}
    assert set_in_layers(text, settings) == text
