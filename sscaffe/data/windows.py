"""WindowReader: windows cut out of images, objects and background in a fixed mixture."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sscaffe.data.images import read_image, resize
from sscaffe.data.prefetch import Batch
from sscaffe.errors import DataError
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]


class Window(NamedTuple):
    """A part of an image; x2 and y2 belong to it."""

    image: int
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class WindowFile:
    """What a list of windows holds."""

    images: list[str]
    windows: list[Window]
    channels: int


@dataclass(frozen=True)
class Cutting:
    """How a window becomes an input."""

    size: int  # height and width of the input
    context: int = 0  # border around the window, in pixels of the input
    square: bool = False  # take the smallest square around the window
    scale: float = 1
    mean: Array | None = None  # (C, H, W), or (C, 1, 1)

    def cut(self, image: Array, window: Window, mirror: bool) -> Array:
        """Return the input that a window of an image becomes, float32 (C, size, size)."""
        box = np.array([window.y1, window.x1, window.y2, window.x2])
        if (box[:2] > box[2:]).any() or (box < 0).any() or (box[2:] >= image.shape[1:]).any():
            raise DataError(
                f"source: expected a window inside the image of {image.shape[1:]}, got rows "
                f"{window.y1} to {window.y2} and columns {window.x1} to {window.x2}"
            )
        (top, left), (height, width), box = self._place(box, np.array(image.shape[1:]), mirror)
        y1, x1, y2, x2 = box
        pixels = resize(image[:, y1 : y2 + 1, x1 : x2 + 1], height, width)
        if mirror:
            pixels = pixels[:, :, ::-1]
        out = np.zeros((len(image), self.size, self.size), np.float32)
        part = (slice(None), slice(top, top + height), slice(left, left + width))
        values = pixels.astype(np.float32)
        if self.mean is not None:
            values -= self._mean(part)
        out[part] = values * np.float32(self.scale)
        return out

    def _mean(self, part: tuple[slice, ...]) -> Array:
        mean = self.mean
        assert mean is not None
        if mean.shape[1:] == (1, 1):
            return mean
        spare = (mean.shape[2] - self.size) // 2
        middle: Array = mean[:, spare : spare + self.size, spare : spare + self.size]
        return middle[part]

    def _place(self, box: Array, image: Array, mirror: bool) -> tuple[Array, Array, Array]:
        """Return where in the input a window goes, how large it is there, and what of it there is.

        What of the window with its context is outside of the image stays zero.
        """
        if not self.context and not self.square:
            return np.zeros(2, int), np.full(2, self.size), box
        grow = np.float32(self.size) / np.float32(self.size - 2 * self.context)
        # In float32 as in Caffe, so that halves are rounded the same way.
        half = ((box[2:] - box[:2] + 1) / 2).astype(np.float32)
        centre = box[:2].astype(np.float32) + half
        if self.square:
            half = np.full(2, half.max(), np.float32)
        first, last = _round(centre - half * grow), _round(centre + half * grow)
        whole = last - first + 1
        before, after = np.maximum(0, -first), np.maximum(0, last - image + 1)
        first, last = first + before, last - after
        factor = np.float32(self.size) / whole.astype(np.float32)
        size = _round((last - first + 1).astype(np.float32) * factor)
        place = _round(before.astype(np.float32) * factor)
        if mirror:
            place[1] = _round(after.astype(np.float32) * factor)[1]
        return place, np.minimum(size, self.size - place), np.concatenate([first, last])


class WindowReader:
    """Batches of windows: so many objects, the rest background, each drawn at random.

    Parameters
    ----------
    file : WindowFile
        Where the windows are.
    cutting : Cutting
        What becomes of them.
    batch_size : int
        Windows in a batch.
    foreground, background : list of Window
        To draw from.
    objects : int
        How many of a batch are drawn from `foreground`.
    mirror : bool
        Mirror each with a chance of one half.
    folder : str
        Put before each name as it is; `root` is where the path starts that this makes.
    root : str
        The working directory by default.
    keep : bool
        Keep the images that were read.
    rng : RandomNumbers
        What to draw with.
    """

    def __init__(
        self,
        file: WindowFile,
        cutting: Cutting,
        batch_size: int,
        *,
        foreground: list[Window],
        background: list[Window],
        objects: int,
        mirror: bool,
        folder: str,
        root: str,
        keep: bool,
        rng: RandomNumbers,
    ) -> None:
        self._file, self._cutting, self._rng = file, cutting, rng
        self._folder, self._root = folder, root
        self._batch_size, self._mirror = batch_size, mirror
        self._groups = [(batch_size - objects, background), (objects, foreground)]
        self._kept: dict[int, Array] | None = {} if keep else None
        self._rank, self._ranks = 0, 1

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number; the others are only drawn."""
        self._rank, self._ranks = rank, size

    def load(self) -> bool:
        """Tell that the images stay in their files."""
        return False

    def fill(self, batch: Batch) -> None:
        """Cut the windows of a batch, and set its state.

        Raises
        ------
        DataError
            If an image cannot be read, or a window is not inside its image.
        """
        self.read(batch)
        batch.state = self.state()

    def read(self, batch: Batch) -> None:
        """Do as `fill`, but set no state."""
        size = self._cutting.size
        images = np.empty((self._batch_size, self._file.channels, size, size), np.float32)
        labels = np.empty(self._batch_size, np.float32)
        drawn = [list(self._draw()) for _ in range(self._ranks)]
        for i, (window, mirror) in enumerate(drawn[self._rank]):
            images[i] = self._cutting.cut(self._image(window.image), window, mirror)
            labels[i] = window.label
        batch.images, batch.labels = images, labels

    def shape_of(self, batch: Batch) -> tuple[int, ...]:
        """Return the shape (N, C, size, size) of a batch."""
        return np.shape(batch.images)

    def transform(self, batch: Batch, out: Array) -> None:
        """Copy a batch, which was transformed when it was cut."""
        out[...] = batch.images

    def state(self) -> dict[str, Any]:
        """Return the place of the next batch; JSON can hold it."""
        return {"random": base64.b64encode(self._rng.get_state()).decode()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned."""
        self._rng.set_state(base64.b64decode(state["random"]))

    def close(self) -> None:
        """Let go of the images that were kept."""
        self._kept = None

    def _draw(self) -> Iterator[tuple[Window, bool]]:
        for count, windows in self._groups:
            for _ in range(count):
                window = windows[int(self._rng.raw(1)[0]) % len(windows)]
                yield window, self._mirror and bool(self._rng.raw(1)[0] % 2)

    def _image(self, number: int) -> Array:
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        path = Path(self._root, self._folder + self._file.images[number])
        image = read_image(path, 3 if self._file.channels == 3 else 1)
        if self._kept is not None:
            self._kept[number] = image
        return image


def read_window_file(path: Path) -> WindowFile:
    """Read a list of windows.

    Of each image it has ``# number``, the file's name, channels, height, width, how many windows
    there are, and for each of them class, overlap with an object, x1, y1, x2 and y2.

    Raises
    ------
    DataError
        If the list cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"source: {path} cannot be read: {error}") from error
    words = iter(text.split())
    images: list[str] = []
    windows: list[Window] = []
    channels = 0
    try:
        for word in words:
            if word != "#":
                raise ValueError(f"expected '#', got {word!r}")
            next(words)
            images.append(next(words))
            channels = int(next(words))
            next(words), next(words)
            for _ in range(int(next(words))):
                label, overlap, *box = [next(words) for _ in range(6)]
                windows.append(Window(len(images) - 1, int(label), float(overlap), *map(int, box)))
    except (ValueError, TypeError, StopIteration) as error:
        raise DataError(
            f"source: {path} is no list of windows, from image {max(len(images) - 1, 0)} on: "
            f"{str(error) or 'it ends too soon'}"
        ) from error
    if not images:
        raise DataError(f"source: expected a list of windows, got an empty {path}")
    return WindowFile(images, windows, channels)


def _round(values: Array) -> Array:
    """Round halves away from 0, as C does."""
    return np.asarray(np.trunc(values + np.copysign(np.float32(0.5), values)), int)
