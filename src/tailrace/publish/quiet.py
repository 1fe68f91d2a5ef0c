"""What the publisher's thread would say through `logging` is not said.

A handler of the program's own may raise, which would end the shipping, or log to tailrace, which would ship for ever
what the shipping says of itself. Troubles are shown by `stats()` and on stderr instead.
"""

from __future__ import annotations

import logging
import threading

_LIBRARIES = ("asyncio", "aiokafka", "anyio")


def silence_here() -> None:
    """For the calling thread, and the loggers that these libraries have by now. Other threads' records go on."""
    thread = threading.get_ident()

    def is_of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != thread

    for name in [*_LIBRARIES, *logging.root.manager.loggerDict]:
        if name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(is_of_another_thread)
