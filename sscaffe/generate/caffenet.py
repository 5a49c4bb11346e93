"""CaffeNet and AlexNet, which differ in the order of pooling and normalization.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012. 60,965,224 parameters each.
"""

from collections.abc import Mapping
from functools import partial

from sscaffe.generate.imagenet import classify, images, steps
from sscaffe.generate.layers import Layers, gaussian
from sscaffe.generate.model import Model
from sscaffe.group_specs import Factors

# Wen et al., NIPS 2016: the wider a shape's column, the stronger its lasso; conv1 and conv5 keep
# what the image and the first inner product need.
_GROUPS: Mapping[str, Factors] = {
    "conv1": {"FILTER": 1},
    "conv2": {"SHAPE": 1, "FILTER": 1},
    "conv3": {"SHAPE": 1.7321, "FILTER": 1},
    "conv4": {"SHAPE": 1.2247, "FILTER": 1},
    "conv5": {"SHAPE": 1},
}


def caffenet() -> Model:
    """Return CaffeNet: each pooling before its normalization."""
    return _model("caffenet", "CaffeNet", pool_first=True)


def alexnet() -> Model:
    """Return AlexNet: each normalization before its pooling."""
    return _model("alexnet", "AlexNet", pool_first=False)


def _model(name: str, title: str, *, pool_first: bool) -> Model:
    return Model(
        name=name,
        title=title,
        body=partial(_body, pool_first),
        data=images(227, 256, 50),
        groups=_GROUPS,
        connectivity="DISCONNECTED_ELTWISE",
        solvers={
            "": steps(0.01, 5e-4, (100_000, 200_000, 300_000, 400_000), 450_000),
            "ssl": steps(
                0.001, 2.5e-4, (250_000, 350_000, 400_000), 450_000, block_group_decay=0.001
            ),
            "finetune": steps(0.001, 2.5e-4, (80_000, 160_000, 200_000), 220_000),
        },
    )


def _body(pool_first: bool, train: bool) -> tuple[Layers, str]:
    layers = Layers(gaussian(0.01))
    raised = 1.0 if pool_first else 0.1  # a bias that keeps rectifiers open at first
    blob = layers.relu("relu1", layers.conv("conv1", "data", 96, 11, stride=4))
    blob = _reduced(layers, 1, blob, pool_first=pool_first)
    blob = layers.relu("relu2", layers.conv("conv2", blob, 256, 5, pad=2, group=2, bias=raised))
    blob = _reduced(layers, 2, blob, pool_first=pool_first)
    blob = layers.relu("relu3", layers.conv("conv3", blob, 384, 3, pad=1))
    blob = layers.relu("relu4", layers.conv("conv4", blob, 384, 3, pad=1, group=2, bias=raised))
    blob = layers.relu("relu5", layers.conv("conv5", blob, 256, 3, pad=1, group=2, bias=raised))
    blob = layers.max_pool("pool5", blob, 3, 2)
    for number in (6, 7):
        blob = layers.inner_product(f"fc{number}", blob, 4096, filler=gaussian(0.005), bias=raised)
        layers.relu(f"relu{number}", blob)
        layers.dropout(f"drop{number}", blob, 0.5)
    blob = layers.inner_product("fc8", blob, 1000)
    if train:
        classify(layers, blob)
    return layers, blob


def _reduced(layers: Layers, number: int, blob: str, *, pool_first: bool) -> str:
    if pool_first:
        return layers.lrn(f"norm{number}", layers.max_pool(f"pool{number}", blob, 3, 2))
    return layers.max_pool(f"pool{number}", layers.lrn(f"norm{number}", blob), 3, 2)
