"""``import caffe`` for scripts that were written for pycaffe."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_NAME, _REAL = "caffe", "sscaffe"


class _Finder(MetaPathFinder, Loader):
    """Finds ``caffe`` and what is in it: the modules of this package, not copies of them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        real = _REAL + fullname.removeprefix(_NAME)
        try:
            found = importlib.util.find_spec(real)
        except ModuleNotFoundError:
            found = None
        return None if found is None else ModuleSpec(fullname, self, origin=found.origin)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_REAL + spec.name.removeprefix(_NAME))
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # which the import has just overwritten


_finder = _Finder()


def install() -> None:
    """See `sscaffe.install_as_caffe`."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    sys.modules[_NAME] = sys.modules[_REAL]


def is_installed() -> bool:
    """Return whether ``import caffe`` gives this package because a script asked for it."""
    return _finder in sys.meta_path
