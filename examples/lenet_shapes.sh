#!/usr/bin/env bash
# LeNet with smaller filters: from MNIST's four files, in downloads/mnist or the folder that is
# given, to a small, fast net that is as accurate.
source "$(dirname "$0")/stage.sh"
models=models/lenet

database mnist "${1:-downloads/mnist}"
stage $models/lenet_solver.prototxt $models/lenet_iter_10000.caffemodel
stage $models/lenet_shapes_ssl_solver.prototxt $models/lenet_shapes_ssl_iter_5000.caffemodel \
    $models/lenet_iter_10000.caffemodel
stage $models/lenet_shapes_ip1_ssl_solver.prototxt $models/lenet_shapes_ip1_ssl_iter_5000.caffemodel \
    $models/lenet_shapes_ssl_iter_5000.caffemodel
stage $models/lenet_shapes_finetune_solver.prototxt \
    $models/lenet_shapes_finetune_iter_10000.caffemodel \
    $models/lenet_shapes_ip1_ssl_iter_5000.caffemodel
accuracy $models/lenet_train_test.prototxt $models/lenet_iter_10000.caffemodel
small $models/lenet_finetune_train_test.prototxt $models/lenet_deploy.prototxt \
    $models/lenet_shapes_finetune_iter_10000.caffemodel
