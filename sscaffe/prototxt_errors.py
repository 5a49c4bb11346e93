"""Find out what is wrong with a text that is no prototxt, and where.

The text was refused already, by a parser whose errors are for programmers. This one builds nothing:
it walks the text beside the messages' description until something does not fit.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf import text_encoding
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sscaffe.errors import PrototxtError
from sscaffe.prototxt_names import advice_on_enum, advice_on_field, advice_on_form, either

MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<name>[A-Za-z_][0-9A-Za-z_+-]*)
    |(?P<number>(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*)
    |(?P<string>"(?:[^"\n\\]++|\\.)*+"|'(?:[^'\n\\]++|\\.)*+')
    |(?P<open_string>["'][^\n]*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_BAD_ESCAPE = re.compile(r"""\\(?:[^abfnrtv\\'"?0-7xXuU]|[xX](?![0-9A-Fa-f]))""")
_FLOAT_WORD = re.compile(r"-?(?:inf|infinity|nan)f?", re.IGNORECASE)
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})", re.MULTILINE)
_CLOSING = {"{": "}", "<": ">"}
_INTEGER_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (True, 32),
    FieldDescriptor.CPPTYPE_INT64: (True, 64),
    FieldDescriptor.CPPTYPE_UINT32: (False, 32),
    FieldDescriptor.CPPTYPE_UINT64: (False, 64),
}
_BOOLS = ("true", "t", "1", "True", "false", "f", "0", "False")


