"""``--set field=value``: change fields of a solver without a new file."""

from collections.abc import Iterable

from sscaffe import prototxt
from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2


def apply_settings(param: caffe_pb2.SolverParameter, settings: Iterable[str]) -> None:
    """Set fields of a solver, as if they stood so in its file.

    Parameters
    ----------
    param : SolverParameter
        Changed in place.
    settings : iterable of str
        Each is ``field=value``, as in ``base_lr=0.001`` or ``stepvalue=100,200``.

    Raises
    ------
    PrototxtError
        If there is no such field, or the value does not suit it.
    """
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise PrototxtError(f"set: expected field=value, got {setting!r}")
        name = name.strip()
        # An unknown field is left to the parser, which knows what is near to it.
        field = param.DESCRIPTOR.fields_by_name.get(name)
        is_text = field is not None and field.type == field.TYPE_STRING
        values = value.split(",") if field is not None and field.is_repeated else [value]
        text = "\n".join(f"{name}: {_quoted(v) if is_text else v.strip()}" for v in values)
        given = prototxt.parse_solver(text, f"--set {setting}")
        param.ClearField(name)
        param.MergeFrom(given)


def _quoted(value: str) -> str:
    if value[:1] in ("'", '"') and value[-1:] == value[:1]:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
