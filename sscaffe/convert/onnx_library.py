"""The onnx package, where it is installed."""

from types import ModuleType

from sscaffe.errors import UnsupportedError


def import_onnx() -> ModuleType:
    """Return onnx.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError("ONNX files need onnx: pip install 'sscaffe[onnx]'") from error
    module: ModuleType = onnx
    return module
