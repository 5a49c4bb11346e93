"""Residual nets for CIFAR-10, of 6 n + 2 layers.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2; where a
block changes its size, a 1 x 1 convolution takes the place of the identity.
"""

from functools import partial

from sscaffe.errors import UnsupportedError
from sscaffe.generate.imagenet import steps
from sscaffe.generate.layers import Layers, filler
from sscaffe.generate.model import Data, Model

_WIDTHS = (16, 32, 64)
_FOLDER = "data/cifar10"


def resnet(n: int = 3, *, learn_depth: bool = False) -> Model:
    """Return a residual net.

    Parameters
    ----------
    n : int
        Blocks of each of the three widths; 3 makes ResNet-20.
    learn_depth : bool
        Put a group lasso on every convolution of a block as a whole, so that blocks vanish and
        leave their shortcuts.

    Raises
    ------
    UnsupportedError
        If `n` is not positive.
    """
    if n < 1:
        raise UnsupportedError(f"n: expected at least 1 block of each width, got {n}")
    body = partial(_body, n)
    convolutions = [layer.name for layer in body(False)[0].net.layer if layer.type == "Convolution"]
    solvers = {"": _solver(0.1, (32_000, 48_000), 64_000)}
    if learn_depth:
        solvers["ssl"] = _solver(0.1, (32_000, 48_000), 64_000, block_group_decay=0.007)
        solvers["finetune"] = _solver(0.01, (32_000, 64_000), 96_000)
    in_blocks = [name for name in convolutions if name.endswith(("conv1", "conv2")) and "/" in name]
    return Model(
        name=f"resnet{6 * n + 2}",
        title=f"ResNet-{6 * n + 2}",
        body=body,
        data=Data(
            # 4 pixels of padding around each image; training takes a random part.
            train=f"{_FOLDER}/cifar10_train_padded_lmdb",
            test=f"{_FOLDER}/cifar10_test_lmdb",
            side=32,
            train_batch=128,
            test_batch=100,
            train_mean=f"{_FOLDER}/cifar10_padded_mean.binaryproto",
            test_mean=f"{_FOLDER}/cifar10_mean.binaryproto",
            crop=(True, False),
        ),
        groups={name: {"DEPTH": 1} for name in in_blocks} if learn_depth else {},
        frozen=tuple(convolutions),
        solvers=solvers,
    )


def _solver(
    base_lr: float, at: tuple[int, ...], max_iter: int, **fields: float
) -> dict[str, object]:
    solver = steps(base_lr, 1e-4, at, max_iter, **fields)
    return solver | {"test_iter": [100], "test_interval": 1000, "display": 100, "snapshot": 4000}


def _body(n: int, train: bool) -> tuple[Layers, str]:
    layers = Layers(filler("msra"))
    blob = layers.relu("relu1", _conv(layers, "conv1", "data", 16, 3, 1))
    for group, width in enumerate(_WIDTHS, 1):
        for i in range(1, n + 1):
            stride = 2 if group > 1 and i == 1 else 1
            blob = _block(layers, f"group{group}_block{i}", blob, width, stride)
    blob = layers.inner_product("fc", layers.global_average_pool("pool", blob), 10)
    if train:
        layers.accuracy("accuracy", blob)
        layers.loss("loss", blob)
    return layers, blob


def _block(layers: Layers, name: str, bottom: str, width: int, stride: int) -> str:
    blob = layers.relu(f"{name}/relu1", _conv(layers, f"{name}/conv1", bottom, width, 3, stride))
    blob = _conv(layers, f"{name}/conv2", blob, width, 3, 1)
    if stride > 1:
        bottom = _conv(layers, f"{name}/shortcut", bottom, width, 1, stride)
    layers.add("Eltwise", f"{name}/sum", [bottom, blob], f"{name}/sum")
    return layers.relu(f"{name}/relu2", f"{name}/sum")


def _conv(layers: Layers, name: str, bottom: str, width: int, size: int, stride: int) -> str:
    blob = layers.conv(name, bottom, width, size, pad=size // 2, stride=stride, bias_term=False)
    return layers.batch_norm(name, blob)
