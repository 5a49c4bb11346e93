"""GoogLeNet.

Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015. 6,998,552 parameters for use;
the two losses on the way, which are for training, have 6,379,728 more.
"""

from sscaffe.generate.imagenet import classify, images, poly
from sscaffe.generate.layers import Layers, filler
from sscaffe.generate.model import Model

# Channels of 1x1, of 3x3 reduced and whole, of 5x5 reduced and whole, of the pool's projection.
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOLED = ("3b", "4e")
_LOSSES = {"4a": "loss1", "4d": "loss2"}


def googlenet() -> Model:
    """Return GoogLeNet, with group lasso on filters and shapes of every convolution."""
    layers, _ = _body(True)
    names = [layer.name for layer in layers.net.layer if layer.type == "Convolution"]
    return Model(
        name="googlenet",
        title="GoogLeNet",
        body=_body,
        data=images(224, 32, 50, mean_values=(104, 117, 123)),
        groups={name: {"FILTER": 1, "SHAPE": 1} for name in names},
        connectivity="DISCONNECTED_ELTWISE",
        solvers={
            "": poly(0.01, 2e-4, 0.5, 2_400_000),
            "ssl": poly(0.001, 2e-4, 0.5, 1_600_000, block_group_decay=5e-4),
            "finetune": poly(0.001, 2e-4, 0.5, 800_000),
        },
    )


def _body(train: bool) -> tuple[Layers, str]:
    layers = Layers(filler("xavier"), bias=0.2)
    blob = _conv(layers, "conv1", "7x7_s2", "data", 64, 7, 2)
    blob = layers.lrn("pool1/norm1", layers.max_pool("pool1/3x3_s2", blob, 3, 2))
    blob = _conv(layers, "conv2", "3x3_reduce", blob, 64, 1)
    blob = layers.lrn("conv2/norm2", _conv(layers, "conv2", "3x3", blob, 192, 3))
    blob = layers.max_pool("pool2/3x3_s2", blob, 3, 2)
    for key, channels in _INCEPTIONS.items():
        blob = _inception(layers, f"inception_{key}", blob, channels)
        if train and key in _LOSSES:
            _loss_on_the_way(layers, _LOSSES[key], blob)
        if key in _POOLED:
            blob = layers.max_pool(f"pool{key[0]}/3x3_s2", blob, 3, 2)
    blob = layers.dropout("pool5/drop_7x7_s1", layers.average_pool("pool5/7x7_s1", blob, 7, 1), 0.4)
    blob = layers.inner_product("loss3/classifier", blob, 1000, bias=0)
    if train:
        classify(layers, blob)
    return layers, blob


def _conv(
    layers: Layers, block: str, part: str, bottom: str, channels: int, size: int, stride: int = 1
) -> str:
    blob = layers.conv(f"{block}/{part}", bottom, channels, size, pad=size // 2, stride=stride)
    return layers.relu(f"{block}/relu_{part.removesuffix('_s2')}", blob)


def _inception(layers: Layers, name: str, bottom: str, channels: tuple[int, ...]) -> str:
    ones, threes_in, threes, fives_in, fives, projected = channels
    parts = [_conv(layers, name, "1x1", bottom, ones, 1)]
    for size, reduced, whole in (("3x3", threes_in, threes), ("5x5", fives_in, fives)):
        blob = _conv(layers, name, f"{size}_reduce", bottom, reduced, 1)
        parts.append(_conv(layers, name, size, blob, whole, int(size[0])))
    pooled = layers.max_pool(f"{name}/pool", bottom, 3, 1, pad=1)
    parts.append(_conv(layers, name, "pool_proj", pooled, projected, 1))
    return layers.concat(f"{name}/output", parts)


def _loss_on_the_way(layers: Layers, name: str, bottom: str) -> None:
    blob = layers.average_pool(f"{name}/ave_pool", bottom, 5, 3)
    blob = layers.relu(f"{name}/relu_conv", layers.conv(f"{name}/conv", blob, 128, 1))
    blob = layers.relu(f"{name}/relu_fc", layers.inner_product(f"{name}/fc", blob, 1024))
    layers.dropout(f"{name}/drop_fc", blob, 0.7)
    blob = layers.inner_product(f"{name}/classifier", blob, 1000, bias=0)
    layers.loss(f"{name}/loss", blob, weight=0.3)
