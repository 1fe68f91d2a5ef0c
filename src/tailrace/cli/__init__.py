"""The command line. Needs the extra `tailrace[cli]`; nothing else of tailrace imports this package.

Results go to stdout, diagnostics to stderr. Exit code 0: done; 1: failed or not found; 2: used wrongly; 130: Ctrl-C.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """The executable `tailrace`; exits with the code of the command."""
    if find_spec("cyclopts") is None or find_spec("rich") is None:
        sys.stderr.write("tailrace: the command line needs an extra: pip install 'tailrace[cli]'\n")
        sys.exit(2)
    from tailrace.cli.app import run  # noqa: PLC0415 - after the check that it can be imported

    sys.exit(run(sys.argv[1:]))
