"""Read every prototxt below folders, such as checkouts of Caffe and its forks, and count.

python tools/check_prototxts.py [--build] [--at-least PERCENT] FOLDER...

A file is parsed if it is read as a net or solver of any year, and upgraded. Label maps, whose first
field is `item`, are left out. With --build, nets are built in TRAIN and in TEST: with random images
where data is not here, one a batch. The exit status is 1 if less than PERCENT are parsed (98).
"""

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

from sscaffe import TEST, TRAIN, Net
from sscaffe.cli.upgrade import Kind, kind_of
from sscaffe.errors import DataError, SscaffeError
from sscaffe.prototxt import read_net, read_solver
from sscaffe.timing import stand_in_for_missing_data

LABEL_MAP = re.compile(rb"\s*(#.*\s+)*item\s*[:{]")
NAMES = ("files", "label maps", "parsed", "solver", "net", "TRAIN", "TEST")
ROW = "{:>6} {:>10} {:>6} {:>7} {:>6} {:>6} {:>6}  {}"
BATCHES = ("data_param", "image_data_param", "window_data_param", "hdf5_data_param")


def reason_of(error, path):
    """Say why in one line; of the place, only where in the file it is."""
    words = " ".join([str(error), *getattr(error, "__notes__", [])[:1]]).split()
    return " ".join(words).replace(f"{path}: ", "").replace(f"{path}:", "line ")


def build(net, phase):
    """Build a net with images of the shape that its layers tell, or of MNIST, its pairs, CIFAR."""
    failure = None
    crop = max((layer.transform_param.crop_size for layer in net.layer), default=0) or 32
    for shape in (None, (3, crop, crop), (1, 28, 28), (2, 28, 28)):
        try:
            Net(stand_in_for_missing_data(net, shape), phase)
        except SscaffeError as error:
            failure = error if failure is None or isinstance(failure, DataError) else failure
        else:
            return
    raise failure


def check(path, counts, refusals, to_build):
    """Read one file, count it, and keep the reason of a refusal."""
    counts["files"] += 1
    if LABEL_MAP.match(path.read_bytes()):
        counts["label maps"] += 1
        return
    try:
        kind = kind_of(str(path))
        message = (read_solver if kind is Kind.SOLVER else read_net)(path)
    except SscaffeError as error:
        refusals[f"not parsed: {reason_of(error, path)}"].append(path)
        return
    counts["parsed"] += 1
    counts[kind] += 1
    if not to_build or kind is Kind.SOLVER:
        return
    for layer in message.layer:
        for name in BATCHES:
            if layer.HasField(name):
                getattr(layer, name).batch_size = 1
    for phase, name in ((TRAIN, "TRAIN"), (TEST, "TEST")):
        try:
            build(message, phase)
            counts[name] += 1
        except SscaffeError as error:
            refusals[f"not built in {name}: {reason_of(error, path)}"].append(path)


def main():
    """Check the folders and print a table, and the refusals by reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--build", action="store_true", help="Build the nets as well.")
    parser.add_argument("--at-least", type=float, default=98, metavar="PERCENT")
    args = parser.parse_args()
    refusals, total = defaultdict(list), defaultdict(int)
    print(ROW.format(*NAMES, "folder"))
    for folder in args.folders:
        counts = defaultdict(int)
        for path in sorted(folder.rglob("*.prototxt")):
            check(path, counts, refusals, args.build)
        print(ROW.format(*(counts[name] for name in NAMES), folder))
        for name in NAMES:
            total[name] += counts[name]
    for reason, paths in sorted(refusals.items(), key=lambda item: -len(item[1])):
        print(f"{len(paths)} x {reason}\n    {paths[0]}")
    percent = 100 * total["parsed"] / max(1, total["files"] - total["label maps"])
    print(f"{percent:.1f} % parsed")
    return percent < args.at_least


if __name__ == "__main__":
    sys.exit(main())
