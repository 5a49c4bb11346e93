"""30 LMDBs, 40 HDF5 files and 10 images that are damaged, or made to do harm."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import lmdb
import numpy as np

from sscaffe.proto import caffe_pb2
from tests.hostile.cases import DEPLOY, SHAPES, Case

PAGE = 4096
ROWS = (
    'layer { name: "rows" type: "HDF5Data" top: "x" '
    'hdf5_data_param { source: "%s" batch_size: 1 } }'
)
RECORDS = (
    'layer { name: "data" type: "Data" top: "x" '
    'data_param { source: "%s" backend: LMDB batch_size: 2 } }'
)
LIST = (
    'layer { name: "data" type: "ImageData" top: "x" top: "y" '
    'image_data_param { source: "%s" batch_size: 1 new_height: 4 new_width: 4 } }'
)


def lmdb_of(records: dict[bytes, bytes]) -> bytes:
    """Return the data.mdb of a database."""
    with TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=2**24) as database, database.begin(write=True) as batch:
            for key, value in records.items():
                batch.put(key, value)
        return Path(folder, "data.mdb").read_bytes()


def datum(**fields: Any) -> bytes:
    return caffe_pb2.Datum(**fields).SerializeToString()


GOOD = datum(channels=1, height=4, width=4, data=bytes(16))


def bad_records() -> Iterator[bytes]:
    """Yield records that are no image."""
    yield b""
    yield b"\xff" * 30
    yield datum(channels=1, height=4, width=4, data=bytes(15))
    yield datum(channels=-1, height=4, width=4, data=bytes(16))
    yield datum(channels=2**31 - 1, height=2**31 - 1, width=2**31 - 1, data=bytes(16))
    yield datum(channels=0, height=4, width=4)
    yield datum(encoded=True, data=b"not an image")
    yield datum(encoded=True, data=png(60_000, 60_000))
    yield GOOD[:-1]


def databases() -> Iterator[bytes]:
    """Yield files data.mdb."""
    good = lmdb_of({b"%08d" % i: GOOD for i in range(500)})
    for keep in (0, 1, 15, 16, 100, 4095, 4096, 4097, 8191, 8192, 8193, len(good) // 2):
        yield good[:keep]
    yield good[: len(good) - PAGE]
    for place, value in ((16, 0), (20, 9), (40, 2**32 - 1), (40, 1)):  # magic, version, page size
        for_both = bytearray(good)
        for meta in (0, PAGE):
            for_both[meta + place : meta + place + 4] = struct.pack("<I", value)
        yield bytes(for_both)
    yield b"not a database" * 1000
    yield lmdb_of({})
    yield bytes(len(good))
    yield DEPLOY.encode()
    for record in bad_records():
        yield lmdb_of({b"0": record, b"1": GOOD})


def lmdb_cases(count: int) -> Iterator[Case]:
    for i, content in zip(range(count), databases(), strict=False):
        name = f"records_{i:03}"
        files = {f"{name}/data.mdb": content, f"{name}.prototxt": (RECORDS % name).encode()}
        yield Case(name, files, f"time -model {name}.prototxt -iterations 1")


def hdf5_of(write: Callable[[Any], None]) -> bytes:
    """Return an HDF5 file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "file.h5")
        with h5py.File(path, "w") as file:
            write(file)
        return path.read_bytes()


def values_of(sizes: tuple[int, ...]) -> Any:
    return np.full(sizes, 0.5, np.float32)


def good_weights(file: Any) -> None:
    for name, shapes in SHAPES.items():
        for i, sizes in enumerate(shapes):
            file[f"data/{name}/{i}"] = values_of(sizes)


def replaced(make: Callable[[Any, str], None], place: str = "data/conv1/0") -> bytes:
    """Return weights in which `make` puts something in the place of an array."""

    def write(file: Any) -> None:
        good_weights(file)
        del file[place]
        make(file, place)

    return hdf5_of(write)


def virtual(file: Any, place: str) -> None:
    layout = h5py.VirtualLayout((4, 4, 3, 3), "f4")
    layout[...] = h5py.VirtualSource("other.h5", "x", shape=(4, 4, 3, 3))
    file.create_virtual_dataset(place, layout)


def external(file: Any, place: str) -> None:
    file.create_dataset(place, (4, 4, 3, 3), "f4", external=[("other.bin", 0, 576)])


