"""Change single fields in the text of a net, and leave its comments and spaces as they are."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from sscaffe.prototxt_errors import Token, tokens

_CLOSING = {"{": "}", "<": ">"}


class Setting(NamedTuple):
    """A field of a message of a layer, and the word to set it to."""

    message: str  # such as convolution_param
    field: str
    value: str


def set_in_layers(text: str, settings: Mapping[str, Setting]) -> str:
    """Set a field in some layers, by their names.

    Parameters
    ----------
    text : str
        A net that can be parsed.
    settings : mapping of str to Setting
        What to set in which layer.

    Returns
    -------
    str
        The text with these values; what stands in a form that is not understood here is left as it
        is, so parse it to see whether all is done.
    """
    words = list(tokens(text))
    edits: list[tuple[int, int, str]] = []
    for name, first, last in _fields(words, 0, len(words) - 1):
        if name == "layer" and words[first].text in _CLOSING:
            edits += _in_layer(text, words, first, last, settings)
    for start, end, value in sorted(edits, reverse=True):
        text = text[:start] + value + text[end:]
    return text


def _in_layer(
    text: str, words: list[Token], first: int, last: int, settings: Mapping[str, Setting]
) -> "list[tuple[int, int, str]]":
    fields = _fields(words, first + 1, last)
    names = [words[start].text[1:-1] for name, start, _ in fields if name == "name"]
    setting = settings.get(names[0]) if names else None
    if setting is None:
        return []
    for name, start, end in fields:
        if name == setting.message and words[start].text in _CLOSING:
            return [_edit(text, words, start, end, setting)]
    return []


def _edit(
    text: str, words: list[Token], first: int, last: int, setting: Setting
) -> tuple[int, int, str]:
    """Return the place in the text, its end, and what should stand there."""
    for name, start, end in _fields(words, first + 1, last):
        if name == setting.field:
            return words[start].offset, words[end].offset + len(words[end].text), setting.value
    place = words[first].offset + 1
    space = re.match(r"(?:[^\S\n]*(?:#[^\n]*)?\n)?[^\S\n]*", text[place:])
    gap = space.group() if space else ""
    line = f"{setting.field}: {setting.value}"
    if "\n" not in gap:
        return place, place, f" {line}"
    # On a line of its own, with the indentation of the next.
    indentation = gap[gap.rindex("\n") :]
    if words[first + 1].text == _CLOSING[words[first].text]:
        indentation += "  "
    at_end_of_line = place + gap.index("\n")
    return at_end_of_line, at_end_of_line, indentation + line


def _fields(words: list[Token], first: int, last: int) -> list[tuple[str, int, int]]:
    """Return the fields between two tokens: the name, and first and last token of the value."""
    found: list[tuple[str, int, int]] = []
    place = first
    while place < last:
        name = words[place]
        place += 1
        if name.kind != "name":
            continue  # a separator
        if words[place].text == ":":
            place += 1
        end = _end_of_value(words, place)
        found.append((name.text, place, end))
        place = end + 1
    return found


def _end_of_value(words: list[Token], place: int) -> int:
    """Return the last token of a value, of strings side by side the first."""
    depth = 0
    while words[place].kind != "end":
        word = words[place]
        if word.kind == "sign":
            depth += (word.text in "{<[") - (word.text in "}>]")
        if depth == 0:
            return place
        place += 1
    return place - 1
