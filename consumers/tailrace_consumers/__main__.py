"""`python -m tailrace_consumers NAME`: one consumer in the foreground, for a container or a supervisor."""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial

import anyio
import msgspec

from tailrace.config import load
from tailrace.consumer import Progress, find_consumer
from tailrace.errors import TailraceError

_log = logging.getLogger("tailrace.consumers")


def main() -> int:
    """Runs until SIGTERM or SIGINT. Exit codes: 0 ended in order, 1 it cannot go on, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tailrace_consumers", description=__doc__)
    parser.add_argument("name", help="sample, aggregate, index, all, or one that is installed beside them")
    parser.add_argument("--until", choices=("cancelled", "caught_up"), default="cancelled")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        consumer = find_consumer(arguments.name)
        anyio.run(partial(consumer, load(), until=arguments.until, report=_Reporter()))
    except TailraceError as error:
        _log.error("%s", error)
        return 1
    return 0


class _Reporter:
    """Logs a stage's progress when it has changed."""

    def __init__(self) -> None:
        self._last: dict[str, Progress] = {}

    def __call__(self, progress: Progress) -> None:
        if progress != self._last.get(progress.stage):
            self._last[progress.stage] = progress
            facts = msgspec.to_builtins(progress)
            _log.info("%s", " ".join(f"{name}={value}" for name, value in facts.items() if value not in (None, "", {})))


if __name__ == "__main__":
    sys.exit(main())
