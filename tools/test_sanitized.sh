#!/usr/bin/env bash
# Build the core with AddressSanitizer and UBSan, in build/sanitized, and run tests against it.
# Takes the Python to build for, then what to give pytest; the kernels and layers by default.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$1")
shift
folder=$PWD/build/sanitized
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
[ $# -gt 0 ] || set -- tests/kernels tests/layer_types

SSCAFFE_SANITIZE=1 SSCAFFE_BUILD_JOBS=${SSCAFFE_BUILD_JOBS:-2} "$python" setup.py --quiet \
    build_ext --build-lib "$folder" --build-temp "$folder/objects"
core=$(echo "$folder"/sscaffe/_core.*.so)

# The Python files beside that core; the core in the tree stays as it is.
tar --create --exclude='_core.*.so' --exclude=__pycache__ sscaffe tests pyproject.toml |
    tar --extract --directory "$folder"

cd "$folder"
# Python itself leaks what it keeps to the end. What the sanitizers find ends the run.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)"
export PYTHONPATH=$folder OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} PYTHONDONTWRITEBYTECODE=1
echo "testing $core"
exec "$python" -X faulthandler -m pytest -p no:cacheprovider "$@"
