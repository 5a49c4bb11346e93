"""WaitingFile: a file whose changes wait in memory until it is known that there is room for them.

HDF5's library crashes the process where a file that it writes cannot grow. This one always can.
"""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sscaffe.files import refusal

_PAGE = 1 << 16  # bytes that are read and written at once


class WaitingFile(io.RawIOBase):
    """A file in memory, read from a real one page by page as need be.

    Parameters
    ----------
    path : Path
        The real file, which is there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise refusal(path, error) from error
        self._before = self._size = os.fstat(self._descriptor).st_size
        self._pages: dict[int, bytearray] = {}
        self._place = 0

    def apply(self) -> None:
        """Write the changes to the real file; first what is new, then what replaces something.

        Raises
        ------
        FullError
            If there is no room for them; the real file is as it was.
        SscaffeError
            If they cannot be written for another reason.
        """
        try:
            self._reserve()
            for number in sorted(self._pages, reverse=True):
                self._write_page(number)
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            raise refusal(self._path, error, self._size) from error

    def _reserve(self) -> None:
        """Take the room on the disk that the file will need."""
        if self._size <= self._before:
            return
        try:
            os.posix_fallocate(self._descriptor, self._before, self._size - self._before)
        except OSError:
            os.ftruncate(self._descriptor, self._before)
            raise

    def _write_page(self, number: int) -> None:
        start = number * _PAGE
        rest = memoryview(self._pages[number])[: max(0, self._size - start)]
        while rest:
            written = os.pwrite(self._descriptor, rest, start)
            rest, start = rest[written:], start + written

    def _page(self, number: int) -> bytearray:
        if number not in self._pages:
            stored = os.pread(self._descriptor, _PAGE, number * _PAGE)
            self._pages[number] = bytearray(stored.ljust(_PAGE, b"\0"))
        return self._pages[number]

    def _parts(self, count: int) -> list[tuple[bytearray, slice, slice]]:
        """Return pages, where in each the next bytes are, and where among these."""
        parts, done = list[tuple[bytearray, slice, slice]](), 0
        while done < count:
            number, first = divmod(self._place + done, _PAGE)
            length = min(_PAGE - first, count - done)
            where = slice(first, first + length), slice(done, done + length)
            parts.append((self._page(number), *where))
            done += length
        return parts

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        out = memoryview(buffer).cast("B")
        count = max(0, min(len(out), self._size - self._place))
        for page, inside, among in self._parts(count):
            out[among] = page[inside]
        self._place += count
        return count

    def write(self, content: Any) -> int:
        """See `io.RawIOBase`."""
        given = memoryview(content).cast("B")
        for page, inside, among in self._parts(len(given)):
            page[inside] = given[among]
        self._place += len(given)
        self._size = max(self._size, self._place)
        return len(given)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """See `io.RawIOBase`; what is cut off is not zero where the file grows again."""
        self._size = self._place if size is None else size
        return self._size

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def writable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def close(self) -> None:
        """Forget the changes; those that were applied stay."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
