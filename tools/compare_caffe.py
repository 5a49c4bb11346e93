"""Compare sscaffe with BVLC Caffe 1.0 on nets that mix layer types, and on training.

python tools/compare_caffe.py --caffe-python PYTHON [--nets residual ...]
    [--skip nets sparse files training]

PYTHON is an interpreter that has BVLC Caffe: see tools/bench/README.md. All blobs must agree, and
all gradients, to 1e-4 of the number and of the largest one (or 1); in training, losses and weights
to 0.2 %, with Adam to 2 %. The exit status is 1 if anything differs.
"""

import argparse
import tempfile

from compare import checks, training
from compare.nets import NETS


def main():
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--caffe-python", required=True, help="an interpreter with BVLC Caffe")
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    parts = {"nets": checks.nets, "sparse": checks.sparse, "files": checks.files}
    parts["training"] = training.check
    parser.add_argument("--skip", nargs="*", default=[], choices=list(parts))
    args = parser.parse_args()
    failed = 0
    print(f"{'what':<58}{'arrays':>7}{'worst':>10}  at")
    for name, check in parts.items():
        if name in args.skip:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in check(args.caffe_python, args.nets, folder):
                print(row, flush=True)
                failed += not row.is_good
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
