"""Random nets: as text and back, and their weights to files and back, bit for bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import format_net, parse_net
from sscaffe.serialized import read_binary, write_binary

CASES = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
DEPTH = 4  # of messages in messages
FIELDS = 5  # of a message, at most
INTEGERS = {"INT32": (-(2**31), 31), "INT64": (-(2**63), 63), "UINT32": (0, 32), "UINT64": (0, 64)}
TYPES = {
    getattr(caffe_pb2.NetParameter.DESCRIPTOR.fields[0], f"TYPE_{name}"): name
    for name in ("FLOAT", "DOUBLE", "BOOL", "STRING", "BYTES", "ENUM", "MESSAGE", *INTEGERS)
}


@st.composite
def messages(draw, kind, depth=DEPTH):
    """Return a message of a type with some of its fields set to anything that fits."""
    message, descriptor = kind(), kind.DESCRIPTOR
    usable = [f for f in descriptor.fields if depth or TYPES[f.type] != "MESSAGE"]
    if not usable:
        return message
    for field in draw(st.lists(st.sampled_from(usable), max_size=FIELDS, unique_by=id)):
        count = draw(st.integers(1, 3)) if field.is_repeated else 1
        for _ in range(count):
            fill(draw, message, field, depth)
    return message


def fill(draw, message, field, depth):
    """Set a field, or add a value to a repeated one."""
    place = getattr(message, field.name)
    if TYPES[field.type] == "MESSAGE":
        kind = type(place.add()) if field.is_repeated else type(place)
        value = draw(messages(kind, depth - 1))
        (place[-1] if field.is_repeated else place).CopyFrom(value)
        if not field.is_repeated:
            place.SetInParent()
        return
    value = draw(values(field))
    place.append(value) if field.is_repeated else setattr(message, field.name, value)


def values(field):
    """Return a strategy for the values of a field that is no message."""
    name = TYPES[field.type]
    if name in INTEGERS:
        low, bits = INTEGERS[name]
        return st.integers(low, 2**bits - 1)
    if name == "ENUM":
        return st.sampled_from([value.number for value in field.enum_type.values])
    if name == "FLOAT":
        return st.floats(allow_nan=False, width=32)
    if name == "DOUBLE":
        return st.floats(allow_nan=False)
    if name == "BOOL":
        return st.booleans()
    return st.text(max_size=12) if name == "STRING" else st.binary(max_size=12)


@CASES
@given(messages(caffe_pb2.NetParameter))
def test_any_message_is_the_same_as_text_and_back(net):
    again = parse_net(format_net(net))
    assert again == net
    assert again.SerializeToString(deterministic=True) == net.SerializeToString(deterministic=True)


@CASES
@given(net=messages(caffe_pb2.NetParameter))
def test_any_message_is_the_same_in_a_file_and_back(net, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.caffemodel"
    net.ClearField("layer_count")  # Another number than that of the layers is refused,
    net.layer.add()  # and so is a file without any.
    write_binary(path, net)
    assert read_binary(path, caffe_pb2.NetParameter) == net


LAYERS = {
    "Convolution": "convolution_param {{ num_output: {0} kernel_size: {1} pad: 1 bias_term: {2} }}",
    "Deconvolution": "convolution_param {{ num_output: {0} kernel_size: {1} bias_term: {2} }}",
    "InnerProduct": "inner_product_param {{ num_output: {0} bias_term: {2} }}",
    "BatchNorm": "",
    "Scale": "scale_param {{ bias_term: {2} }}",
    "Bias": "",
    "PReLU": "prelu_param {{ channel_shared: {2} }}",
    "ReLU": "",
}


@st.composite
def nets(draw):
    """Return the text of a chain of layers."""
    shape = " ".join(f"dim: {draw(st.integers(1, 6))}" for _ in range(2))
    text = [
        f"layer {{ name: 'data' type: 'Input' top: 'data' "
        f"input_param {{ shape {{ {shape} dim: 5 dim: 5 }} }} }}"
    ]
    kinds = draw(st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=6))
    flat, last = False, "data"
    for i, kind in enumerate(kinds):
        flat = flat or kind == "InnerProduct"
        kind = "InnerProduct" if flat and kind.endswith("onvolution") else kind
        name = f"{draw(st.sampled_from(['a', 'b/c', 'ü', 'x y']))}{i}"
        numbers = draw(st.integers(1, 7)), draw(st.integers(1, 3)), draw(st.booleans())
        param = LAYERS[kind].format(*numbers[:2], str(numbers[2]).lower())
        text.append(
            f"layer {{ name: '{name}' type: '{kind}' bottom: '{last}' top: '{i}' {param} }}"
        )
        last = str(i)
    return "\n".join(text)


def bits_of(net):
    return {name: [b.host_data.tobytes() for b in blobs] for name, blobs in net.params.items()}


def randomize(net, seed):
    """Set the weights to any bits but those that are not numbers."""
    rng = np.random.default_rng(seed)
    for blob in (one for blobs in net.params.values() for one in blobs):
        found = np.frombuffer(rng.bytes(4 * blob.count), np.float32).copy()
        found[np.isnan(found)] = -0.0
        blob.set_data(found.reshape(blob.shape))


@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5"])
@CASES
@given(text=nets(), seed=st.integers(0, 2**32 - 1))
def test_weights_are_the_same_in_a_file_and_back(ending, text, seed, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"weights.{ending}"
    net = Net(parse_net(text), TEST)
    again = Net(parse_net(format_net(parse_net(text))), TEST)
    randomize(net, seed)
    net.save(path)
    if net.params:
        again.copy_from(path)
    assert bits_of(again) == bits_of(net)
    if ending == "caffemodel":
        whole = read_binary(path, caffe_pb2.NetParameter)
        assert whole == net.to_proto()
        assert bits_of(Net(whole, TEST)) == bits_of(net)
