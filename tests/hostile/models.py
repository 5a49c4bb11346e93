"""120 caffemodels and 40 solverstates that are cut short, contradict themselves, or lie."""

import struct
from collections.abc import Iterator

import numpy as np

from sscaffe.proto import caffe_pb2
from sscaffe.serialized import fill_blobproto, varint
from tests.hostile.cases import DEPLOY, SHAPES, SOLVER, TRAIN, Case

CUTS = 60
LONG, FIXED = 2, 5  # wire types
BLOBS = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["blobs"].number
LAYER = caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name["layer"].number
HISTORY = caffe_pb2.SolverState.DESCRIPTOR.fields_by_name["history"].number
SHAPE, DATA, DOUBLE = (
    caffe_pb2.BlobProto.DESCRIPTOR.fields_by_name[name].number
    for name in ("shape", "data", "double_data")
)


def field(number: int, content: bytes, length: int | None = None) -> bytes:
    """Return a field of variable length, which may lie about it."""
    size = len(content) if length is None else length
    return varint(number << 3 | LONG) + varint(size) + content


def floats(count: int, value: float = 0.5) -> bytes:
    return struct.pack(f"<{count}f", *[value] * count)


def shape(*sizes: int) -> bytes:
    return field(SHAPE, field(1, b"".join(varint(size % 2**64) for size in sizes)))


def good_model() -> bytes:
    net = caffe_pb2.NetParameter(name="tiny", layer_count=len(SHAPES))
    rng = np.random.default_rng(1701)
    for name, shapes in SHAPES.items():
        layer = net.layer.add(name=name, type="Convolution")
        for sizes in shapes:
            fill_blobproto(layer.blobs.add(), rng.standard_normal(sizes).astype(np.float32))
    return net.SerializeToString()


def model_of(blob: bytes, other: bytes | None = None) -> bytes:
    """Return a caffemodel in which the weights of conv1 are a blob as it stands in a file."""
    bias = shape(4) + field(DATA, floats(4)) if other is None else other
    layer = caffe_pb2.LayerParameter(name="conv1", type="Convolution").SerializeToString()
    return field(LAYER, layer + field(BLOBS, blob) + (field(BLOBS, bias) if bias else b""))


def bad_blobs() -> Iterator[bytes]:
    """Yield blobs that are not 144 numbers of shape (4, 4, 3, 3)."""
    right, numbers = shape(4, 4, 3, 3), field(DATA, floats(144))
    for sizes in (
        (4, 4, 3),
        (4, 4, 9),
        (144,),
        (),
        (5, 4, 3, 3),
        (4, 4, 3, 4),
        (0, 4, 3, 3),
        (-4, 4, 3, 3),
        (-4, -4, 3, 3),
        (2**31, 2, 1, 1),
        (2**32, 2**32),
        (2**62, 4, 1, 36),
        (2**63 - 1, 2**63 - 1),
        (2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1),
        (1,) * 33,
    ):
        yield shape(*sizes) + numbers
    for count in (1, 2, 3, 5, 575, 577):
        yield right + field(DATA, bytes(count))
    for length in (577, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1):
        yield right + field(DATA, floats(144), length)
    for value in (float("nan"), float("inf"), -float("inf")):
        yield right + field(DATA, floats(143)) + field(DATA, floats(1, value))
    yield right
    yield numbers
    yield b""
    yield right + field(DATA, floats(144)) * 2
    yield right + numbers + field(DOUBLE, bytes(8))
    yield right + field(DOUBLE, bytes(8 * 143))
    yield right + field(DOUBLE, bytes(8 * 144 - 1))
    yield right + field(DOUBLE, struct.pack("<d", float("nan")) * 144)
    yield right + varint(DATA << 3 | FIXED) + floats(1)
    yield right + (varint(DATA << 3 | FIXED) + floats(1)) * 143
    yield right + varint(DATA << 3) + varint(144)
    yield right + varint(DATA << 3 | 3)
    yield right + varint(DATA << 3 | 6)
    yield right + b"\xff" * 11
    yield field(SHAPE, field(1, b"\xff" * 11)) + numbers
    yield b"\x08\x04\x10\x04\x18\x03\x20\x04" + numbers  # the shape of old: (4, 4, 3, 4)


