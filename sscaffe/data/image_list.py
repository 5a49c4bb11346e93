"""ImageListSource: the image files of a list, over and over, in order or shuffled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sscaffe.data.images import read_image
from sscaffe.errors import DataError
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]


class Entry(NamedTuple):
    """A line of the list."""

    name: str
    label: int


class ImageListSource:
    """The images of a list, with their labels.

    Parameters
    ----------
    entries : sequence of Entry
        What `read_image_list` returns.
    folder : str
        Put before each name as it is; `root` is where the path starts that this makes.
    root : str
        The working directory by default.
    channels : int
        1 for gray, 3 for colour.
    size : (int, int), optional
        Height and width that images are resized to.
    seed : int, optional
        Shuffle before each epoch, with the random numbers of this seed, as Caffe does.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        folder: str = "",
        root: str = "",
        channels: int = 3,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
    ) -> None:
        self._entries, self._folder, self._root = entries, folder, root
        self._channels, self._size = channels, size
        self._start(seed)

    @property
    def first(self) -> Array:
        """The next image, (C, H, W)."""
        return self._read(self._order[self._position])

    @property
    def record_count(self) -> int:
        """How many images there are."""
        return len(self._entries)

    def load(self) -> bool:
        """Tell that the images stay in their files."""
        return False

    def read(self, count: int) -> tuple[list[Array], Array]:
        """Return the next images and labels.

        Raises
        ------
        DataError
            If one cannot be read.
        """
        images, labels = [], np.empty(count, np.int32)
        for i in range(count):
            place = self._order[self._position]
            images.append(self._read(place))
            labels[i] = self._entries[place].label
            self._position += 1
            if self._position == len(self._entries):
                self._next_epoch()
        return images, labels

    def begin_at(self, record: int) -> None:
        """Begin with an image of the first epoch, counted over and over."""
        self._position = record % len(self._entries)

    def skip(self, count: int) -> None:
        """Leave out the next images."""
        epochs, position = divmod(self._position + count, len(self._entries))
        for _ in range(epochs):
            self._next_epoch()
        self._position = position

    def state(self) -> dict[str, Any]:
        """Return the place of the next image, to be given to `restore`; JSON can hold it."""
        state: dict[str, Any] = {"record": self._position}
        if self._seed is not None:
            state |= {"epoch": self._epoch, "seed": self._seed}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned.

        Raises
        ------
        DataError
            If the list has no such place.
        """
        record = int(state["record"])
        if not 0 <= record < len(self._entries):
            raise DataError(
                f"source: expected a place among the {len(self._entries)} images, got {record}; "
                "the list is not the one that was trained on"
            )
        if self._seed is not None:
            self._start(int(state.get("seed", self._seed)))
            for _ in range(int(state.get("epoch", 0))):
                self._next_epoch()
        self._position = record

    def close(self) -> None:
        """Let go of nothing: files are open only while they are read."""

    def _start(self, seed: int | None) -> None:
        self._seed, self._epoch, self._position = seed, 0, 0
        self._order = list(range(len(self._entries)))
        self._rng = None if seed is None else RandomNumbers(seed)
        self._shuffle()

    def _next_epoch(self) -> None:
        self._epoch += 1
        self._position = 0
        self._shuffle()

    def _shuffle(self) -> None:
        if self._rng is not None:
            shuffle(self._order, self._rng)

    def _read(self, place: int) -> Array:
        path = Path(self._root, self._folder + self._entries[place].name)
        return read_image(path, self._channels, self._size)


def read_image_list(path: Path) -> list[Entry]:
    """Read a list of image files: a line each, the name, a space and the label.

    Raises
    ------
    DataError
        If the list cannot be read, is empty, or a line has no label.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"source: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"source: expected a text file that lists images, got {path}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # A name may have spaces in it; the label is what follows the last one.
        name, _, label = line.rstrip().rpartition(" ")
        try:
            entries.append(Entry(name, int(label)))
        except ValueError:
            name = ""
        if not name:
            raise DataError(
                f"source: expected a file name, a space and a label in line {number} of {path}, "
                f"got {line!r}"
            )
    if not entries:
        raise DataError(f"source: expected a list of images, got an empty {path}")
    return entries


def shuffle(items: list[int], rng: RandomNumbers) -> None:
    """Shuffle a list in place, to the order that Caffe gives it with these random numbers."""
    draws: list[int] = []
    for last in range(len(items) - 1, 0, -1):
        # A draw falls into one of last + 1 buckets of one size; what is left over is drawn again.
        bucket = 2**32 // (last + 1)
        other = last + 1
        while other > last:
            # Never more than are needed at least, so that the stream goes on as Caffe's does.
            draws = draws or rng.raw(last)[::-1].tolist()
            other = draws.pop() // bucket
        items[last], items[other] = items[other], items[last]
