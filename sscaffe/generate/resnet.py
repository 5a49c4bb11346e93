"""Residual nets for CIFAR-10, of 6 n + 2 layers.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2; where a
block changes its size, a 1 x 1 convolution takes the place of the identity.
"""

from functools import partial

from sscaffe.errors import UnsupportedError
from sscaffe.generate.imagenet import steps
from sscaffe.generate.layers import Layers, filler
from sscaffe.generate.model import Data, Model
from sscaffe.group_specs import depth_groups
from sscaffe.proto import caffe_pb2

_WIDTHS = (16, 32, 64)
_FOLDER = "data/cifar10"


def resnet(n: int = 3, *, learn_depth: bool = False, iterations: int = 64_000) -> Model:
    """Return a residual net.

    Parameters
    ----------
    n : int
        Blocks of each of the three widths; 3 makes ResNet-20.
    learn_depth : bool
        Put a group lasso on every convolution of a block as a whole, and on the factors of the
        Scale layer behind it, so that blocks vanish and leave their shortcuts; see `depth_groups`.
    iterations : int
        Of the baseline. Those of SSL are as many, those of fine-tuning half as many again.

    Raises
    ------
    UnsupportedError
        If `n` or `iterations` is not positive.
    """
    if n < 1:
        raise UnsupportedError(f"n: expected at least 1 block of each width, got {n}")
    if iterations < 1:
        raise UnsupportedError(f"iterations: expected at least 1, got {iterations}")
    body = partial(_body, n)
    net = body(False)[0].net
    convolutions = [layer.name for layer in net.layer if layer.type == "Convolution"]
    solvers = {"": _solver(0.1, (1 / 2, 3 / 4), iterations)}
    if learn_depth:
        solvers["ssl"] = _solver(
            0.1,
            (1 / 2, 3 / 4),
            iterations,
            block_group_decay=0.01,
            regularization_step=caffe_pb2.SolverParameter.PROXIMAL,
        )
        solvers["finetune"] = _solver(0.01, (1 / 3, 2 / 3), iterations * 3 // 2)
    in_blocks = [name for name in convolutions if name.endswith(("conv1", "conv2")) and "/" in name]
    groups = depth_groups(net, in_blocks) if learn_depth else {}
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
        groups=groups,
        frozen=(*convolutions, *(name for name in groups if name not in convolutions)),
        solvers=solvers,
    )


def _solver(
    base_lr: float, parts: tuple[float, ...], max_iter: int, **fields: float
) -> dict[str, object]:
    """Return a solver whose learning rate falls to a tenth after parts of its iterations."""
    at = tuple(round(part * max_iter) for part in parts)
    every = max(1, max_iter // 16)
    return steps(base_lr, 1e-4, at, max_iter, **fields) | {
        "test_iter": [100],
        "test_interval": every,
        "display": 100,
        "snapshot": every,
    }


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
