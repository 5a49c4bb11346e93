"""``python -m sscaffe``: the same as the ``sscaffe`` command."""

import sys

from sscaffe.cli import main

if __name__ == "__main__":
    sys.exit(main())
