"""How well a training would run on many ranks: what is measured here, and a model of the rest."""

from sscaffe.scaling.measured import Measured, measure
from sscaffe.scaling.model import ALGORITHMS, Network, Prediction, Work

__all__ = ["ALGORITHMS", "Measured", "Network", "Prediction", "Work", "measure"]
