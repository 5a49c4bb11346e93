# What the scripts of this folder share. Each is run from the root of the repository, may be stopped at any
# time, and goes on from its last snapshot when it is started again.
set -euo pipefail
SSCAFFE=${SSCAFFE:-sscaffe}

# stage SOLVER RESULT [WEIGHTS]: train until the caffemodel RESULT is there.
stage() {
    local solver=$1 result=$2 weights=${3:-} last
    if [ -f "$result" ]; then
        echo "$result is there"
        return
    fi
    last=$(ls -t "${result%_iter_*}"_iter_*.solverstate 2>/dev/null | head -n 1 || true)
    if [ -n "$last" ]; then
        $SSCAFFE train --solver "$solver" --snapshot "$last"
    elif [ -n "$weights" ]; then
        $SSCAFFE train --solver "$solver" --weights "$weights"
    else
        $SSCAFFE train --solver "$solver"
    fi
}

# database NAME FROM [FLAGS]: make data/NAME from the files in FROM, once.
database() {
    local name=$1 from=$2
    shift 2
    if [ ! -d "data/$name" ]; then
        $SSCAFFE data "$name" --from "$from" --to "data/$name" "$@"
    fi
}

# accuracy NET WEIGHTS: of the whole test set.
accuracy() {
    $SSCAFFE test --model "$1" --weights "$2" --iterations 100
}

# small NET DEPLOY WEIGHTS: show the accuracy, write a net without what is zero, and time both, forward.
small() {
    local name=${3%.caffemodel}_squeezed
    accuracy "$1" "$3"
    $SSCAFFE squeeze --model "$2" --weights "$3" \
        --out-model "$name.prototxt" --out-weights "$name.caffemodel" --force
    $SSCAFFE time --model "$2" --weights "$3" --forward_only --conv_mode DIRECT_DCONV
    $SSCAFFE time --model "$name.prototxt" --weights "$name.caffemodel" --forward_only
}
