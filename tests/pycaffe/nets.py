"""A net with two weighted layers and a loss, and its like, that the tests here share."""

SMALL = """
name: "small" force_backward: true
layer { name: "images" type: "DummyData" top: "images" top: "label"
  dummy_data_param {
    shape { dim: 4 dim: 3 dim: 5 dim: 6 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "images" top: "conv"
  param { decay_mult: 1 } param { decay_mult: 0 }
  convolution_param { num_output: 7 kernel_size: 3 pad: 2
    weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 1 } } }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "scores"
  inner_product_param { num_output: 9
    weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "constant" value: -2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""

DEPLOY = """
name: "deploy"
layer { name: "images" type: "Input" top: "images"
  input_param { shape { dim: 4 dim: 3 dim: 5 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "images" top: "conv"
  convolution_param { num_output: 7 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "scores"
  inner_product_param { num_output: 9 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" }
"""

SOLVER = """
net: "{net}" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001
power: 0.75 test_iter: 3 test_interval: 10 display: 10 max_iter: 20 snapshot_after_train: false
snapshot_prefix: "{prefix}"
"""