class Token(NamedTuple):
    """A word of the text and where it stands."""

    kind: str
    text: str
    offset: int

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the text"
        shown = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return f"'{shown}'" if self.kind == "sign" else shown


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the place in the text."""

    message: str
    text: str
    offset: int

    def error(self, source: str) -> PrototxtError:
        """Make an error of it."""
        line = line_of(self.text, self.offset)
        column = self.offset - (self.text.rfind("\n", 0, self.offset) + 1) + 1
        return PrototxtError(self.message, source, line, column)


class _FoundError(Exception):
    """Carries a message and an offset out of the walk."""

    def __init__(self, message: str, token: Token) -> None:
        super().__init__(message)
        self.message, self.offset = message, token.offset


def explain(text: str, descriptor: Descriptor) -> Fault | None:
    """Say why a text is not a message of this type.

    Parameters
    ----------
    text : str
        The whole text.
    descriptor : Descriptor
        The type of the message.

    Returns
    -------
    Fault or None
        The first fault, or None if there is nothing that this module knows about.
    """
    try:
        _Walk(text, descriptor).run()
    except _FoundError as found:
        return Fault(found.message, text, found.offset)
    return None


def find_bad_escape(text: str) -> Fault | None:
    r"""Find a backslash in a string that stands for nothing, as in ``"C:\data"``.

    Parameters
    ----------
    text : str
        The whole text.

    Returns
    -------
    Fault or None
        The first one, if any.
    """
    for token in tokens(text):
        if token.kind == "string":
            # Pairs first, so that the second half of an escaped backslash starts nothing.
            for escape in re.finditer(r"\\.", token.text[:-1], re.DOTALL):
                if _BAD_ESCAPE.match(token.text, escape.start()):
                    message = (
                        f"expected an escape such as \\n or \\\\, got {escape.group()}; "
                        "write / in file names, or \\\\ for a backslash"
                    )
                    return Fault(message, text, token.offset + escape.start())
    return None


def line_of(text: str, offset: int) -> int:
    """Return the line of a place in a text, counted from 1."""
    return text.count("\n", 0, offset) + 1


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a text without spaces and comments, and an empty one of kind ``end``."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), match.start())
    yield Token("end", "", len(text))


class _Walk:
    """One pass over a text, beside the description of its message."""

    def __init__(self, text: str, descriptor: Descriptor) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.token = next(self.tokens)
        # The messages that are open, each with the token that opened it.
        self.open: list[tuple[Descriptor, Token]] = [(descriptor, self.token)]
        self.path: list[str] = []
        # The message that was closed last, and the brace that did it.
        self.closed: tuple[Descriptor, Token] | None = None

    def run(self) -> None:
        """Walk to the end, or raise `_FoundError`."""
        self.fields(closing="")

    def advance(self) -> Token:
        token = self.token
        if token.kind == "open_string":
            raise _FoundError(
                f"expected a closing {token.text[0]} on the same line, got {token}", token
            )
        self.token = next(self.tokens, token)
        return token

    def skip(self, *signs: str) -> bool:
        """Step over one of these signs, if it is here."""
        if self.token.kind == "sign" and self.token.text in signs:
            self.advance()
            return True
        return False

    def fields(self, closing: str) -> None:
        """Walk the fields of one message, and its closing brace if it has one."""
        descriptor, opened = self.open[-1]
        seen: dict[str, Token] = {}
        while self.token.kind != "end":
            brace = self.token
            if closing and self.skip(closing):
                self.closed = descriptor, brace
                return
            self.field(descriptor, seen)
            self.skip(",", ";")
        if closing:
            raise _FoundError(
                f"{descriptor.name}: expected '{closing}' before the end of the text, got none; "
                f"close the '{opened.text}' of line {line_of(self.text, opened.offset)}",
                opened,
            )

    def field(self, descriptor: Descriptor, seen: dict[str, Token]) -> None:
        name = self.token
        if name.kind != "name":
            self.refuse_name(name)
        field = descriptor.fields_by_name.get(name.text)
        if field is None:
            raise _FoundError(self.unknown(descriptor, name.text), name)
        if not field.is_repeated and name.text in seen:
            first = line_of(self.text, seen[name.text].offset)
            raise _FoundError(
                f"{name.text}: expected once in {descriptor.name}, got a second one "
                f"(the first is on line {first}); keep one of them",
                name,
            )
        seen[name.text] = self.advance()
        if field.message_type:
            self.messages(field, field.message_type)
        else:
            self.scalars(field)

    def refuse_name(self, token: Token) -> None:
        if marker := _CONFLICT.match(self.text, token.offset):
            raise _FoundError(
                f"expected a field name, got the '{marker.group()}' of a merge that was not ended; "
                "keep one of the two versions, and none of these lines",
                token,
            )
        if token.text in ("}", ">"):
            if len(self.open) == 1:
                advice = "remove it, or add the opening brace that it belongs to"
                raise _FoundError(f"expected a field name, got {token}; {advice}", token)
            brace = self.open[-1][1]
            raise _FoundError(
                f"expected '{_CLOSING[brace.text]}' to close the '{brace.text}' of line "
                f"{line_of(self.text, brace.offset)}, got {token}",
                token,
            )
        if token.kind == "open_string":
            self.advance()
        raise _FoundError(f"expected a field name, got {token}", token)

    def unknown(self, descriptor: Descriptor, name: str) -> str:
        """Say that there is no such field, and what was meant."""
        message = f"{descriptor.name} has no field '{name}'"
        for depth in range(len(self.open) - 2, -1, -1):
            outer = self.open[depth][0]
            if name in outer.fields_by_name:
                brace = self.open[depth + 1][1]
                place = f"in {self.path[depth - 1]}" if depth else "at the top level"
                return (
                    f"{message}; it belongs {place}, so close the '{brace.text}' of line "
                    f"{line_of(self.text, brace.offset)} before it"
                )
        if self.closed and name in self.closed[0].fields_by_name:
            closed, brace = self.closed
            return (
                f"{message}; it belongs in {closed.name}, which the '{brace.text}' of line "
                f"{line_of(self.text, brace.offset)} closed: remove that, or put the field before "
                "it"
            )
        advice = advice_on_field(name, descriptor, self.open[0][0])
        return f"{message}; {advice}" if advice else message

    def messages(self, field: FieldDescriptor, descriptor: Descriptor) -> None:
        self.skip(":")
        for _ in self.values(field):
            opening = self.token
            if opening.text not in _CLOSING or opening.kind != "sign":
                raise _FoundError(f"{field.name}: expected '{{', got {opening}", opening)
            if len(self.open) > MAX_DEPTH:
                raise _FoundError(f"expected at most {MAX_DEPTH} nested braces, got more", opening)
            self.advance()
            self.open.append((descriptor, opening))
            self.path.append(field.name)
            self.fields(_CLOSING[opening.text])
            self.open.pop()
            self.path.pop()

    def scalars(self, field: FieldDescriptor) -> None:
        if not self.skip(":"):
            message = f"{field.name}: expected ':' and {_expected(field)}, got {self.token}"
            if self.token.text == "{":
                message += advice_on_form(field)
            raise _FoundError(message, self.token)
        for _ in self.values(field):
            self.scalar(field)

    def values(self, field: FieldDescriptor) -> Iterator[None]:
        """Yield once for each value: one, or those of a list in brackets."""
        if not (field.is_repeated and self.token.text == "[" and self.token.kind == "sign"):
            yield
            return
        self.advance()
        if self.skip("]"):
            return
        yield
        while not self.skip("]"):
            if not self.skip(","):
                raise _FoundError(
                    f"{field.name}: expected ',' or ']', got {self.token}", self.token
                )
            yield

    def scalar(self, field: FieldDescriptor) -> None:
        """Walk one value."""
        token = self.token
        is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        if token.kind == "open_string":
            self.advance()
        if is_text and token.kind == "string":
            while self.token.kind in ("string", "open_string"):
                part = self.advance()
                if not _is_text(field, part.text[1:-1]):
                    raise _FoundError(f"{field.name}: expected text in UTF-8, got {part}", part)
            return
        if token.kind in ("name", "number") and not is_text and _fits(field, token.text):
            self.advance()
            return
        message = f"{field.name}: expected {_expected(field)}, got {token}"
        raise _FoundError(message + _advice(field, token), token)


def _fits(field: FieldDescriptor, word: str) -> bool:
    """Whether a word or number is a value of a field."""
    if field.enum_type:
        values = field.enum_type.values_by_number
        return word in field.enum_type.values_by_name or _integer(word) in values
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return word in _BOOLS
    if field.cpp_type in _INTEGER_BITS:
        low, high = _limits(field)
        value = _integer(word)
        return value is not None and low <= value <= high
    return _is_float(word)


def _is_text(field: FieldDescriptor, quoted: str) -> bool:
    """Whether the inside of a string, its escapes included, can be the field's value."""
    try:
        content = text_encoding.CUnescape(quoted)
        if field.type == FieldDescriptor.TYPE_STRING:
            content.decode("utf-8")
    except ValueError:
        return False
    return True


