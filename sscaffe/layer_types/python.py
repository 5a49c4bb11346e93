"""Python: a layer that the user wrote."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sscaffe import alias
from sscaffe.blob import Blob
from sscaffe.errors import PrototxtError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("Python")
class PythonLayer(Layer):
    """Stands for a class that `python_param` names, and that may run only where it is allowed to.

    The class has the four verbs of `Layer` and derives from it; a file written for pycaffe, with
    ``import caffe`` and ``class X(caffe.Layer)``, is one. It finds ``self.param_str``, and
    ``self.blobs.add_blob(2, 3)`` gives it a parameter of that shape.
    """

    runs_on_host = True

    def __init__(self, layer_param: caffe_pb2.LayerParameter, *args: Any, **kwargs: Any) -> None:
        param = layer_param.python_param
        way = "import the module first, or " if alias.is_installed() else ""
        raise UnsupportedError(
            f"type: a Python layer runs code, here {param.layer or 'a class'} of module "
            f"{param.module or 'none'}; if you trust it, {way}allow it with allow_python=True, on "
            "the command line with --allow-python-layers"
        )


def is_of_script(layer_param: caffe_pb2.LayerParameter) -> bool:
    """Tell whether a script for pycaffe has imported the class itself, so that no code is new."""
    return alias.is_installed() and layer_param.python_param.module in sys.modules


class ParamBlobs(list[Blob]):
    """The blobs of a layer, with pycaffe's way to add one."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def add_blob(self, *shape: int) -> Blob:
        """Append a blob of zeros, and return it."""
        return self._layer.add_param(shape)


def make_python_layer(
    layer_param: caffe_pb2.LayerParameter, phase: int, *, root: str = "", **options: Any
) -> Layer:
    """Import the class that a Python layer names, and make the layer.

    Parameters
    ----------
    layer_param : LayerParameter
        Its `python_param` names module and class.
    phase : int
        TRAIN or TEST.
    root : str
        Where modules are looked for, after Python's own places; the working directory by default.
    options
        Those of `Layer`.

    Raises
    ------
    PrototxtError
        If there is no such module or class, or it is not a layer.
    """
    param = layer_param.python_param
    for name in ("module", "layer"):
        if not getattr(param, name):
            raise PrototxtError(f"{name}: expected a name in python_param, got none")
    with _able_to_import(str(Path(root).resolve())):
        try:
            module = importlib.import_module(param.module)
        except ModuleNotFoundError as error:
            if error.name != param.module.partition(".")[0] and error.name != param.module:
                raise
            raise PrototxtError(
                f"module: there is no Python module {param.module!r} on PYTHONPATH or in "
                f"{root or 'the working directory'}"
            ) from error
    found = getattr(module, param.layer, None)
    if not (isinstance(found, type) and issubclass(found, Layer)):
        got = "nothing" if found is None else repr(found)
        raise PrototxtError(
            f"layer: expected a class in {param.module} that derives from sscaffe.Layer, got {got} "
            f"for {param.layer!r}"
        )
    layer = found(layer_param, phase, root=root, **options)
    layer.blobs = ParamBlobs(layer)
    layer.param_str = param.param_str  # type: ignore[attr-defined]
    return layer


@contextmanager
def _able_to_import(folder: str) -> Iterator[None]:
    """Let modules of a folder be found, and ``import caffe`` be this package."""
    others = sys.modules.get("caffe")
    sys.modules["caffe"] = sys.modules["sscaffe"]
    sys.path.append(folder)
    importlib.invalidate_caches()  # the file may be new
    try:
        yield
    finally:
        sys.path.remove(folder)
        if others is None:
            del sys.modules["caffe"]
        else:
            sys.modules["caffe"] = others
