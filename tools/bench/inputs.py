"""The same images and labels in every process."""

from pathlib import Path

import numpy as np

from bench.nets import NETS


def image_batch(spec):
    """Return random images."""
    shape = (spec["batch"], *NETS[spec["net"]]().shapes["data"])
    return np.random.default_rng(2).standard_normal(shape, dtype=np.float32)


def label_batch(spec):
    """Return random labels."""
    return np.random.default_rng(3).integers(0, 10, spec["batch"])


def output_path(spec):
    """Return where a contestant leaves what it computed, for comparison."""
    return Path(spec["folder"], f"{spec['contestant']}_{spec['batch']}.npy")


def save_output(spec, output):
    """Leave what the net computed."""
    np.save(output_path(spec), output)
