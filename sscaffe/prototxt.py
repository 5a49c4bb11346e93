"""Read and write nets and solvers as text.

What cannot be read raises a `PrototxtError` that says where, what was expected and what came.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from sscaffe.errors import PrototxtError
from sscaffe.files import write_atomically
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_errors import Fault, explain, find_bad_escape, tokens
from sscaffe.prototxt_names import NET, SOLVER
from sscaffe.upgrade import upgrade_net, upgrade_solver

MAX_SIZE = 64 * 2**20
"""Bytes that a prototxt may have; a net without its weights needs a thousandth of it."""

_LAYER = re.compile(r"layer '([^']*)'")
_M = TypeVar("_M", bound=Message)


def parse_net(text: str | bytes, source: str = "<string>") -> caffe_pb2.NetParameter:
    """Read a net from text, in the form in which it is written.

    Parameters
    ----------
    text : str or bytes
        The text; bytes are UTF-8.
    source : str
        What to call it in errors, usually the file's name.

    Returns
    -------
    NetParameter
        The message; fields that the text leaves out are not set.

    Raises
    ------
    PrototxtError
        If the text is not a net; the error has ``source``, ``line`` and ``column``.
    """
    return _parse(text, caffe_pb2.NetParameter(), NET, source)


def parse_solver(text: str | bytes, source: str = "<string>") -> caffe_pb2.SolverParameter:
    """Read a solver from text, in the form in which it is written.

    Parameters
    ----------
    text : str or bytes
        The text; bytes are UTF-8.
    source : str
        What to call it in errors, usually the file's name.

    Returns
    -------
    SolverParameter
        The message; fields that the text leaves out are not set.

    Raises
    ------
    PrototxtError
        If the text is not a solver; the error has ``source``, ``line`` and ``column``.
    """
    return _parse(text, caffe_pb2.SolverParameter(), SOLVER, source)


def read_net(path: str | os.PathLike[str]) -> caffe_pb2.NetParameter:
    """Read a net from a file; what has a form of old is upgraded, and logged.

    Parameters
    ----------
    path : path-like
        A prototxt.

    Returns
    -------
    NetParameter
        The message; fields that the file leaves out are not set.

    Raises
    ------
    PrototxtError
        If there is no such file, or it is not a net.
    """
    return _upgraded(path, parse_net, upgrade_net)


def read_solver(path: str | os.PathLike[str]) -> caffe_pb2.SolverParameter:
    """Read a solver from a file; what has a form of old is upgraded, and logged.

    The files that it names are left as they are written.

    Parameters
    ----------
    path : path-like
        A prototxt.

    Returns
    -------
    SolverParameter
        The message; fields that the file leaves out are not set.

    Raises
    ------
    PrototxtError
        If there is no such file, or it is not a solver.
    """
    return _upgraded(path, parse_solver, upgrade_solver)


def read_text(path: str | os.PathLike[str]) -> bytes:
    """Read a prototxt, to be given to `parse_net` or `parse_solver`.

    Raises
    ------
    PrototxtError
        If there is no such file, or nothing in it. Of one that is too large, just enough is read to
        be refused.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PrototxtError(f"cannot be read: {reason}", os.fspath(path)) from None
    if not content.strip():
        raise PrototxtError("expected a prototxt, got an empty file", os.fspath(path))
    return content


def format_net(message: Message) -> str:
    """Write a net, a solver or any other message as text that Caffe reads too.

    Parameters
    ----------
    message : Message
        The message; only fields that are set are written.

    Returns
    -------
    str
        The text, one field a line.
    """
    return text_format.MessageToString(message, as_utf8=True)


def write_text(path: str | os.PathLike[str], message: Message) -> None:
    """Write a message to a file as text.

    Parameters
    ----------
    path : path-like
        The file; what stood there is replaced, or left whole if anything goes wrong.
    message : Message
        The message.

    Raises
    ------
    SscaffeError
        If the file cannot be written.
    """
    write_atomically(path, format_net(message).encode())


def _upgraded(
    path: str | os.PathLike[str],
    parse: Callable[[bytes, str], _M],
    upgrade: Callable[[_M, str], _M],
) -> _M:
    content, source = read_text(path), os.fspath(path)
    message = parse(content, source)
    try:
        return upgrade(message, source)
    except PrototxtError as error:
        raise _placed(str(error), _text(content, source), source) from None


def _placed(refusal: str, text: str, source: str) -> PrototxtError:
    """Say where in a text the layer or field is that a refusal of its form names first."""
    layer, field = _LAYER.search(refusal), refusal.partition(":")[0]
    for wanted in (layer[1] if layer else None, field, field.split("_")[0]):
        for word in tokens(text):
            if wanted == (word.text[1:-1] if word.kind == "string" else word.text):
                return Fault(refusal, text, word.offset).error(source)
    return PrototxtError(refusal, source)


def _parse(content: str | bytes, message: _M, descriptor: Descriptor, source: str) -> _M:
    text = _text(content, source)
    if "\\" in text and (fault := find_bad_escape(text)):
        raise fault.error(source)
    try:
        text_format.Parse(text, message)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        fault = explain(text, descriptor)
        if fault:
            raise fault.error(source) from None
        raise _plain_error(error, source) from None
    return message


def _plain_error(error: Exception, source: str) -> PrototxtError:
    """Pass on what the library says, for the rare case that `explain` finds nothing."""
    line = getattr(error, "GetLine", lambda: None)()
    column = getattr(error, "GetColumn", lambda: None)()
    reason = re.sub(r"^\d+:\d+ : ", "", str(error)).replace("\n", " ")
    return PrototxtError(f"expected a prototxt, got {reason}", source, line, column)


def _text(content: str | bytes, source: str) -> str:
    """Decode, and tell apart what cannot be text at all."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    if len(content) > MAX_SIZE:
        raise PrototxtError(
            f"expected a prototxt of at most {MAX_SIZE} bytes, got more; keep weights in a "
            "caffemodel",
            source,
        )
    zero = content.find(b"\0")
    if zero >= 0:
        raise _not_text(content[:zero], "a NUL byte", source)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"byte 0x{content[error.start]:02x}"
        raise _not_text(content[: error.start], what, source) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _not_text(before: bytes, what: str, source: str) -> PrototxtError:
    start = before.decode("utf-8", "replace")
    line = start.count("\n") + 1
    column = len(start) - (start.rfind("\n") + 1) + 1
    return PrototxtError(
        f"expected text in UTF-8, got {what}; give a prototxt here, not a caffemodel or other "
        "binary file, and save it as UTF-8",
        source,
        line,
        column,
    )
