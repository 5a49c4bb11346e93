"""Where the files that a prototxt names are."""

from pathlib import Path


def locate(path: str, root: str = "") -> Path:
    """Return the path of a file or folder that a prototxt names.

    Parameters
    ----------
    path : str
        Absolute, or relative to the working directory as in Caffe.
    root : str
        Where a relative path that is not in the working directory is looked for.

    Returns
    -------
    Path
        It need not exist.
    """
    here = Path(path)
    there = Path(root) / path
    return there if root and not here.exists() and there.exists() else here
