"""Records and events from many threads, both ways at once, through a real dictConfig with rotating files: counted.

`python -m tests.stdlib.both_ways 8 12500` is the long form: 100,000 records and as many events.
"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.logger.conftest import documents
from tests.system.scripts import start

BOTH_WAYS = """
import logging, logging.config, sys, threading
import tailrace
from tailrace.stdlib import LoggingSink

tailrace.configure_logger("both", publish="external")
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "tailrace.stdlib.ContextFilter"}},
    "formatters": {"plain": {"format": "%(name)s %(message)s"}, "json": {"()": "tailrace.stdlib.JsonFormatter"}},
    "handlers": {
        "tailrace": {"class": "tailrace.stdlib.TailraceHandler", "level": "INFO", "workflow": "outside"},
        "app": {"class": "logging.handlers.RotatingFileHandler", "filename": "app.log", "formatter": "plain",
                "maxBytes": 200_000, "backupCount": 1000},
        "workflow": {"class": "logging.handlers.RotatingFileHandler", "filename": "workflow.log", "formatter": "json",
                     "maxBytes": 500_000, "backupCount": 1000},
    },
    "root": {"level": "INFO", "handlers": ["tailrace", "app"]},
    "loggers": {"tailrace.workflow": {"level": "DEBUG", "handlers": ["workflow"]}},
})
threads, each = int(sys.argv[1]), int(sys.argv[2])
log = tailrace.get_logger()

def work(thread):
    app = logging.getLogger(f"app.{thread}")
    with log.run(thread=thread) as run, run.interaction(f"agent-{thread}"):
        for number in range(each):
            app.info("record %d", number)
            log.log_action("event", input_data=number)

with LoggingSink():
    started = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for thread in started: thread.start()
    for thread in started: thread.join()
stats = log.stats()
print(stats.accepted, sum(stats.dropped.values()), stats.overrides_failed)
"""


def both_ways(threads, each, directory):
    """Have a process log both, `each` from each thread: (records, events) that arrived, each once on each side."""
    with start(BOTH_WAYS, threads, each, cwd=directory) as process:
        out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    assert out.split() == [str(threads * (2 * each + 4)), "0", "0"]
    found = documents(directory / ".tailrace")
    assert len(found) == threads
    for document in found:
        assert [line["fields"]["template"] for line in document["logs"]] == ["record %d"] * each
        assert [line["message"] for line in document["logs"]] == [f"record {number}" for number in range(each)]
        assert {line["agent"] for line in document["logs"]} == {f"agent-{document['fields']['thread']}"}
        actions = document["interactions"][0]["actions"]
        assert [action["input_data"] for action in actions] == list(range(each))
        assert document["integrity"]["complete"]
    assert {path.name for path in directory.glob("app.log.*")}, "the file did not rotate"
    plain = "".join(path.read_text() for path in directory.glob("app.log*")).splitlines()
    by_name = {}
    for line in plain:
        name, _, message = line.partition(" ")
        by_name.setdefault(name, []).append(message)
    records = [len(by_name.pop(f"app.{thread}")) for thread in range(threads)]
    assert records == [each] * threads
    said = [
        msgspec.json.decode(line) for path in directory.glob("workflow.log*") for line in path.read_bytes().splitlines()
    ]
    assert len(said) == threads * (each + 4)
    assert len({line["event_id"] for line in said}) == len(said)
    assert sum(line["event_type"] == "action" for line in said) == threads * each
    assert len(by_name.pop("tailrace.workflow")) == len(said)
    assert by_name == {}
    return sum(records), sum(len(document["interactions"][0]["actions"]) for document in found)


def main():
    threads, each = map(int, sys.argv[1:] or (8, 12_500))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        records, events = both_ways(threads, each, Path(directory))
    print(
        f"{records:,} records and {events:,} events of {threads} threads, both ways:"
        " none lost, none doubled, none looped"
    )
    print(f"{time.monotonic() - begin:.0f} s, reading it all back included")


if __name__ == "__main__":
    main()