def whole_models() -> Iterator[bytes]:
    """Yield files that are no caffemodel of that net."""
    good = good_model()
    yield b""
    yield b"\0" * 4096
    yield b"\xff" * 4096
    yield b"\x89HDF\r\n\x1a\n" + bytes(64)
    yield DEPLOY.encode()
    yield b"\x0b" * 200  # groups in groups
    yield good_state()
    yield good.replace(b"conv1", b"conv9").replace(b"ip1", b"ip9")
    yield field(100, good, 2**31)
    yield good.replace(b"conv1", b"conv\xff")
    yield caffe_pb2.NetParameter(name="nothing", layer_count=9).SerializeToString()
    yield caffe_pb2.NetParameter(layer_count=2**32 - 1).SerializeToString()
    yield model_of(shape(4, 4, 3, 3) + field(DATA, floats(144)), b"")
    yield model_of(shape(4, 4, 3, 3) + field(DATA, floats(144)), shape(5) + field(DATA, floats(5)))
    rng = np.random.default_rng(1)
    while True:
        yield rng.bytes(1000)


def models(count: int) -> Iterator[bytes]:
    good = good_model()
    for i in range(CUTS):
        yield good[: len(good) * i // CUTS]
    kinds = [model_of(blob) for blob in bad_blobs()]
    yield from kinds
    for _, content in zip(range(count - CUTS - len(kinds)), whole_models(), strict=False):
        yield content


def model_cases(count: int) -> Iterator[Case]:
    for i, content in enumerate(models(count)):
        name = f"weights_{i:03}.caffemodel"
        files = {name: content, "deploy.prototxt": DEPLOY.encode()}
        yield Case(name, files, f"time -model deploy.prototxt -weights {name} -iterations 1")


def good_state() -> bytes:
    state = caffe_pb2.SolverState(iter=1, learned_net="good.caffemodel", solver_type="SGD")
    for shapes in SHAPES.values():
        for sizes in shapes:
            fill_blobproto(state.history.add(), np.zeros(sizes, np.float32))
    return state.SerializeToString()


def bad_states() -> Iterator[bytes]:
    """Yield states that are whole, and wrong."""

    def changed(**values: object) -> bytes:
        state = caffe_pb2.SolverState.FromString(good_state())
        for name, value in values.items():
            setattr(state, name, value)
        return state.SerializeToString()

    yield changed(iter=-1)
    yield changed(solver_type="Adam")
    yield changed(solver_type="Nothing")
    yield changed(learned_net="")
    yield changed(learned_net="nowhere.caffemodel")
    yield changed(learned_net="/etc/passwd")
    yield changed(learned_net="../" * 30 + "etc/passwd")
    yield changed(learned_net="x" * 5000 + ".caffemodel")
    yield changed(learned_net="a\0b.caffemodel")
    yield changed(model_size=1, model_crc32=1)
    yield changed(learned_net="bad.caffemodel").replace(b"bad", b"\xff\xfe\xfd")
    first = caffe_pb2.SolverState(iter=1, learned_net="good.caffemodel").SerializeToString()
    yield first
    yield first + field(HISTORY, shape(2**32, 2**32) + field(DATA, floats(4)))
    yield first + field(HISTORY, shape(4, 4, 3, 3) + field(DATA, floats(3), 2**31))
    yield first + field(HISTORY, shape(4, 4, 3, 3) + field(DATA, bytes(3)))
    yield good_state() + field(HISTORY, shape(1) + field(DATA, floats(1)))
    yield good_model()
    yield b""
    yield DEPLOY.encode()
    yield b"\xff" * 100


def state_cases(count: int) -> Iterator[Case]:
    good = good_state()
    cuts = 20
    contents = [good[: len(good) * i // cuts] for i in range(cuts)] + list(bad_states())
    for i, content in zip(range(count), contents, strict=False):
        name = f"state_{i:03}.solverstate"
        files = {
            name: content,
            "good.caffemodel": good_model(),
            "train.prototxt": TRAIN.encode(),
            "solver.prototxt": SOLVER.encode(),
        }
        yield Case(name, files, f"train -solver solver.prototxt -snapshot {name}")
