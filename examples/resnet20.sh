#!/usr/bin/env bash
# ResNet-20 that learns how deep it has to be: from CIFAR-10, in downloads/cifar10 or the folder that is given.
# ITERATIONS=5000 examples/resnet20.sh makes every schedule a thirteenth.
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
# What is left is a smaller net, which learns on by itself.
left=${ssl%.caffemodel}_squeezed
if [ ! -f "$left.caffemodel" ]; then
    $SSCAFFE squeeze --model $models/resnet20_train_val.prototxt --weights "$ssl" \
        --out-model "$left.prototxt" --out-weights "$left.caffemodel"
    $SSCAFFE squeeze --model $models/resnet20_deploy.prototxt --weights "$ssl" \
        --out-model "${left}_deploy.prototxt" --out-weights "${left}_deploy.caffemodel"
fi
sed "s|^net: .*|net: \"$left.prototxt\"|" $models/resnet20_finetune_solver.prototxt > "${left}_solver.prototxt"
stage "${left}_solver.prototxt" "$finetuned" "$left.caffemodel"
accuracy $models/resnet20_train_val.prototxt "$baseline"
accuracy "$left.prototxt" "$finetuned"
$SSCAFFE time --model $models/resnet20_deploy.prototxt --weights "$baseline" --forward_only
$SSCAFFE time --model "${left}_deploy.prototxt" --weights "$finetuned" --forward_only
