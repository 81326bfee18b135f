"""`layshaft` and `python -m ops`."""

from __future__ import annotations

import sys

from ops.cli.tree import run


def main() -> int:
    """Run the command line; the exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
