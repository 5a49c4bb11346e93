"""How well a training would run on many ranks: what is measured here, and a model of the rest."""

from sscaffe.scaling.allreduce import measure_allreduce
from sscaffe.scaling.compute import measure_work, split_batch
from sscaffe.scaling.model import (
    ALGORITHMS,
    Bucket,
    Network,
    Prediction,
    Work,
    fit,
    predict,
)

__all__ = [
    "ALGORITHMS",
    "Bucket",
    "Network",
    "Prediction",
    "Work",
    "fit",
    "measure_allreduce",
    "measure_work",
    "predict",
    "split_batch",
]
