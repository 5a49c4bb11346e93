"""Labels as losses and accuracies read them."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import DataError, ShapeError


def require_labels(scores: Blob, labels: Blob, count: int) -> None:
    """Check that there is one label for each prediction.

    Parameters
    ----------
    scores : Blob
        Any shape with an axis of classes.
    labels : Blob
        Any shape.
    count : int
        Predictions: the elements of `scores` over the number of classes.

    Raises
    ------
    ShapeError
        If there are more labels, or fewer.
    """
    if labels.count != count:
        raise ShapeError(
            f"labels: expected one for each of the {count} predictions of {scores.shape}, "
            f"got a bottom of shape {labels.shape}"
        )


def read_labels(
    blob: Blob,
    classes: int,
    ignored: int | None,
    name: str = "labels",
    noun: str = "classes",
) -> tuple[Array, Array]:
    """Return the labels that count, and where they are.

    Parameters
    ----------
    blob : Blob
        Labels as floats; what is behind the point is dropped.
    classes : int
        The number of classes.
    ignored : int, optional
        The label that does not count.
    name, noun : str
        What the numbers and the classes are, for the message.

    Returns
    -------
    labels : ndarray of int64, shape (M,)
        Those that count.
    places : ndarray of int64, shape (M,)
        Their indices in the flattened blob, ascending.

    Raises
    ------
    DataError
        If one is not the number of a class.
    """
    xp = blob.xp
    labels = xp.trunc(blob.const_data.reshape(-1))
    places = xp.arange(labels.size)
    if ignored is not None:
        places = xp.nonzero(labels != ignored)[0]
        labels = labels[places]
    known = (labels >= 0) & (labels < classes)
    if not known.all():
        wrong = float(labels[~known][0])
        raise DataError(f"{name}: expected 0 to {classes - 1} for {classes} {noun}, got {wrong:g}")
    return labels.astype(np.int64), places
