"""Reading by id, writing on condition, and what became of each write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from tailrace.errors import StoreError
from tailrace.store.opensearch.client import PASSING, TOO_LARGE, AnswerError, Client

BULK_BYTES = 5 << 20
CONFLICT = 409

_BAD_REQUEST = 400
_MISSING_INDEX = "index_not_found_exception"
_NO_SHARD = "no_shard_available_action_exception"
_ANSWER = ("status", "error.type", "error.reason", "_seq_no", "_primary_term")
_WANTED = {"filter_path": ",".join(f"items.*.{name}" for name in _ANSWER)}


class NoShardError(StoreError):
    """The index was made this moment, or is being recovered: what stands in it cannot be read yet."""


class Failure(msgspec.Struct, frozen=True):
    """Why the server refused."""

    type: str = ""
    reason: str = ""


class Source(msgspec.Struct, frozen=True):
    """What was read of a piece; a field that was not asked for is empty."""

    body: str = ""
    digest: str = ""
    text: str = ""
    summary: str = ""
    """Of a run that was last written before template version 2."""


class Present(msgspec.Struct, frozen=True):
    """A piece as it stands in its index, with what a conditional write must name; all None if it is not there."""

    source: Source | None = msgspec.field(name="_source", default=None)
    seq_no: int | None = msgspec.field(name="_seq_no", default=None)
    primary_term: int | None = msgspec.field(name="_primary_term", default=None)
    error: Failure | None = None

    @property
    def body(self) -> bytes | None:
        return self.source.body.encode() if self.source else None


ABSENT = Present()


class _PresentPieces(msgspec.Struct, frozen=True):
    docs: list[Present]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one write."""

    status: int
    error: Failure = Failure()
    seq_no: int | None = msgspec.field(name="_seq_no", default=None)
    primary_term: int | None = msgspec.field(name="_primary_term", default=None)

    @property
    def verdict(self) -> Literal["done", "again", "never", "stop"]:
        if self.status < 300:  # noqa: PLR2004 - success in HTTP
            return "done"
        # Also what concerns the cluster, not the document: it passes when someone frees disk space or raises a limit.
        blocked = self.error.type == "cluster_block_exception" or "maximum shards open" in self.error.reason
        if self.status == CONFLICT or self.status in PASSING or blocked:
            return "again"
        return "never" if self.status in (_BAD_REQUEST, TOO_LARGE) else "stop"

    def __str__(self) -> str:
        return f"{self.status} {self.error.type}: {self.error.reason}"


class _Outcomes(msgspec.Struct, frozen=True):
    items: list[dict[str, Outcome]]


async def read(client: Client, targets: Sequence[Mapping[str, str]], field: str) -> list[Present]:
    """One field of each piece as last written, whether refreshed or not."""
    if not targets:
        return []
    wanted = msgspec.json.encode({"docs": targets})
    answer = await client.request("POST", "/_mget", _PresentPieces, wanted, {"_source": field})
    for present in answer.docs:
        if present.error is not None and present.error.type != _MISSING_INDEX:
            what = f"the store at {client.name} could not read: {present.error.type}: {present.error.reason}"
            raise (NoShardError if present.error.type == _NO_SHARD else StoreError)(what, retryable=True)
    return answer.docs


def lines(target: Mapping[str, str], fields: Mapping[str, Any], present: Present) -> bytes:
    """A write of a bulk request, on the condition that nobody else writes first."""
    if present.seq_no is None:
        action: dict[str, Any] = {"create": target}
    else:
        action = {"index": {**target, "if_seq_no": present.seq_no, "if_primary_term": present.primary_term}}
    return msgspec.json.encode(action) + b"\n" + msgspec.json.encode(fields) + b"\n"


def parts(writes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Parts of at most `BULK_BYTES`; a larger write goes alone."""
    part: list[bytes] = []
    size = 0
    for write in writes:
        if part and size + len(write) > BULK_BYTES:
            yield part
            part, size = [], 0
        part.append(write)
        size += len(write)
    if part:
        yield part


async def send(client: Client, writes: Sequence[bytes]) -> list[Outcome]:
    """What became of each write; a request that is too large for the server is halved."""
    found = []
    for part in parts(writes):
        found += await _send_part(client, part)
    return found


async def _send_part(client: Client, writes: Sequence[bytes]) -> list[Outcome]:
    try:
        answer = await client.request("POST", "/_bulk", _Outcomes, b"".join(writes), _WANTED)
    except AnswerError as error:
        if error.status == TOO_LARGE and len(writes) > 1:
            half = len(writes) // 2
            return await _send_part(client, writes[:half]) + await _send_part(client, writes[half:])
        if error.status == TOO_LARGE or error.status in PASSING:
            return [Outcome(error.status, Failure("refused", str(error)))] * len(writes)
        raise
    return [outcome for item in answer.items for outcome in item.values()]
