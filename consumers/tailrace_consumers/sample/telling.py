"""The sampler's word on a run as a record: an event beside the events of a kept run, a document for a dropped one.

The same decision gives the same bytes whenever it is told and by whomever, so that telling it again changes nothing.
"""

from __future__ import annotations

import hashlib

import msgspec

from tailrace.bus import Record
from tailrace.document import of
from tailrace.document.view import view
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, Event, encode, types
from tailrace.event.ids import run_started_at, time_text
from tailrace_consumers.sample.facts import Facts
from tailrace_consumers.sample.policies import Decision

PID = "sampler"
RESTORED = types.Sampled(rate=1.0, reason="restored", weight=0.0)
"""For a run brought back by hand: others were kept that stand for it."""

_HEADERS = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))
_RANKS = 1 << 20
_encoder = msgspec.json.Encoder()


def sampled_of(decision: Decision, *, dry_run: bool) -> types.Sampled:
    """What a run says that is passed on under this decision."""
    if dry_run:
        would = types.Would(keep=decision.keep, rate=decision.rate, reason=decision.reason)
        return types.Sampled(rate=1.0, reason="dry run", weight=1.0, would=would)
    return types.Sampled(rate=decision.rate, reason=decision.reason, weight=decision.weight)


def mark(topic: str, run: str, workflow: str, sampled: types.Sampled) -> Record:
    """`run.sampled` for a topic of kept runs.

    Of two decisions on one run the likelier one is true in the end (an error came to a run that its id had kept), so it
    has the greater number, which makes it the later one in a document.
    """
    likely = sampled.would.rate if sampled.would else 1.0 / max(1.0, sampled.weight) if sampled.weight else 0.0
    rank = round((_RANKS - 1) * likely)
    event = _event(run, workflow, types.RUN_SAMPLED, _encoder.encode(sampled), rank)
    return Record(topic, run.encode(), encode(event), _HEADERS)


def stub(topic: str, run: Facts, decision: Decision) -> Record:
    """The document of a dropped run, for the topic of documents."""
    dropped = types.RunDropped(
        rate=decision.rate,
        reason=decision.reason,
        # Nothing was heard of a run without an end for as long as the sampler waits.
        state="complete" if run.ended_at is not None else "abandoned",
        final_status=run.status if run.ended_at is not None else "abandoned",
        start_time=run.started_at,
        end_time=run.ended_at,
        session=run.session,
        agents=sorted(run.agents),
        tags=run.tags,
        counts={**run.counts, "events": run.events},
        tokens=dict(sorted(run.tokens.items())),
        cost_usd=run.cost,
    )
    element = view(of(_event(run.run, run.workflow, types.RUN_DROPPED, _encoder.encode(dropped), 0)))
    headers = (*_HEADERS, ("tr-state", str(element["state"]).encode()))
    return Record(topic, run.run.encode(), _encoder.encode(element), headers)


def _event(run: str, workflow: str, type_: str, data: bytes, rank: int) -> Event:
    digest = hashlib.blake2b(data, digest_size=4).digest()
    seq = rank << 32 | int.from_bytes(digest, "big")
    return Event(
        id=f"{PID}-{seq}",
        seq=seq,
        pid=PID,
        run=run,
        workflow=workflow,
        type=type_,
        ts=_time_of(run),
        data=msgspec.Raw(data),
    )


def _time_of(run_id: str) -> str:
    """The time in the run id. A foreign id has none: 1970, before every event, so that it reopens no abandoned run."""
    started = run_started_at(run_id)
    return time_text(started.timestamp() if started else 0.0)
