#!/usr/bin/env bash
# ConvNet with fewer rows and columns: from CIFAR-10, in downloads/cifar10 or the folder that is given.
# BASELINE=FILE examples/convnet.sh starts from weights that are trained already.
source "$(dirname "$0")/stage.sh"
models=models/convnet

database cifar10 "${1:-downloads/cifar10}"
baseline=${BASELINE:-$models/convnet_iter_70000.caffemodel}
stage $models/convnet_solver.prototxt "$baseline"
stage $models/convnet_ssl_solver.prototxt $models/convnet_ssl_iter_30000.caffemodel "$baseline"
stage $models/convnet_finetune_solver.prototxt $models/convnet_finetune_iter_40000.caffemodel \
    $models/convnet_ssl_iter_30000.caffemodel
accuracy $models/convnet_train_test.prototxt "$baseline"
small $models/convnet_finetune_train_test.prototxt $models/convnet_deploy.prototxt \
    $models/convnet_finetune_iter_40000.caffemodel
