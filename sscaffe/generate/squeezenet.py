"""SqueezeNet, versions 1.0 and 1.1.

Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016.
1,248,424 and 1,235,496 parameters.
"""

from functools import partial

from sscaffe.errors import UnsupportedError
from sscaffe.generate.imagenet import classify, images, poly
from sscaffe.generate.layers import Layers, filler, gaussian
from sscaffe.generate.model import Model

_VERSIONS = ("1.0", "1.1")
_SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)  # channels of fire2 to fire9, a quarter of each half
_POOLED = {"1.0": (4, 8), "1.1": (3, 5)}  # fires that a pooling follows


def squeezenet(version: str = "1.1") -> Model:
    """Return SqueezeNet, with group lasso on filters and shapes of the fires' 3 x 3 convolutions.

    Raises
    ------
    UnsupportedError
        If there is no such version.
    """
    if version not in _VERSIONS:
        raise UnsupportedError(f"version: expected {' or '.join(_VERSIONS)}, got {version!r}")
    body = partial(_body, version)
    names = [layer.name for layer in body(False)[0].net.layer]
    return Model(
        name="squeezenet",
        title=f"SqueezeNet {version}",
        body=body,
        data=images(227, 32, 25, mean_values=(104, 117, 123)),
        groups={n: {"FILTER": 1, "SHAPE": 1} for n in names if n.endswith("/expand3x3")},
        solvers={
            "": poly(0.04, 2e-4, 1.0, 170_000, iter_size=16),
            "ssl": poly(0.004, 2e-4, 1.0, 85_000, iter_size=16, block_group_decay=5e-4),
            "finetune": poly(0.004, 2e-4, 1.0, 57_000, iter_size=16),
        },
    )


def _body(version: str, train: bool) -> tuple[Layers, str]:
    layers, old = Layers(filler("xavier")), version == "1.0"
    blob = layers.conv("conv1", "data", 96 if old else 64, 7 if old else 3, stride=2)
    blob = layers.max_pool("pool1", layers.relu("relu_conv1", blob), 3, 2)
    for number, width in enumerate(_SQUEEZED, 2):
        blob = _fire(layers, f"fire{number}", blob, width)
        if number in _POOLED[version]:
            blob = layers.max_pool(f"pool{number}", blob, 3, 2)
    layers.dropout("drop9", blob, 0.5)
    blob = layers.conv("conv10", blob, 1000, 1, pad=int(old), filler=gaussian(0.01))
    blob = layers.global_average_pool("pool10", layers.relu("relu_conv10", blob))
    if train:
        classify(layers, blob)
    return layers, blob


def _fire(layers: Layers, name: str, bottom: str, width: int) -> str:
    def conv(part: str, below: str, channels: int, size: int) -> str:
        blob = layers.conv(f"{name}/{part}", below, channels, size, pad=size // 2)
        return layers.relu(f"{name}/relu_{part}", blob)

    squeezed = conv("squeeze1x1", bottom, width, 1)
    halves = [conv(f"expand{size}x{size}", squeezed, 4 * width, size) for size in (1, 3)]
    return layers.concat(f"{name}/concat", halves)
