#!/usr/bin/env bash
# ResNet-20 that learns how deep it has to be: from CIFAR-10, in downloads/cifar10 or the folder that is given.
# ITERATIONS=1600 examples/resnet20.sh makes every schedule a fortieth.
source "$(dirname "$0")/stage.sh"
models=models/resnet20
iterations=${ITERATIONS:-64000}

database cifar10 "${1:-downloads/cifar10}" --pad 4
if [ ! -f $models/resnet20_solver.prototxt ]; then
    $SSCAFFE generate resnet --n 3 --learn-depth --iterations "$iterations" --to $models
fi
baseline=$models/resnet20_iter_$iterations.caffemodel
ssl=$models/resnet20_ssl_iter_$iterations.caffemodel
finetuned=$models/resnet20_finetune_iter_$((iterations * 3 / 2)).caffemodel
stage $models/resnet20_solver.prototxt "$baseline"
stage $models/resnet20_ssl_solver.prototxt "$ssl" "$baseline"
stage $models/resnet20_finetune_solver.prototxt "$finetuned" "$ssl"
accuracy $models/resnet20_train_val.prototxt "$baseline"
small $models/resnet20_finetune_train_val.prototxt $models/resnet20_deploy.prototxt "$finetuned"
