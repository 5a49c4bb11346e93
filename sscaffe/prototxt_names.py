"""Find the field or value that a user meant."""

import difflib
from collections import deque
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sscaffe.proto import caffe_pb2

_MESSAGES = caffe_pb2.DESCRIPTOR.message_types_by_name
NET = _MESSAGES["NetParameter"]
SOLVER = _MESSAGES["SolverParameter"]
LAYER = _MESSAGES["LayerParameter"]
V1_LAYER = _MESSAGES["V1LayerParameter"]
V0_LAYER = _MESSAGES["V0LayerParameter"]

# Fields of an old form of a message, and how to write them in the new one.
RENAMED = {
    (LAYER.full_name, "blobs_lr"): "write param { lr_mult: ... }",
    (LAYER.full_name, "weight_decay"): "write param { decay_mult: ... }",
    (NET.full_name, "bottom"): "write input for an input of the net; else it belongs in layer",
}

# Messages that no advice should lead to: old forms, and a net inside a solver.
_HIDDEN = {V1_LAYER.full_name, V0_LAYER.full_name, NET.full_name}
_MOST_PLACES = 4
_MOST_VALUES = 12


def advice_on_field(name: str, descriptor: Descriptor, root: Descriptor) -> str:
    """Say where a field belongs, or which one was meant.

    Parameters
    ----------
    name : str
        The field that the message does not have.
    descriptor : Descriptor
        The message.
    root : Descriptor
        The message that the file is: a net or a solver.

    Returns
    -------
    str
        The part of a sentence that follows a semicolon; empty if nothing is near.
    """
    if renamed := RENAMED.get((descriptor.full_name, name)):
        return renamed
    places = _places(name, descriptor)
    if places:
        return "it belongs in " + either(places)
    for other, where in ((NET, "the net"), (SOLVER, "the solver")):
        if name in other.fields_by_name and other is not root:
            return f"it belongs in {where}"
        places = _places(name, other, whole=other is not root)
        if places:
            return f"it belongs in {either(places)}" + ("" if other is root else f", in {where}")
    near = _nearest_field(name, descriptor)
    if descriptor is V0_LAYER and not near:
        return "no layer had it in 2013, so write this one in the form of today"
    return near


def advice_on_enum(enum: EnumDescriptor, word: str) -> str:
    """Say which value of an enum was meant.

    Parameters
    ----------
    enum : EnumDescriptor
        The enum.
    word : str
        What was written, without quotes.

    Returns
    -------
    str
        The end of a sentence, with its semicolon; empty if nothing is near.
    """
    by_letters = {_letters(value.name): value.name for value in enum.values}
    near = nearest(_letters(word), by_letters)
    return f"; write {by_letters[near]}" if near else ""


def advice_on_form(field: FieldDescriptor, word: str = "") -> str:
    """Say that a layer mixes the old form, ``layers``, and the new one, ``layer``.

    Parameters
    ----------
    field : FieldDescriptor
        The field that has the wrong value.
    word : str
        The value, if it is a word.

    Returns
    -------
    str
        The end of a sentence, with its semicolon; empty if that is not what is wrong.
    """
    if field.containing_type is V1_LAYER and field.name == "param":
        return "; that is how layer is written, so write layer instead of layers"
    old_types = V1_LAYER.enum_types_by_name["LayerType"].values_by_name
    if field.containing_type is LAYER and field.name == "type" and word in old_types:
        return '; that is how layers is written: in layer, write as in "Convolution"'
    return ""


def nearest(word: str, words: Iterable[str], likeness: float = 0.7) -> str | None:
    """Return the word most like this one, if one is as like it as this; 1 is the same."""
    matches = difflib.get_close_matches(word, list(words), n=1, cutoff=likeness)
    return matches[0] if matches else None


def either(words: list[str]) -> str:
    """Join words as in ``a, b or c``; a long list is cut short."""
    if len(words) > _MOST_VALUES:
        return ", ".join(words[:_MOST_VALUES]) + ", ..."
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _places(name: str, start: Descriptor, whole: bool = False) -> list[str]:
    """List the fields under a message whose messages have a field of this name, nearest first."""
    found = [path for path, inner in _walk(start) if path and name in inner.fields_by_name]
    names = [_written(path, whole) for path in found if len(path) == len(found[0])]
    return names if len(names) <= _MOST_PLACES else [*names[:_MOST_PLACES], "another message"]


def _written(path: list[str], whole: bool = False) -> str:
    """Write a path as in ``param { block_group_lasso }``, with the layer around it or not."""
    if len(path) > 1 and path[0] == "layer" and not whole:
        path = path[1:]
    return path[0] if len(path) == 1 else f"{path[0]} {{ {_written(path[1:], whole)} }}"


def _nearest_field(name: str, descriptor: Descriptor) -> str:
    near = nearest(name, descriptor.fields_by_name, 0.85)
    if near:
        return f"the nearest is '{near}'"
    owners: dict[str, list[str]] = {}
    for path, inner in _walk(descriptor):
        for field in inner.fields_by_name:
            owners.setdefault(field, path)
    near = nearest(name, owners, 0.8)
    if not near:
        return ""
    return f"the nearest is '{near}'" + (f" in {_written(owners[near])}" if owners[near] else "")


def _walk(start: Descriptor) -> Iterator[tuple[list[str], Descriptor]]:
    """Yield each message under this one, once, with the fields that lead to it, nearest first."""
    queue: deque[tuple[list[str], Descriptor]] = deque([([], start)])
    seen = {start.full_name} | _HIDDEN
    while queue:
        path, descriptor = queue.popleft()
        yield path, descriptor
        for field in descriptor.fields:
            inner = field.message_type
            if inner and inner.full_name not in seen:
                seen.add(inner.full_name)
                queue.append(([*path, field.name], inner))
