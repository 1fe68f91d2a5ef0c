"""Where a logging call's time goes, ingredient by ingredient: `python -m benchmarks.profile_call`.

Each statement runs hot in a loop of its own, the empty loop taken off; the least and the median of interleaved rounds.
The sum is less than a call in a program, whose caches are cold: `make bench` measures that. What is taken apart are
tailrace's insides, so this file changes with them.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import sys
import tempfile
import timeit
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import tailrace
from benchmarks.payloads import AGENT, ITERATION, WORKFLOW, PlainEvent, payloads
from tailrace.event import payload, types
from tailrace.logger import recorder as recording
from tailrace.logger.context import Scope, scope_of
from tailrace.spool import frame

_MAPPED = 64 << 10


class Ingredient(NamedTuple):
    """A statement that the call contains, or one that could stand for others."""

    what: str
    statement: str


CALL = (
    Ingredient("an empty method of the same signature", "empty(name, input_data=given, output_data=found)"),
    Ingredient("find recorder and scope: log._place()", "place()"),
    Ingredient("of it, scope_of(workflow)", "scope_of(workflow)"),
    Ingredient("types.Action(...), ten keywords", "action(name, given, found)"),
    Ingredient("clock.now()", "now()"),
    Ingredient("f'{producer}-{seq}'", "f'{producer}-{seq}'"),
    Ingredient(
        "_Draft(...), 13 positions",
        "Draft(event_id, seq, producer, run, workflow, kind, ts, '', node, '', agent, seq, data)",
    ),
    Ingredient("payload.encode(draft)", "encode(draft)"),
    Ingredient("frame.pack(...)", "pack(seq, topic, key, span, value)"),
    Ingredient("of it, HEADER.pack", "header(MAGIC, 0, 32, 36, 900, seq, span)"),
    Ingredient("of it, crc32 of value and head", "crc32(value, crc32(head))"),
    Ingredient("of it, TRAILER.pack", "trailer(seq)"),
    Ingredient("recorder.record(...), draft to disk", "record(scope, kind, data)"),
    Ingredient("the whole: log.log_action(...)", "log_action(name, input_data=given, output_data=found)"),
)

OTHER_WAYS = (
    Ingredient(
        "the floor: PlainEvent and MessagePack",
        "mp(Plain(run, workflow, agent, 7, seq, name, seq, kind, given, found))",
    ),
    Ingredient("encode the draft as a JSON array", "json(array)"),
    Ingredient("encode (name, given, found) alone, JSON", "json((name, given, found))"),
    Ingredient("encode (name, given, found) alone, MessagePack", "mp((name, given, found))"),
    Ingredient("the other fields as one %-format of bytes", "template % (event_id_b, seq, ts_b, seq)"),
    Ingredient("b''.join of head, value, trailer", "join(buffers)"),
    Ingredient("os.writev of head, value, trailer, O_APPEND", "writev(fd, buffers)"),
    Ingredient("os.write of them joined, O_APPEND", "write(fd, joined)"),
    Ingredient("os.write of them joined to /dev/null", "write(null, joined)"),
    Ingredient("mmap.write of them joined, pages there", "seek(0); write_mapped(joined)"),
    Ingredient("crc32 of 64 B", "crc32(head)"),
    Ingredient("adler32 of the value", "adler32(value)"),
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_call", description="Ingredients of one call.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--loops", type=int, default=2_000, help="times that a statement runs in a round")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tailrace-profile-") as directory, _names(Path(directory)) as names:
        print(f"event {len(names['value'])} B, framed {names['joined_size']} B; load average {os.getloadavg()[0]:.1f}")
        for title, ingredients in (("the call", CALL), ("other ways", OTHER_WAYS)):
            print(f"\n{title:56} least ns  median ns")
            for what, timings in _timed(ingredients, names, given.rounds, given.loops):
                print(f"{what:56} {min(timings):8.0f} {statistics.median(timings):10.0f}")
    return 0


def _timed(
    ingredients: tuple[Ingredient, ...], names: dict[str, Any], rounds: int, loops: int
) -> Iterator[tuple[str, list[float]]]:
    timers = [timeit.Timer(ingredient.statement, globals=names) for ingredient in ingredients]
    empty = timeit.Timer("pass")
    found: list[list[float]] = [[] for _ in timers]
    for _ in range(rounds):  # interleaved: a disturbance hits one round of all, not all rounds of one
        nothing = empty.timeit(loops)
        for timings, timer in zip(found, timers, strict=True):
            timings.append((timer.timeit(loops) - nothing) / loops * 1e9)
    return zip((ingredient.what for ingredient in ingredients), found, strict=True)


@contextmanager
def _names(directory: Path) -> Iterator[dict[str, Any]]:
    """What the statements refer to: one call taken apart, its pieces by name."""
    log = tailrace.configure_logger(
        WORKFLOW, home=str(directory / "home"), publish="external", spool={"max_bytes": 64 << 30}
    )
    log.start_iteration(ITERATION)
    log.start_interaction(AGENT)
    recorder, scope = log._place()
    names = _of_the_event(recorder, scope) | _of_the_frame(scope) | _of_files(directory)
    names |= {
        "empty": _empty,
        "log_action": log.log_action,
        "place": log._place,
        "record": recorder.record,
        "scope": scope,
        "scope_of": scope_of,
    }
    names["value"] = names["encode"](names["draft"])
    names["buffers"] = (names["head"], names["value"], frame.TRAILER.pack(0))
    names["joined"] = b"".join(names["buffers"])
    names["joined_size"] = len(names["joined"])
    try:
        yield names
    finally:
        names["mapped"].close()
        for fd in ("fd", "null"):
            os.close(names[fd])
        log.close(0)


def _of_the_event(recorder: recording.Recorder, scope: Scope) -> dict[str, Any]:
    name, given, found = payloads()[5]
    data = types.Action(action_name=name, input_data=given, output_data=found)
    seq, ts, run = 123_456, recorder.clock.now(), scope.run
    event_id = f"{recorder.producer}-{seq}"
    fields = (event_id, seq, recorder.producer, run.run_id, run.workflow, types.ACTION, ts, "", scope.interaction, "")
    draft = recording._Draft(*fields, scope.agent, seq, data)
    array = (*fields, scope.agent, seq, data.action_name, given, found)
    template = b'{"id":"%b","seq":%d,"ts":"%b","n":%d,"pid":"' + recorder.producer.encode() + b'","data":'
    return {
        "Draft": recording._Draft,
        "Plain": PlainEvent,
        "action": _action,
        "agent": scope.agent,
        "array": array,
        "data": data,
        "draft": draft,
        "encode": payload.encode,
        "event_id": event_id,
        "event_id_b": event_id.encode(),
        "found": found,
        "given": given,
        "json": msgspec.json.Encoder().encode,
        "kind": types.ACTION,
        "mp": msgspec.msgpack.Encoder().encode,
        "name": name,
        "node": scope.interaction,
        "now": recorder.clock.now,
        "producer": recorder.producer,
        "run": run.run_id,
        "seq": seq,
        "template": template,
        "ts": ts,
        "ts_b": ts.encode(),
        "workflow": run.workflow,
    }


def _of_the_frame(scope: Scope) -> dict[str, Any]:
    return {
        "MAGIC": frame.MAGIC,
        "adler32": zlib.adler32,
        "crc32": zlib.crc32,
        "head": frame.HEADER.pack(frame.MAGIC, 0, 32, 36, 900, 0, scope.span) + scope.run.topic + scope.run.key,
        "header": frame.HEADER.pack,
        "join": b"".join,
        "key": scope.run.key,
        "pack": frame.pack,
        "span": scope.span,
        "topic": scope.run.topic,
        "trailer": frame.TRAILER.pack,
    }


def _of_files(directory: Path) -> dict[str, Any]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with (directory / "mapped").open("w+b") as file:
        file.truncate(_MAPPED)
        mapped = mmap.mmap(file.fileno(), _MAPPED)
    return {
        "fd": os.open(directory / "written", flags | os.O_APPEND, 0o600),
        "mapped": mapped,
        "seek": mapped.seek,
        "write_mapped": mapped.write,
        "null": os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC),
        "write": os.write,
        "writev": os.writev,
    }


def _action(name: str, given: Any, found: Any) -> types.Action:
    """As `log_action` makes it."""
    return types.Action(
        action_name=name,
        input_data=given,
        output_data=found,
        duration_ms=None,
        model=None,
        tokens=None,
        cost=None,
        status=None,
        error=None,
        fields={},
    )


def _empty(
    action_name: str,
    input_data: Any = None,
    output_data: Any = None,
    *,
    model: str | None = None,
    tokens: Any = None,
    cost: float | None = None,
    duration_ms: float | None = None,
    status: str | None = None,
    exc: BaseException | None = None,
    **fields: Any,
) -> None:
    """The signature of `log_action`."""


if __name__ == "__main__":
    sys.exit(main())
