"""Which runs are kept: by a share of the run ids, and by what happened in them. Pure, the same on every machine."""

from __future__ import annotations

import hashlib

import msgspec

from tailrace.config import SampleSettings
from tailrace.event import Event, types

_SUCCESS = frozenset({"completed", "success", "ok"})
_FAILURE = frozenset({"failed", "error"})
_LOUD = frozenset({"error", "critical"})
_RESULTS = frozenset({types.ITERATION_END, types.INTERACTION_END, types.ACTION_END, types.ACTION})
_NULL = msgspec.Raw(b"null")


class Policy(msgspec.Struct, frozen=True):
    """Keep `rate` of all runs, and with `keep_errors` also every run in which something failed."""

    rate: float
    keep_errors: bool

    @classmethod
    def of(cls, settings: SampleSettings) -> Policy:
        return cls(settings.rate, settings.keep_errors)

    @property
    def keeps_all(self) -> bool:
        return self.rate >= 1.0

    def keeps(self, run_id: str) -> bool:
        """Whether the run is kept whatever happens in it."""
        return share(run_id) < self.rate

    def by_rate(self) -> types.Sampled:
        """What a run kept by its id says: it stands for `weight` runs like it."""
        return types.Sampled(rate=self.rate, reason="rate", weight=1.0 / self.rate)

    def by_error(self) -> types.Sampled:
        """What a run with an error says: all of these are kept, so it stands for itself, its id's share or not."""
        return types.Sampled(rate=1.0, reason="error", weight=1.0)


def share(run_id: str) -> float:
    """A number from 0 up to but not 1, even over all run ids, and always the same for one."""
    digest = hashlib.blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


class _Signs(msgspec.Struct):
    """What of an event's `data` tells of failure; values may be anything."""

    level: msgspec.Raw = _NULL
    status: msgspec.Raw = _NULL
    final_status: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_signs = msgspec.json.Decoder(_Signs)
_any = msgspec.json.Decoder()


def is_error(event: Event) -> bool:
    """Whether something failed: an error, a loud log line, a failed node, a run that did not end well."""
    if event.type in {types.ERROR, types.PRODUCER_LOST}:
        return True
    if event.type == types.LOG:
        return _word(_signs.decode(event.data).level) in _LOUD
    if event.type == types.RUN_END:
        signs = _signs.decode(event.data)
        return signs.error != _NULL or _word(signs.final_status) not in _SUCCESS
    if event.type in _RESULTS:
        signs = _signs.decode(event.data)
        return signs.error != _NULL or _word(signs.status) in _FAILURE
    return False


def _word(raw: msgspec.Raw) -> str:
    """A JSON string in lower case; "" for anything else."""
    try:
        value = _any.decode(raw)
    except msgspec.MsgspecError:  # a number that no float can hold
        return ""
    return value.lower() if isinstance(value, str) else ""
