"""What the kinds of malformed files have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

DEPLOY = """layer { name: "data" type: "Input" top: "data" \
input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } }
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } }
}
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""

SHAPES = {"conv1": [(4, 4, 3, 3), (4,)], "ip1": [(3, 64), (3,)]}
"""Of the blobs of that net."""

TRAIN = DEPLOY.replace('"Softmax" bottom: "ip1"', '"SoftmaxWithLoss" bottom: "ip1" bottom: "y"')
TRAIN = TRAIN.replace('top: "data"', 'top: "data" top: "y"', 1).replace(
    "dim: 6 } }", "dim: 6 } shape { dim: 2 } }", 1
)

SOLVER = """net: "train.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 2
snapshot_prefix: "snap" snapshot: 0 snapshot_after_train: false random_seed: 1 solver_mode: CPU
"""


@dataclass(frozen=True)
class Case:
    """Files to be written, and the command that must refuse the one that gives the name."""

    name: str
    files: Mapping[str, bytes]
    command: str
