"""A run written event by event, as its producers would, and read as people read it."""

import msgspec

from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import Event

RUN = "0190a1b2c3d47000800000000000abcd"
ITERATION, TURN, ACT = "1" * 16, "2" * 16, "3" * 16


def at(second):
    return f"2026-01-01T00:00:{second:02d}.000000Z"


class Story:
    """The events of one run; each `tell` is a second later than the one before, unless it says when."""

    def __init__(self):
        self.events = []
        self.told = {}

    def tell(self, type_, data=None, *, pid="p", second=None, n=None, **envelope):
        seq = self.told[pid] = self.told.get(pid, -1) + 1
        self.events.append(
            Event(
                id=f"{pid}-{seq}",
                seq=seq,
                pid=pid,
                run=RUN,
                workflow=envelope.pop("workflow", "support-bot"),
                type=type_,
                ts=at(len(self.events) if second is None else second),
                n=seq if n is None else n,
                data=msgspec.Raw(data if isinstance(data, bytes) else msgspec.json.encode(data or {})),
                **envelope,
            )
        )
        return self

    @property
    def document(self):
        return collect(self.events)[RUN]

    @property
    def seen(self):
        """The document's JSON, decoded."""
        return msgspec.json.decode(render(self.document))
