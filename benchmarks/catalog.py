"""Every peer by name, in the order of `--list`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers import Peer
from benchmarks.peers.doors import OverrideElsewhere, OverrideMatching, StdlibRecord
from benchmarks.peers.kafka import Aiokafka, ConfluentKafka, ConfluentKafkaSame
from benchmarks.peers.loggers import Loguru, Picologging, StdlibJson, Structlog
from benchmarks.peers.otel import OtelLog, OtelSpan
from benchmarks.peers.ours import OnKafka, OnKafkaInThread, OnSqlite, SpoolOnly
from benchmarks.peers.reference import Floor, Nothing
from benchmarks.peers.tracers import Langfuse, LangSmith, Logfire, Phoenix

PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        Nothing,
        Floor,
        SpoolOnly,
        OnSqlite,
        OnKafka,
        OnKafkaInThread,
        OverrideElsewhere,
        OverrideMatching,
        StdlibRecord,
        Structlog,
        Picologging,
        Loguru,
        StdlibJson,
        OtelLog,
        OtelSpan,
        Logfire,
        Phoenix,
        Langfuse,
        LangSmith,
        Aiokafka,
        ConfluentKafka,
        ConfluentKafkaSame,
    )
}


def versions() -> dict[str, str]:
    """Distribution -> version, of what is installed of the peers' and of what tailrace itself stands on."""
    wanted = {name for peer in PEERS.values() for name in peer.packages} | {"msgspec", "anyio", "hyperscan"}
    return {name: found for name in sorted(wanted) if (found := _version(name))}


def missing(peer: type[Peer]) -> str:
    """The first distribution that it needs and that is not installed; empty if none."""
    return next((name for name in peer.packages if not _version(name)), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
