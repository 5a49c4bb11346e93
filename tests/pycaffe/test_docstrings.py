"""What a script may call says what it does, what it takes and what it gives."""

import inspect

import pytest

import sscaffe
from sscaffe import coord_map, draw, io, net_spec, pycaffe, squeeze

MODULES = (coord_map, draw, io, net_spec, pycaffe, squeeze)


def public(owner, name):
    """Return functions and classes of a module, and the methods of the latter."""
    found = {}
    for key in getattr(owner, "__all__", None) or [k for k in vars(owner) if k[0] != "_"]:
        thing = getattr(owner, key)
        if not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        if not thing.__module__.startswith(owner.__name__):
            continue
        found[f"{name}.{key}"] = thing
        if inspect.isclass(thing):
            for base in thing.__mro__:
                if not base.__module__.startswith("sscaffe"):
                    continue
                for method, value in vars(base).items():
                    value = getattr(value, "__func__", value)  # of a classmethod
                    if method[0] != "_" and inspect.isfunction(value):
                        found[f"{base.__module__}.{base.__name__}.{method}"] = value
    return found


VERBS = ("setup", "reshape", "forward", "backward")  # of layers: the class describes them

THINGS = {}
for module, title in ((sscaffe, "sscaffe"), *((m, m.__name__) for m in MODULES)):
    THINGS.update(public(module, title))


@pytest.mark.parametrize("name", THINGS)
def test_it_has_a_docstring_that_names_its_parameters(name):
    thing = THINGS[name]
    text = inspect.getdoc(thing)
    assert text, "no docstring"
    callee = thing.__init__ if inspect.isclass(thing) else thing
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return
    # A line may say it all of one or two plain arguments; more want a section.
    names = [n for n in inspect.signature(callee).parameters if n not in ("self", "cls")]
    if (
        len(names) > 2
        and thing.__name__ not in VERBS
        and not text.startswith(("See ", "pycaffe's"))
    ):
        assert "Parameters\n-" in text or "Attributes\n-" in text, names
        for one in names:
            assert one in text, one
