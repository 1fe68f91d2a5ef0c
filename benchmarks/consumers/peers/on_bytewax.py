"""The job with Bytewax: events kept in the memory of a stateful step by run, one document out at the run's end.

Run by the Python of `.venv-bytewax`, without tailrace: `python on_bytewax.py ORDER-AS-JSON`. Without recovery, which
would write the state of open runs to SQLite: the cheaper form.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

Events = list[dict[str, Any]]


def main() -> None:
    order = json.loads(sys.argv[1])
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    begun: list[float] = []
    done = 0

    def keyed(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, dict[str, Any]]:
        if not begun:
            begun.extend((time.perf_counter(), time.process_time()))
        event = decode(message.value)
        return event["run"], event

    def fold(events: Events | None, event: dict[str, Any]) -> tuple[Events | None, list[bytes]]:
        nonlocal done
        events = events or []
        events.append(event)
        if event["type"] != "run.end":
            return events, []
        done += 1
        return None, [encode({"run_id": event["run"], "state": "complete", "events": events})]

    flow = Dataflow("job")
    source = KafkaSource([order["kafka"]], [order["reads"]], tail=False, batch_size=1000)
    documents = op.stateful_flat_map("fold", op.map("keyed", op.input("read", flow, source), keyed), fold)
    records = op.map("record", documents, lambda pair: KafkaSinkMessage(pair[0].encode(), pair[1]))
    op.output("write", records, KafkaSink([order["kafka"]], order["writes"]))
    run_main(flow)
    figures = {
        "wall_s": time.perf_counter() - begun[0],
        "cpu_s": time.process_time() - begun[1],
        "events": order["events"],
        "documents": done,
    }
    Path(order["directory"], "figures.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
