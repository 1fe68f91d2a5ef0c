"""Kafka and OpenSearch for a person, until Ctrl-C: `make servers`.

Standard output holds the two settings as shell lines and nothing else; all data goes when the servers stop.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from tests.servers import Kafka, OpenSearch, Server, ServerFailedError, UnavailableError


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="tailrace-servers-")))
            _tell("starting Apache Kafka and OpenSearch (the first time copies their jars) ...")
            # The ports that people know, when they are free.
            kafka = _started(stack, Kafka(directory / "kafka", 9092))
            opensearch = _started(stack, OpenSearch(directory / "opensearch", 9200))
            kafka.wait_ready()
            opensearch.wait_ready()
            print(f"export TAILRACE_BUS={kafka.url}\nexport TAILRACE_STORE={opensearch.url}", flush=True)
            _tell("ready; Ctrl-C stops both and deletes their data")
            _watch(kafka, opensearch)
    except KeyboardInterrupt:
        return 0
    except (UnavailableError, ServerFailedError) as error:
        _tell(str(error))
    return 1


def _started(stack: ExitStack, server: Server) -> Server:
    stack.callback(server.close)
    server.start()
    return server


def _watch(*servers: Server) -> NoReturn:
    while all(server.running for server in servers):
        time.sleep(1)
    ended = next(server for server in servers if not server.running)
    raise ServerFailedError(f"{ended.url} ended by itself\n{ended.log_tail()}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
