"""Compare sscaffe's io, net_spec, coord_map, Classifier and Detector with those of pycaffe 1.0.

python tools/compare_pycaffe.py --caffe-python PYTHON --models FOLDER

PYTHON is an interpreter that has BVLC Caffe: see tools/bench/README.md; FOLDER has a CIFAR-10
net, cifar10_bxuan/cifar10_quick.prototxt and its weights. Numbers must agree to 1e-5 of the largest
(or 1), texts exactly. The exit status is 1 if anything differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from sscaffe.prototxt import parse_net

MODES = {"rgb": "RGB", "gray": "L", "alpha": "RGBA", "one_bit": "1"}


def prepare(models, folder):
    """Write images, and copy the model."""
    rng = np.random.default_rng(1)
    Path(folder, "images").mkdir()
    pixels = rng.integers(0, 256, (48, 50, 4)).astype(np.uint8)
    for name, mode in MODES.items():
        Image.fromarray(pixels).convert(mode).save(Path(folder, "images", f"{name}.png"))
    Image.fromarray(pixels[:, :, :3]).save(Path(folder, "images", "rgb.jpg"))
    Image.fromarray(pixels[:, :, 0] * np.uint16(251)).save(Path(folder, "images", "deep.png"))
    found = Path(models, "cifar10_bxuan")
    shutil.copy(found / "cifar10_quick.prototxt", Path(folder, "net.prototxt"))
    shutil.copy(found / "cifar10_quick_iter_4000.caffemodel", Path(folder, "net.caffemodel"))


def differences(theirs, ours):
    """Return the names of what differs, and the largest difference by kind."""
    bad, worst = [f"{name} is missing" for name in theirs if name not in ours], Counter()
    for name in set(theirs) & set(ours):
        one, two = theirs[name], ours[name]
        kind = name.split(" ")[0]
        if kind in ("net", "unnamed"):
            # The fields are in another order in our schema.
            nets = [parse_net(side.tobytes().decode()) for side in (one, two)]
            worst[kind] += nets[0] != nets[1]
            bad += [f"{name} differs"] * (nets[0] != nets[1])
            continue
        if one.tobytes() == b"other":
            continue  # pycaffe ends in an error of Python's own.
        if one.shape != two.shape:
            bad.append(f"{name}: shapes {one.shape} and {two.shape}")
            continue
        far = np.abs(one.astype(float) - two.astype(float)).max(initial=0)
        far /= max(1, np.abs(one.astype(float)).max(initial=0))
        worst[kind] = max(worst[kind], far)
        if not far <= (0 if one.dtype == np.uint8 and kind != "datum" else 1e-5):
            bad.append(f"{name}: {far:.2g}")
    return bad, worst


def main():
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--caffe-python", required=True, help="an interpreter with BVLC Caffe")
    parser.add_argument("--models", required=True, help="a folder with published models")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(args.models, folder)
        tools = Path(__file__).parent
        for python, side in ((args.caffe_python, "THEIRS"), (sys.executable, "OURS")):
            path = str(tools) if side == "THEIRS" else f"{tools}:{tools.parent}"
            command = [python, "-m", "compare.pycaffe_io", folder, side]
            subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path})
        for end in ("", "_smooth"):
            sides = [dict(np.load(Path(folder, f"{s}{end}.npz"))) for s in ("theirs", "ours")]
            bad, worst = differences(*sides)
            counts = Counter(name.split(" ")[0] for name in sides[0])
            for kind, far in sorted(worst.items()):
                print(f"{kind + end:<24}{counts[kind]:>6}{far:>12.2g}")
            print(*bad, sep="\n", end="\n" * bool(bad))
            failed += len(bad)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
