"""What nets for ImageNet share: its databases, its scores, its schedules."""

from typing import Any

from sscaffe.generate.layers import Layers
from sscaffe.generate.model import Data

_FOLDER = "data/ilsvrc12"


def images(
    side: int, train_batch: int, test_batch: int, mean_values: tuple[float, ...] = ()
) -> Data:
    """Return the databases of ILSVRC12, of 256 x 256 images; less the mean image by default."""
    mean = "" if mean_values else f"{_FOLDER}/imagenet_mean.binaryproto"
    return Data(
        train=f"{_FOLDER}/ilsvrc12_train_lmdb",
        test=f"{_FOLDER}/ilsvrc12_val_lmdb",
        side=side,
        train_batch=train_batch,
        test_batch=test_batch,
        train_mean=mean,
        test_mean=mean,
        mean_values=mean_values,
    )


def classify(layers: Layers, score: str) -> None:
    """Add the loss and the accuracies that a net for ImageNet ends in."""
    layers.accuracy("accuracy", score)
    layers.accuracy("accuracy_top5", score, top_k=5)
    layers.loss("loss", score)


def steps(
    base_lr: float, weight_decay: float, at: tuple[int, ...], max_iter: int, **fields: Any
) -> dict[str, Any]:
    """Return a solver whose learning rate falls to a tenth at some iterations."""
    return _solver(
        base_lr,
        weight_decay,
        max_iter,
        lr_policy="multistep",
        gamma=0.1,
        stepvalue=at,
        **fields,
    )


def poly(
    base_lr: float, weight_decay: float, power: float, max_iter: int, **fields: Any
) -> dict[str, Any]:
    """Return a solver whose learning rate falls to nothing along a power of what is left."""
    return _solver(base_lr, weight_decay, max_iter, lr_policy="poly", power=power, **fields)


def _solver(base_lr: float, weight_decay: float, max_iter: int, **fields: Any) -> dict[str, Any]:
    return {
        "test_iter": [1000],
        "test_interval": 5000,
        "base_lr": base_lr,
        "momentum": 0.9,
        "weight_decay": weight_decay,
        "max_iter": max_iter,
        "display": 20,
        "snapshot": 10_000,
        **fields,
    }
