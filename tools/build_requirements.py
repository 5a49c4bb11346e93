"""Print what pyproject.toml needs for a build, or for an extra, one requirement a line.

python tools/build_requirements.py [EXTRA]
"""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

tables = tomllib.loads(PYPROJECT.read_text())
requirements = tables["build-system"]["requires"]
if sys.argv[1:]:
    extra = tables["project"]["optional-dependencies"][sys.argv[1]]
    requirements = [one for one in extra if not one.startswith("sscaffe[")]
for requirement in requirements:
    print(requirement)
