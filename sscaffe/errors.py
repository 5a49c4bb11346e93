"""Every exception that sscaffe raises on purpose.

* SscaffeError
  - PrototxtError      a prototxt that cannot be read, with file, line and column
  - ShapeError         blobs whose shapes do not fit a layer
  - WeightsError       a caffemodel or solverstate that cannot be read or does not fit the net
  - DataError          a database, list or image that cannot be read
  - UnsupportedError   a request that this device, build or phase cannot meet
  - DivergedError      a loss or weight that is no longer finite
  - FullError          a file for which there is no room
  - InUseError         files that another training writes
"""


class SscaffeError(Exception):
    """Base of all errors that sscaffe raises on purpose.

    The first argument is one sentence: what was expected, what came, what to do. Whoever knows
    where it happened adds a line with ``add_note``.
    """


class PrototxtError(SscaffeError):
    """A text proto that cannot be read.

    Parameters
    ----------
    message : str
        What was expected and what came.
    source : str
        The file it came from.
    line, column : int, optional
        Where in the file, counted from 1.
    """

    def __init__(
        self, message: str, source: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        self.source, self.line, self.column = source, line, column
        place = ":".join(str(part) for part in (source, line, column) if part not in ("", None))
        super().__init__(f"{place}: {message}" if place else message)


class ShapeError(SscaffeError):
    """Blobs or parameters whose shapes do not fit a layer."""


class WeightsError(SscaffeError):
    """A caffemodel or solverstate that cannot be read, or does not fit the net."""


class DataError(SscaffeError):
    """A data source that cannot be read, or does not hold what the net expects."""


class UnsupportedError(SscaffeError):
    """A request that this device, build or phase cannot meet."""


class DivergedError(SscaffeError):
    """A loss or a weight that is no longer finite."""


class FullError(SscaffeError):
    """A file for which there is no room, on the disk or within the limits of the process."""


class InUseError(SscaffeError):
    """Files that another training, which still runs, writes."""
