"""120 prototxts that are no nets, or nets that cannot be."""

from collections.abc import Iterator

from tests.hostile.cases import DEPLOY, Case

HEAD = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
IMAGES = HEAD % "dim: 2 dim: 4 dim: 6 dim: 6"
FILE = "FILE"

# What is written in place of the 3 of a convolution.
NUMBERS = {
    "kernel_size: 3": [
        "kernel_size: 0",
        "kernel_size: 7",
        "kernel_size: -1",
        "kernel_size: 2147483648",
        "kernel_size: 4294967295",
        "kernel_size: 4294967296",
        "kernel_size: 3 kernel_size: 3 kernel_size: 3",
        "kernel_h: 3",
        "kernel_h: 0 kernel_w: 3",
        "kernel_size: 3 stride: 0",
        "kernel_size: 3 stride: 1 stride: 1 stride: 1",
        "kernel_size: 3 dilation: 0",
        "kernel_size: 3 dilation: 3",
        "kernel_size: 3 dilation: 2147483647",
        "kernel_size: 3 pad: -1",
        "kernel_size: 3 pad: 4294967295",
        "kernel_size: 3 group: 3",
        "kernel_size: 3 group: 0",
        "kernel_size: 3 group: 4294967295",
        "kernel_size: 3 axis: 9",
        "kernel_size: 3 axis: -9",
        "kernel_size: 3.5",
        "kernel_size: nan",
        'kernel_size: "3"',
        "kernel_size: three",
        "kernel_size: 3 conv_mode: LOWERED_NOTHING",
    ],
    "num_output: 4": [
        "num_output: 0",
        "num_output: -4",
        "num_output: 2147483647",
        "num_output: 4294967295",
        "num_output: 4294967296",
        "num_output: 1e30",
        "",
    ],
    '"xavier"': ['"nothing"', '""', "xavier", '"xavier" type: "xavier"', '"\\xff"', "0"],
}

SHAPES = [
    "dim: -1 dim: 4 dim: 6 dim: 6",
    "dim: 2 dim: 4 dim: 0 dim: 6",
    "dim: 2147483648 dim: 4 dim: 6 dim: 6",
    "dim: 65536 dim: 65536 dim: 65536 dim: 65536",
    "dim: 4294967296 dim: 4294967296 dim: 1 dim: 1",
    "dim: 9223372036854775807 dim: 9223372036854775807 dim: 6 dim: 6",
    "dim: 9223372036854775808 dim: 4 dim: 6 dim: 6",
    "dim: 2147483647 dim: 2 dim: 1 dim: 1",
    "dim: 2000000000 dim: 4 dim: 6 dim: 6",
    "dim: 1",
    "dim: " + " dim: ".join("1" * 33),
    "dim: -9223372036854775808 dim: 4 dim: 6 dim: 6",
]

