"""20 npz files that are damaged, or made to do harm."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.hostile.cases import Case


class Evil:
    """Makes a folder where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def npy(header: str, content: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + text + content


def described(shape: str, descr: str = "<f4") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


def npz(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def npz_files() -> Iterator[bytes]:
    array = io.BytesIO()
    np.save(array, np.ones((3, 4), np.float32))
    good = npz(("ip1/0.npy", array.getvalue()))
    yield b""
    yield b"not a zip file"
    for keep in (10, len(good) // 2, len(good) - 1, len(good) - 30):
        yield good[:keep]
    yield npz()
    yield npz(("ip1/0.npy", npy(described("(2,)", "|O"), pickle.dumps([Evil(), Evil()]))))
    yield npz(("ip1/0.npy", pickle.dumps(Evil())))
    yield npz(("ip1/0.npy", npy(described("(1000000, 1000000)"))))
    yield npz(("ip1/0.npy", npy(described("(4294967296, 4294967296)"))))
    yield npz(("ip1/0.npy", npy(described("(-3, 4)"), bytes(48))))
    yield npz(("ip1/0.npy", npy(described("(3, 4)"), bytes(47))))
    yield npz(("ip1/0.npy", npy(described("(3, 4)", "<U4"), bytes(192))))
    yield npz(("ip1/0.npy", npy("{" * 60_000)))
    yield npz(("ip1/0.npy", npy(described("(3, 4)"), length=65_535)))
    yield npz(("ip1/0.npy", npy("__import__('os').mkdir('unpickled')\n")))
    yield npz(("ip1/0.npy", npy(described("(250000000,)"), bytes(10**8))))  # a bomb, cut short
    yield npz(("../../ip1.npy", array.getvalue()))
    yield npz(("ip1/0.npy", b""))


def npz_cases(count: int) -> Iterator[Case]:
    for i, content in zip(range(count), npz_files(), strict=False):
        name = f"arrays_{i:02}.npz"
        yield Case(name, {name: content}, f"convert {name} arrays_{i:02}.caffemodel")
