"""`python -m tailrace.cli`: the executable for who starts it without knowing where it is installed."""

from __future__ import annotations

import os
import sys
import traceback

from tailrace.cli import main

if __name__ == "__main__":
    try:
        main()
    except Exception:  # noqa: BLE001 - a bug, which the exit code tells from what a command says on purpose
        traceback.print_exc()
        sys.exit(os.EX_SOFTWARE)
