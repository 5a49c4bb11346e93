"""Malformed files, and for each the command that must refuse it."""

from pathlib import Path

from tests.hostile import arrays, databases, models, onnx_files, prototxts
from tests.hostile.cases import Case

KINDS = {
    "prototxt": (120, prototxts.cases),
    "caffemodel": (120, models.model_cases),
    "solverstate": (40, models.state_cases),
    "lmdb": (30, databases.lmdb_cases),
    "hdf5": (40, databases.hdf5_cases),
    "npz": (20, arrays.npz_cases),
    "image": (10, databases.image_cases),
    "onnx": (20, onnx_files.onnx_cases),
}


def generate(kind: str, folder: Path) -> list[Case]:
    """Write the files of one kind to a folder."""
    count, make = KINDS[kind]
    cases = list(make(count))
    for case in cases:
        for name, content in case.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    return cases
