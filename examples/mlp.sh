#!/usr/bin/env bash
# An MLP with fewer neurons: from MNIST's four files, in downloads/mnist or the folder that is given, to a
# small net that is as accurate.
source "$(dirname "$0")/stage.sh"
models=models/mlp

database mnist "${1:-downloads/mnist}"
stage $models/mlp_solver.prototxt $models/mlp_iter_20000.caffemodel
stage $models/mlp_ssl_solver.prototxt $models/mlp_ssl_iter_16000.caffemodel \
    $models/mlp_iter_20000.caffemodel
stage $models/mlp_finetune_solver.prototxt $models/mlp_finetune_iter_20000.caffemodel \
    $models/mlp_ssl_iter_16000.caffemodel
accuracy $models/mlp_train_test.prototxt $models/mlp_iter_20000.caffemodel
small $models/mlp_finetune_train_test.prototxt $models/mlp_deploy.prototxt \
    $models/mlp_finetune_iter_20000.caffemodel
