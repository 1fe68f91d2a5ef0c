"""An event's JSON put together from parts: what many events share is encoded once, the rest when it is needed.

A logging call encodes only `data`. The envelope is written around it by who ships the event, from the few numbers that
the spool keeps; that is outside the call, and the same text comes out whoever does it.
"""

from __future__ import annotations

import msgspec

from tailrace.event import types
from tailrace.event.ids import THREE_DIGITS, up_to

_TYPES = {code: type_ for type_, code in types.CODES.items()}
ENVELOPE_BYTES = 200
"""What `compose` adds around `shared` and `data`, at most."""


def share(
    pid: str, run: str, workflow: str, *, iteration: str = "", interaction: str = "", action: str = "", agent: str = ""
) -> str:
    """The part that all events of one producer at one place in a run have alike."""
    fields = {
        "pid": pid,
        "run": run,
        "workflow": workflow,
        "iteration": iteration,
        "interaction": interaction,
        "action": action,
        "agent": agent,
    }
    present = {name: value for name, value in fields.items() if value or name in ("pid", "run", "workflow")}
    return f'{msgspec.json.encode(present).decode()[:-1]},"id":"{pid}-'


def compose(shared: str, seq: int, code: int, microseconds: int, n: int, data: bytes) -> bytes:
    """The whole event. `code`: the number of its type; `data`: its payload, encoded.

    Raises:
        KeyError: this version knows no type of that number.
    """
    # The time as `ids.text_of` writes it, without another text made on the way.
    milliseconds, rest = divmod(microseconds, 1000)
    head = (
        f'{shared}{seq}","seq":{seq},"type":"{_TYPES[code]}",'
        f'"ts":"{up_to(milliseconds)}{THREE_DIGITS[rest]}Z","n":{n},"data":'
    )
    return b"".join((head.encode(), data, b"}"))
