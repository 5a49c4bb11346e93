"""Image files to an LMDB, with the keys and records that Caffe's convert_imageset writes."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sscaffe.data.datum import Array, array_to_datum
from sscaffe.data.image_list import Entry, shuffle
from sscaffe.data.images import decode_file, encode_image, image_format, read_file, resize
from sscaffe.data.lmdb_writer import LmdbWriter
from sscaffe.errors import DataError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

LONGEST_KEY = 511  # bytes that LMDB takes

_REPORT_EVERY = 1000
_AHEAD = 64  # images decoded at once

_SAME = {"jpeg": "jpg"}  # names of one kind of file


@dataclass(frozen=True)
class Conversion:
    """How images are stored.

    Attributes
    ----------
    gray : bool
        Store one channel; three otherwise.
    size : (int, int), optional
        Height and width to resize to; by default as they are.
    encoded : bool
        Store image files, not pixels. A file that is already as it should be is stored as it is.
    encode_type : str
        The kind of file, such as ``png`` or ``jpg``; that of each image's name if empty.
    check_size : bool
        Refuse an image that has another shape than the first.
    skip_unreadable : bool
        Leave out images that cannot be read, as Caffe does; they are an error otherwise.
    """

    gray: bool = False
    size: tuple[int, int] | None = None
    encoded: bool = False
    encode_type: str = ""
    check_size: bool = False
    skip_unreadable: bool = False


@dataclass(frozen=True)
class Converted:
    """What became of a list of images."""

    count: int
    skipped: list[str]
    shapes: set[tuple[int, ...]]


def shuffled(entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return the entries in the order that Caffe shuffles them to with a seed."""
    order = list(range(len(entries)))
    shuffle(order, RandomNumbers(seed))
    return [entries[place] for place in order]


def convert_images(
    entries: Sequence[Entry],
    folder: str,
    target: str | os.PathLike[str],
    conversion: Conversion,
    progress: Callable[[int], None] | None = None,
) -> Converted:
    """Write image files and their labels to a new LMDB, whole or not at all.

    Parameters
    ----------
    entries : sequence of Entry
        What `read_image_list` returns.
    folder : str
        Put before each name as it is.
    target : path-like
        The folder of the database; an LMDB that is there is replaced.
    conversion : Conversion
        How they are stored.
    progress : callable, optional
        Called with the number of images done.

    Raises
    ------
    DataError
        If an image cannot be read or stored, or the database cannot be written.
    UnsupportedError
        If Pillow or lmdb is not installed.
    """
    _check(entries, conversion)
    count, skipped, shapes = 0, [], set[tuple[int, ...]]()
    with LmdbWriter(target) as writer:
        for place, made in enumerate(_make_all(entries, folder, conversion)):
            name = entries[place].name
            if isinstance(made, DataError):
                logger.error("%s", made)
                skipped.append(name)
                continue
            datum, shape = made
            shapes.add(shape)
            if conversion.check_size and len(shapes) > 1:
                first = next(iter(shapes - {shape}))
                raise DataError(
                    f"check_size: expected images of shape {first} as the first, got {shape} "
                    f"in {folder + name}; resize with resize_height and resize_width"
                )
            writer.put(_key(place, name), datum.SerializeToString())
            count += 1
            if progress:
                progress(place + 1)
            if count % _REPORT_EVERY == 0:
                logger.info("Processed %d files.", count)
        if not count:
            raise DataError(f"{target}: expected images to store, got none that can be read")
    if count % _REPORT_EVERY:
        logger.info("Processed %d files.", count)
    return Converted(count, skipped, shapes)


def _check(entries: Sequence[Entry], conversion: Conversion) -> None:
    """Refuse at once what would be refused on the way."""
    if conversion.encoded:
        for kind in {conversion.encode_type} if conversion.encode_type else _kinds(entries):
            image_format(kind)
    for place, entry in enumerate(entries):
        size = len(_key(place, entry.name))
        if size > LONGEST_KEY:
            raise DataError(
                f"key: expected at most {LONGEST_KEY} bytes, got {size}; use a shorter name than "
                f"{entry.name[:60]}..."
            )


def _kinds(entries: Sequence[Entry]) -> set[str]:
    return {_extension(entry.name) for entry in entries}


def _extension(name: str) -> str:
    extension = Path(name).suffix.removeprefix(".").lower()
    if not extension:
        raise DataError(
            f"encode_type: expected a name that ends in .jpg, .png or the like, got {name}; "
            "say which kind of file to store with encode_type"
        )
    return _SAME.get(extension, extension)


def _key(place: int, name: str) -> bytes:
    return os.fsencode(f"{place:08d}_{name}")


_Made = tuple[caffe_pb2.Datum, tuple[int, ...]] | DataError


def _make_all(entries: Sequence[Entry], folder: str, conversion: Conversion) -> Iterator[_Made]:
    def make(entry: Entry) -> _Made:
        try:
            return _make(entry, folder, conversion)
        except DataError as error:
            if conversion.skip_unreadable:
                return error
            raise

    # Pillow and NumPy let other threads run while they work.
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, len(entries), _AHEAD):
            yield from pool.map(make, entries[start : start + _AHEAD])


def _make(
    entry: Entry, folder: str, conversion: Conversion
) -> tuple[caffe_pb2.Datum, tuple[int, ...]]:
    path = Path(folder + entry.name)
    content, channels = read_file(path), 1 if conversion.gray else 3
    if not conversion.encoded:
        image = _resized(decode_file(path, content, channels), conversion)
        return array_to_datum(image, entry.label), image.shape
    kind = _SAME.get(conversion.encode_type.lower(), conversion.encode_type.lower())
    own_kind = Path(entry.name).suffix.removeprefix(".").lower()
    own_kind = _SAME.get(own_kind, own_kind)
    image = decode_file(path, content)
    stays = len(image) == channels and not conversion.size and kind in ("", own_kind)
    if not stays:
        image = _resized(decode_file(path, content, channels), conversion)
        content = encode_image(image, kind or own_kind)
    return caffe_pb2.Datum(data=content, label=entry.label, encoded=True), image.shape


def _resized(image: Array, conversion: Conversion) -> Array:
    return image if conversion.size is None else resize(image, *conversion.size)