def bomb(sizes: tuple[int, ...]) -> Callable[[Any, str], None]:
    def make(file: Any, place: str) -> None:
        file.create_dataset(place, sizes, "f4", chunks=True, compression="gzip")

    return make


def put(value: Any) -> Callable[[Any, str], None]:
    def make(file: Any, place: str) -> None:
        file[place] = value

    return make


def bad_arrays() -> Iterator[Callable[[Any, str], None]]:
    """Yield what puts something that is no array of that shape in its place."""
    yield put(h5py.ExternalLink("other.h5", "x"))
    yield put(h5py.ExternalLink("/etc/passwd", "x"))
    yield put(h5py.SoftLink("/data/ip1/0"))
    yield put(h5py.SoftLink("/data/conv1/0"))  # to itself
    yield put(h5py.SoftLink("/data/conv1"))
    yield virtual
    yield external
    for sizes in ((2**31, 2**31), (2**20, 2**20), (4, 4, 2**30, 3), (0,), (4, 4, 9), (144,)):
        yield bomb(sizes)
    yield put(np.array(["text"] * 144, "S4").reshape(4, 4, 3, 3))
    yield put(np.zeros((4, 4, 3, 3), np.complex64))
    yield put(np.full((4, 4, 3, 3), np.nan, np.float32))
    yield put(np.full((4, 4, 3, 3), np.inf, np.float32))
    yield put(np.zeros((4, 4, 3, 3), [("a", "f4"), ("b", "f4")]))
    yield put(h5py.Empty("f4"))
    yield lambda file, place: file.create_group(place) and None


def weights_files(count: int) -> Iterator[bytes]:
    good = hdf5_of(good_weights)
    yield from map(replaced, bad_arrays())
    yield hdf5_of(lambda file: None)
    yield hdf5_of(lambda file: file.create_dataset("data", data=[1.0]) and None)
    yield hdf5_of(lambda file: file.__setitem__("data", h5py.SoftLink("/")))
    for i in range(count):
        # Less of it than what HDF5 itself checks the length of a file by.
        yield good[: max(9, len(good) * i // count - 1)]


def hdf5_cases(count: int) -> Iterator[Case]:
    for i, content in zip(range(count - 8), weights_files(count), strict=False):
        name = f"weights_{i:03}.caffemodel.h5"
        other = hdf5_of(put_x)
        files = {
            name: content,
            "deploy.prototxt": DEPLOY.encode(),
            "other.h5": other,
            "other.bin": bytes(576),
        }
        yield Case(name, files, f"time -model deploy.prototxt -weights {name} -iterations 1")
    rows = [put(h5py.ExternalLink("other.h5", "x")), put(h5py.SoftLink("/y")), virtual, external]
    rows += [bomb((2**31, 2**31)), bomb((2**24, 8)), put(1.0), put(np.zeros((0, 3), np.float32))]
    for i, make in enumerate(rows):
        name = f"rows_{i}"
        files = {
            f"{name}.h5": hdf5_of(lambda file, make=make: make(file, "x")),
            f"{name}.txt": f"{name}.h5\n".encode(),
            f"{name}.prototxt": (ROWS % f"{name}.txt").encode(),
        }
        yield Case(name, files, f"time -model {name}.prototxt -iterations 1")


def put_x(file: Any) -> None:
    file["x"] = values_of((4, 4, 3, 3))


def png(width: int, height: int, content: bytes = b"") -> bytes:
    """Return a PNG file that says how large it is, and has hardly a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(content)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def images() -> Iterator[bytes]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, "JPEG")
    jpeg = file.getvalue()
    yield b""
    yield b"not an image"
    yield png(60_000, 60_000)
    yield png(2**31 - 1, 2**31 - 1)
    yield png(0, 4)
    yield png(4, 4, b"\0" * 3)
    yield jpeg[:20]
    yield jpeg[: len(jpeg) // 2]
    yield b"GIF89a" + b"\xff" * 20
    yield b"BM" + b"\xff" * 60


def image_cases(count: int) -> Iterator[Case]:
    for i, content in zip(range(count), images(), strict=False):
        name = f"image_{i}.png"
        files = {
            name: content,
            f"{name}.txt": f"{name} 0\n".encode(),
            f"{name}.prototxt": (LIST % f"{name}.txt").encode(),
        }
        yield Case(name, files, f"time -model {name}.prototxt -iterations 1")