def _advice(field: FieldDescriptor, token: Token) -> str:
    """Say what to write instead, if that is plain."""
    word = token.text
    if field.enum_type:
        return advice_on_enum(field.enum_type, word.strip("\"'"))
    if token.kind == "string":
        return "; remove the quotes" if _fits(field, word.strip("\"'")) else ""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and token.kind in ("name", "number"):
        return advice_on_form(field, word) or f'; write "{word}"'
    return ""


def _expected(field: FieldDescriptor) -> str:
    """Describe the values of a field."""
    if field.enum_type:
        return either([value.name for value in field.enum_type.values])
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "a string in quotes"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    if field.cpp_type in _INTEGER_BITS:
        low, high = _limits(field)
        return f"an integer from {low} to {high}"
    return "a number"


def _limits(field: FieldDescriptor) -> tuple[int, int]:
    signed, bits = _INTEGER_BITS[field.cpp_type]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _integer(word: str) -> int | None:
    octal = re.fullmatch(r"(-?)0(\d+)", word)
    try:
        return int(f"{octal[1]}0o{octal[2]}" if octal else word, 0)
    except ValueError:
        return None


def _is_float(word: str) -> bool:
    if re.match(r"-?0\d", word):
        return False
    try:
        float(word if _FLOAT_WORD.fullmatch(word) is None else "inf")
    except ValueError:
        return re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?[fF]", word) is not None
    return True