# Whole layers behind an input of shape (2, 4, 6, 6).
LAYERS = [
    'type: "Nothing" bottom: "data" top: "y"',
    'type: "" bottom: "data" top: "y"',
    'bottom: "data" top: "y"',
    'type: "ReLU" bottom: "nowhere" top: "y"',
    'type: "ReLU" bottom: "y" top: "y"',
    'type: "ReLU" top: "y"',
    'type: "ReLU" bottom: "data"',
    'type: "ReLU" bottom: "data" bottom: "data" top: "y"',
    'type: "Input" top: "data" input_param { shape { dim: 1 } }',
    'type: "Input" bottom: "data" top: "y"',
    'type: "Python" bottom: "data" top: "y" python_param { module: "os" layer: "system" }',
    'type: "Python" bottom: "data" top: "y" python_param { module: "evil" layer: "Evil" }',
    'type: "Python" bottom: "data" top: "y"',
    'type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 7 dim: -1 } }',
    'type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: -1 dim: -1 } }',
    'type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: -2 } }',
    'type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 9000000000 } }',
    'type: "Reshape" bottom: "data" top: "y" reshape_param { axis: 9 shape { dim: 1 } }',
    'type: "Slice" bottom: "data" top: "y" top: "z" slice_param { slice_point: 9 }',
    'type: "Slice" bottom: "data" top: "y" top: "z" top: "w"',
    'type: "Slice" bottom: "data" top: "y" top: "z" slice_param { axis: 7 }',
    'type: "Concat" bottom: "data" top: "y" concat_param { axis: 5 }',
    'type: "Flatten" bottom: "data" top: "y" flatten_param { axis: 3 end_axis: 1 }',
    'type: "Pooling" bottom: "data" top: "y" pooling_param { kernel_size: 9 }',
    'type: "Pooling" bottom: "data" top: "y" pooling_param { kernel_size: 0 }',
    'type: "Pooling" bottom: "data" top: "y" pooling_param { kernel_size: 2 stride: 0 }',
    'type: "Pooling" bottom: "data" top: "y" pooling_param { kernel_size: 2 pad: 2 }',
    'type: "Pooling" bottom: "data" top: "y" pooling_param { pool: NONE }',
    'type: "Pooling" bottom: "data" top: "y"',
    'type: "LRN" bottom: "data" top: "y" lrn_param { local_size: 4 }',
    'type: "LRN" bottom: "data" top: "y" lrn_param { local_size: 0 }',
    'type: "Crop" bottom: "data" bottom: "data" top: "y" crop_param { axis: 9 }',
    'type: "Crop" bottom: "data" bottom: "data" top: "y" crop_param { offset: 5 }',
    'type: "Tile" bottom: "data" top: "y" tile_param { tiles: 0 }',
    'type: "Tile" bottom: "data" top: "y" tile_param { tiles: 2147483647 }',
    'type: "Embed" bottom: "data" top: "y" embed_param { num_output: 2 input_dim: 0 }',
    'type: "Permute" bottom: "data" top: "y" permute_param { order: 0 order: 0 }',
    'type: "Permute" bottom: "data" top: "y" permute_param { order: 9 }',
    'type: "InnerProduct" bottom: "data" top: "y"',
    'type: "InnerProduct" bottom: "data" top: "y" inner_product_param { num_output: 2147483647 }',
    'type: "Eltwise" bottom: "data" bottom: "data" top: "y" eltwise_param { coeff: 1 }',
    'type: "Dropout" bottom: "data" top: "y" dropout_param { dropout_ratio: 1.5 }',
    'type: "BatchNorm" bottom: "data" top: "y" param { lr_mult: 1 name: "a" } param { name: "a" }',
    'type: "HDF5Data" top: "y" hdf5_data_param { source: "/nowhere/list" batch_size: 1 }',
    'type: "ImageData" top: "y" top: "z" image_data_param { source: "/nowhere/list" }',
    'type: "Data" top: "y" data_param { source: "/nowhere/lmdb" batch_size: 2 }',
    'type: "Data" top: "y" data_param { source: "" batch_size: 2 }',
]


def texts() -> Iterator[bytes]:
    """Yield what is not even a text proto, or has fields that nets do not."""
    yield b"layer { " * 101
    yield b"layer { " * 10_000
    yield b"layer { " * 101 + b"}" * 101
    yield b"layer { layer { " * 60 + b"} } " * 60
    yield b'name: "' + b"x" * 1_000_000
    yield b"x" * 1_000_000
    yield b"layer: " + b"[" * 100_000
    yield DEPLOY.encode() + b"\0"
    yield DEPLOY.encode() + b"\xff\xfe"
    yield DEPLOY.encode("utf-16")
    yield DEPLOY.encode() + b"}"
    yield DEPLOY.encode() + b"layers { } nothing: 3"
    yield b"\x0a\x04tiny" * 100
    yield DEPLOY.encode() * 2
    yield b'name: "\\777"'
    yield b'name: "a'
    yield b"\x80" * 64
    yield b"force_backward: 2"
    yield b'input: "data" input_dim: 1'
    yield b'input: "data" input: "data" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1'
    yield CYCLE
    yield DEPLOY.replace("num_output", "num_outputs").encode()


CYCLE = b"""
layer { name: "a" type: "ReLU" bottom: "y" top: "x" }
layer { name: "b" type: "ReLU" bottom: "x" top: "y" }
"""


def nets() -> Iterator[bytes]:
    """Yield all of them."""
    yield from texts()
    for old, changes in NUMBERS.items():
        for new in changes:
            yield DEPLOY.replace(old, new, 1).encode()
    for shape in SHAPES:
        yield (HEAD % shape + DEPLOY.partition("\n")[2]).encode()
    for layer in LAYERS:
        yield (IMAGES + f'layer {{ name: "x" {layer} }}\n').encode()


def cases(count: int) -> Iterator[Case]:
    """Yield so many cases; where there are more nets than that, the last are left out."""
    for i, content in zip(range(count), nets(), strict=False):
        name = f"net_{i:03}.prototxt"
        yield Case(name, {name: content}, f"time -model {name} -iterations 1")
