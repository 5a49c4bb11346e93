"""Labels as losses and accuracies read them."""

from typing import Any, NamedTuple

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


class Labels(NamedTuple):
    """Labels of a device, one for each place of the flattened blob."""

    indices: Array  # int64, each the number of a class; any where the label does not count
    counts: Array | None  # bool: which count, where not all do
    flaw: Any  # 0, or NaN if one is not the number of a class: to be added to what is computed

    @property
    def valid(self) -> Any:
        """How many count."""
        return self.indices.size if self.counts is None else self.counts.sum()

    def only(self, values: Array) -> Array:
        """Return values, one for each label along the last axis, with 0 for those not counted."""
        return values if self.counts is None else values * self.counts


def read_labels(
    blob: Blob,
    classes: int,
    ignored: int | None,
    name: str = "labels",
    noun: str = "classes",
) -> Labels:
    """Return the labels, without waiting for the device.

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

    Raises
    ------
    DataError
        On the CPU, if one is not the number of a class.
    """
    xp = blob.xp
    labels = xp.trunc(blob.const_data.reshape(-1))
    counts = None if ignored is None else labels != ignored
    is_class = (labels >= 0) & (labels < classes)
    known = is_class if counts is None else is_class | ~counts
    if blob.device.is_cpu and not known.all():
        check_labels(blob, classes, ignored, name, noun)
    flaw = xp.where(known.all(), 0.0, np.nan)
    return Labels(xp.where(is_class, labels, 0).astype(np.int64), counts, flaw)


def check_labels(
    blob: Blob,
    classes: int,
    ignored: int | None,
    name: str = "labels",
    noun: str = "classes",
) -> None:
    """Raise DataError if a label is not the number of a class; see `read_labels`."""
    labels = np.trunc(blob.host_data.reshape(-1))
    wrong = ~((labels >= 0) & (labels < classes))
    if ignored is not None:
        wrong &= labels != ignored
    if wrong.any():
        raise DataError(
            f"{name}: expected 0 to {classes - 1} for {classes} {noun}, got "
            f"{float(labels[wrong][0]):g}"
        )
