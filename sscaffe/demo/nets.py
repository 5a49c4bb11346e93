"""LeNet as the demo trains it: from scratch, with SSL, fine-tuned, and for timing."""

from pathlib import Path

from sscaffe import prototxt
from sscaffe.demo.images import SIDE, Databases
from sscaffe.proto import caffe_pb2

TRAIN_BATCH = 64
CONVOLUTIONS = ("conv1", "conv2")

_LENET = """
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } }
}
layer {
  name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } }
}
layer {
  name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } }
}
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer {
  name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } }
}
"""

_HEAD = """
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
        include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

_DATA = """
layer {{
  name: "{name}" type: "Data" top: "data" top: "label"
  include {{ phase: {phase} }}
  transform_param {{ scale: {scale} }}
  data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }}
}}
"""

_INPUT = f"""
layer {{
  name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: {TRAIN_BATCH} dim: 1 dim: {SIDE} dim: {SIDE} }} }}
}}
"""


def training_net(data: Databases) -> caffe_pb2.NetParameter:
    """Return the net of the baseline."""
    sources = (("TRAIN", data.train, TRAIN_BATCH), ("TEST", data.test, data.test_batch_size))
    text = "".join(
        _DATA.format(name=data.name, phase=phase, scale=data.scale, source=source, batch=batch)
        for phase, source, batch in sources
    )
    return prototxt.parse_net(f'name: "LeNet" {text} {_LENET} {_HEAD}')


def ssl_net(data: Databases) -> caffe_pb2.NetParameter:
    """Return the net with group lasso on the filters and filter shapes of the convolutions."""
    net = training_net(data)
    for layer in convolutions(net):
        weights = layer.param[0]
        weights.decay_mult = 0  # Group lasso takes the place of weight decay.
        for kind in (caffe_pb2.BlockGroupLassoSpec.FILTER, caffe_pb2.BlockGroupLassoSpec.SHAPE):
            weights.block_group_lasso.add().group = kind
    return net


def finetuned_net(data: Databases) -> caffe_pb2.NetParameter:
    """Return the net whose rows and columns of zeros stay as they are."""
    net = training_net(data)
    for layer in convolutions(net):
        layer.connectivity_mode = caffe_pb2.LayerParameter.DISCONNECTED_GRPWISE
    return net


def deployed_net(
    mode: "caffe_pb2.ConvolutionParameter.ConvMode | None" = None,
) -> caffe_pb2.NetParameter:
    """Return the net for use, with a conv_mode for its convolutions or the dense default."""
    net = prototxt.parse_net(f'name: "LeNet" {_INPUT} {_LENET}')
    for layer in convolutions(net):
        if mode is not None:
            layer.convolution_param.conv_mode = mode
    return net


def convolutions(net: caffe_pb2.NetParameter) -> list[caffe_pb2.LayerParameter]:
    """Return the convolutions of a net."""
    return [layer for layer in net.layer if layer.type == "Convolution"]


def solver(
    net_file: Path, prefix: Path, iterations: int, *, rate: float, lasso: float = 0
) -> caffe_pb2.SolverParameter:
    """Return a solver: SGD whose learning rate falls to a tenth after 70 % of the iterations."""
    return prototxt.parse_solver(
        f"""
        train_net: "{net_file}"
        base_lr: {rate} lr_policy: "multistep" gamma: 0.1 stepvalue: {iterations * 7 // 10}
        momentum: 0.9 weight_decay: 0.0005 block_group_decay: {lasso}
        max_iter: {iterations} display: 50 average_loss: 10
        snapshot_prefix: "{prefix}" random_seed: 1701 solver_mode: CPU
        """
    )
