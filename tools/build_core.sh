#!/usr/bin/env bash
# Compile the C++ core in place, one build at a time; takes the Python to build for.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
exec 9>build/lock
flock 9
SSCAFFE_BUILD_JOBS=${SSCAFFE_BUILD_JOBS:-2} "$1" setup.py --quiet build_ext --inplace
