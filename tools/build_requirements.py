"""Print what pyproject.toml needs for a build, one requirement a line.

python tools/build_requirements.py
"""

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

for requirement in tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]:
    print(requirement)
