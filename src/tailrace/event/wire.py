"""An event's JSON put together from parts: what many events share is encoded once, the rest when it is needed.

A logging call encodes only `data`. The envelope is written around it by who ships the event, from the few numbers that
the spool keeps; that is outside the call, and the same text comes out whoever does it.
"""

from __future__ import annotations

import msgspec

from tailrace.event import types
from tailrace.event.ids import THREE_DIGITS, up_to

_TYPES = {code: f',"type":"{type_}","ts":"' for type_, code in types.CODES.items()}
_MICROSECONDS = [f'{digits}Z","n":' for digits in THREE_DIGITS]
_join = b"".join
ENVELOPE_BYTES = 200
"""What `compose` adds around `shared` and `data`, at most."""


def share(
    pid: str, run: str, workflow: str, *, iteration: str = "", interaction: str = "", action: str = "", agent: str = ""
) -> bytes:
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
    return b'%b,"id":"%b-' % (msgspec.json.encode(present)[:-1], pid.encode())


def compose(shared: bytes, seq: int, code: int, microseconds: int, n: int, data: bytes) -> bytes:
    """The whole event. `code`: the number of its type; `data`: its payload, encoded.

    Raises:
        KeyError: this version knows no type of that number.
    """
    # The time as `ids.text_of` writes it.
    milliseconds, rest = divmod(microseconds, 1000)
    head = f'{seq}","seq":{seq}{_TYPES[code]}{up_to(milliseconds)}{_MICROSECONDS[rest]}{n},"data":'
    return _join((shared, head.encode(), data, b"}"))
