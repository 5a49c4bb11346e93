#!/usr/bin/env bash
# Succeed if this machine's compiler makes programs with AddressSanitizer and UBSan that run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 'int main() { return 0; }' |
    g++ -x c++ -fsanitize=address,undefined -o "$folder/probe" - && "$folder/probe"
