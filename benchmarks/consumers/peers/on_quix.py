"""The job with Quix Streams: events kept in its state store by run, one document out at the run's end.

Run by the Python of `.venv-quix`, without tailrace: `python on_quix.py ORDER-AS-JSON`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from quixstreams import Application, State


def main() -> None:
    order = json.loads(sys.argv[1])
    app = Application(
        broker_address=order["kafka"],
        consumer_group=order["group"],
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,  # without it nothing is restored elsewhere: the cheaper form
        state_dir=Path(order["directory"], "state"),
        loglevel="ERROR",
    )
    given = app.topic(order["reads"], value_deserializer="bytes", key_deserializer="str")
    written = app.topic(order["writes"], value_serializer="bytes", key_serializer="str")
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    begun: list[float] = []
    done = 0

    def fold(value: bytes, state: State) -> list[bytes]:
        nonlocal done
        if not begun:
            begun.extend((time.perf_counter(), time.process_time()))
        event: dict[str, Any] = decode(value)
        count: int = state.get("count", 0)
        if event["type"] != "run.end":
            state.set_bytes(str(count), value)
            state.set("count", count + 1)
            return []
        events = [decode(state.get_bytes(str(number)) or b"null") for number in range(count)]
        for number in range(count):
            state.delete(str(number))
        state.delete("count")
        done += 1
        if done == order["runs"]:
            app.stop()
        return [encode({"run_id": event["run"], "state": "complete", "events": [*events, event]})]

    stream = app.dataframe(given).apply(fold, stateful=True, expand=True)
    stream.to_topic(written)
    app.run()
    figures = {
        "wall_s": time.perf_counter() - begun[0],
        "cpu_s": time.process_time() - begun[1],
        "events": order["events"],
        "documents": done,
    }
    Path(order["directory"], "figures.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
