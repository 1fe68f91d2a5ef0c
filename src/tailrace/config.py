"""Settings: one frozen `Config`, one reader of the environment and of toml files.

Layers, strongest first: keyword arguments, environment `TAILRACE_*` (nested by `__`), `tailrace.toml`,
`[tool.tailrace]` in `pyproject.toml`, defaults. The files are looked for in the working directory.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tailrace.errors import ConfigError
from tailrace.layers import check_keys, environment_layers, explain, merge, read_toml, toml_layers
from tailrace.sampling import SampleSettings, sample_checks

_CALL = "configure_logger(...)"

_KAFKA_RECORD_LIMIT = 1_000_000
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,80}")
_IN_MEMORY = "'internal' with the bus memory:, which other processes cannot reach"
_ADDRESS = re.compile(r"(?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?[0-9]{1,5}")
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,200}")
_DAY = 86_400.0
_LONG = 36_500 * _DAY

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class TopicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How topics are created. Changing these later does not alter topics that exist."""

    partitions: int | None = None
    """Partitions of a new topic; None: 6 on Kafka, 1 on the SQLite and memory buses."""
    replication: int | None = None
    """Replicas of a new Kafka topic; None: the broker's `default.replication.factor`."""
    retention_hours: float = 168.0
    """How long records are kept: 7 days, at least twice the longest outage to be survived."""
    max_topics: int = 200
    """Workflow names beyond this many share `<prefix>.events.overflow-0..15`."""


class SpoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The append-only files in which an event is safe before it is published."""

    directory: str | None = None
    """None: `<home>/spool`."""
    segment_bytes: int = 8 << 20
    """A segment is closed at about this size, and deleted or used again once the bus has acknowledged all of it."""
    max_bytes: int = 1 << 30
    """Budget of one process. Beyond it events are dropped, counted, and the document shows it."""
    max_event_bytes: int = 900_000
    """A larger event is replaced by a stand-in with its length and hash (Kafka's own limit is 1 MiB)."""


class AggregateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the aggregate stage emits documents."""

    live_after: float = 1.0
    """Seconds after which an open run's new events are emitted as a partial document; ten times that for events more
    than 2 s late when they come, so that a worker that is behind catches up first."""
    abandon_after: float = 86_400.0
    """Seconds of silence after which an open run is shown as `abandoned` (a later event reopens it)."""
    max_held_bytes: int = 320 << 20
    """Bytes of runs kept in memory. Beyond it those that ended are forgotten, then open ones emitted as they are and
    forgotten, the longest silent first; their later events follow as partial documents, which the index stage joins."""


class IndexSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the index stage joins."""

    max_joined_bytes: int = 16 << 20
    """Bytes of documents, as on the bus, that are read, joined and written together; at most 200 documents, at least
    one. Taken apart they need several times that memory. Kafka keeps a bound of its own, of the same size."""


class ConsumeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How consumers run, whichever stage it is."""

    instance: str | None = None
    """A worker's name in its Kafka group, its own among the workers of a stage and the same after a restart: one that
    is back within the bus's `session_timeout_ms` goes on with its partitions, and the others never stop."""
    max_dead_per_minute: int = 1000
    """A stage that sends this many records to dead letters within a minute stops and says so; 0: it never does."""
    metrics: str | int | None = None
    """`PORT`, on this host alone, or `HOST:PORT`, at which a consumer serves `/metrics`, `/livez` and `/readyz`."""


class RedactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is masked in payloads before they leave the process, beside the built-in keys and patterns."""

    enabled: bool = True
    keys: list[str] = []
    """Further key names whose values are masked, in any spelling (`ssn`, `cardNumber`). Not from the environment."""
    patterns: dict[str, str] = {}
    """Name -> regular expression (hyperscan's syntax) whose matches are masked as `[redacted:<name>]`."""


class PropagationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `tailrace.extract` believes of the headers that come with a request or record."""

    accept: bool = True
    """Whether a caller's headers are read at all."""
    workflows: list[str] = []
    """Workflows whose runs a caller may join; empty: any. Not from the environment."""
    baggage: list[str] = []
    """Names of baggage fields of others that are let in and passed on. Not from the environment."""
    max_bytes: int = 8192
    """Longer headers are rejected: traceparent, tracestate and baggage together."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of tailrace. Build it with `load()`; fields are documented where they are used."""

    workflow_name: str = "default"
    """The workflow of `get_logger()`; its slug names the topic."""
    logs_dir: str | None = None
    """If set, `finalize()` leaves the run's document there as a JSON file."""
    verbosity: Level = "INFO"
    """Log lines below this level are not recorded. Other events always are."""
    home: str = ".tailrace"
    """Directory of the default SQLite file and of the spool."""
    bus: str | None = None
    """`sqlite:///path`, `kafka://host:port[,host:port][?option=value]` or `memory:`; None: SQLite in `home`."""
    store: str | None = None
    """`sqlite:///path`, `opensearch://host:9200` or `memory:`; None: SQLite in `home`."""
    prefix: str = "tailrace"
    """First part of every topic name and consumer group."""
    publish: Literal["companion", "internal", "external"] | None = None
    """Who ships the spool. `companion`: one process beside all logging processes of this `home` and bus, started by the
    first. `internal`: a thread of the logging process. `external`: `tailrace ship` or consumers. None: see
    `publisher`."""
    exit_timeout: float = 2.0
    """Seconds that a clean exit may spend on shipping; the rest stays on the spool."""
    topics: TopicSettings = TopicSettings()
    spool: SpoolSettings = SpoolSettings()
    sample: SampleSettings = SampleSettings()
    aggregate: AggregateSettings = AggregateSettings()
    index: IndexSettings = IndexSettings()
    consume: ConsumeSettings = ConsumeSettings()
    redact: RedactSettings = RedactSettings()
    propagation: PropagationSettings = PropagationSettings()

    @property
    def publisher(self) -> Literal["companion", "internal", "external"]:
        """`publish`; if not set, `companion` for Kafka, whose client is work for a process, else `internal`."""
        return self.publish or ("companion" if self.bus_url.startswith("kafka:") else "internal")

    @property
    def home_path(self) -> Path:
        return Path(self.home)

    @property
    def spool_path(self) -> Path:
        return Path(self.spool.directory) if self.spool.directory else self.home_path / "spool"

    @property
    def bus_url(self) -> str:
        return self.bus or f"sqlite:///{self.home_path / 'tailrace.db'}"

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{self.home_path / 'tailrace.db'}"


def joined(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two sets of keyword arguments as one: the later value counts, None leaves the earlier one, tables are joined."""
    found = dict(earlier)
    for key, value in later.items():
        before = found.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            found[key] = joined(before, value)
        elif value is not None:
            found[key] = value
    return found


def differences(before: msgspec.Struct, after: msgspec.Struct, path: str = "") -> list[str]:
    """The settings that differ, each with both values where those are no secrets."""
    found: list[str] = []
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
            found += differences(old, new, f"{path}{name}.")
        else:
            is_shown = isinstance(old, int | float) or f"{path}{name}" in ("workflow_name", "logs_dir", "verbosity")
            found.append(f"{path}{name}" + (f" from {old} to {new}" if is_shown else ""))
    return found


class Loaded(msgspec.Struct, frozen=True):
    """A `Config` and where each value that is not a default came from (`{"spool.max_bytes": "environment ..."}`)."""

    config: Config
    origins: dict[str, str]


def environment_for_child(unwanted: Iterable[str]) -> dict[str, str]:
    """The environment of this process without these names, for a process that gets its `Config` another way."""
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def wants_auto() -> bool:
    """Whether `TAILRACE_AUTO` (1, true, yes or on) asks for `tailrace.install()` on import.

    Not in tailrace's own programs: a consumer that logged what it says would read that again.
    """
    program = Path((getattr(sys, "argv", None) or [""])[0]).name
    is_own = program == "tailrace" or "tailrace_consumers" in sys.orig_argv
    return not is_own and os.environ.get("TAILRACE_AUTO", "").lower() in ("1", "true", "yes", "on")


def load(overrides: Mapping[str, Any] | None = None, *, source: str = _CALL) -> Config:
    """Read all layers. `overrides` are what `source` gives, by name; None values mean "not given".

    Raises:
        ConfigError: a key is unknown or a value has the wrong type; names key, source and fix.
    """
    return load_with_origins(overrides, source=source).config


def load_with_origins(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    source: str = _CALL,
) -> Loaded:
    """As `load()`, from the given environment and directory (default: the process's own), with origins."""
    directory = directory or Path()
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return _joined(
        [
            *toml_layers(directory),
            *environment_layers(os.environ if environ is None else environ),
            (given, source),
        ]
    )


def load_file(path: Path) -> Config:
    """The settings of one toml file alone, in the form of `tailrace.toml`.

    Raises:
        ConfigError: as `load`; or the file cannot be read.
    """
    return _joined([(read_toml(path), str(path.absolute()))]).config


def _joined(layers: Iterable[tuple[dict[str, Any], str]]) -> Loaded:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer, origin in layers:
        check_keys(layer, Config, origin, "")
        merge(merged, layer, origins, origin, "")
    try:
        config = msgspec.convert(merged, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(error, origins)) from error
    except UnicodeEncodeError as error:  # the environment may hold bytes that are not UTF-8
        raise ConfigError(f"a setting's value is not Unicode text: {error.object!r}; write it anew") from error
    _check_ranges(config, origins)
    return Loaded(config, origins)


def _check_ranges(config: Config, origins: Mapping[str, str]) -> None:
    topics, spool, aggregate = config.topics, config.spool, config.aggregate
    consume = config.consume
    checks = (
        ("workflow_name", bool(config.workflow_name), "a name that is not empty"),
        ("publish", not (config.publish == "companion" and config.bus_url.startswith("memory:")), _IN_MEMORY),
        ("prefix", _PREFIX.fullmatch(config.prefix), "1 to 80 of the characters of topic names: A-Z a-z 0-9 . _ -"),
        ("exit_timeout", _within(config.exit_timeout, 0, _DAY), "0 to 86400 seconds"),
        ("topics.partitions", _within(topics.partitions, 1, 10_000), "1 to 10000"),
        ("topics.replication", _within(topics.replication, 1, 1_000), "1 to 1000"),
        ("topics.retention_hours", _within(topics.retention_hours, 0.001, 1e6), "0.001 to 1000000 hours"),
        ("topics.max_topics", topics.max_topics >= 1, "at least 1"),
        ("spool.segment_bytes", spool.segment_bytes >= 1 << 12, "at least 4096"),
        ("spool.max_bytes", spool.max_bytes >= 0, "0 or more bytes"),
        ("spool.max_event_bytes", _within(spool.max_event_bytes, 1 << 10, _KAFKA_RECORD_LIMIT), "1024 to 1000000"),
        *sample_checks(config.sample),
        ("aggregate.live_after", _within(aggregate.live_after, 0, _LONG), "0 to 3153600000 seconds (100 years)"),
        ("aggregate.abandon_after", _within(aggregate.abandon_after, 0, _LONG), "0 to 3153600000 seconds (100 years)"),
        ("aggregate.max_held_bytes", aggregate.max_held_bytes >= 0, "0 or more bytes"),
        ("index.max_joined_bytes", config.index.max_joined_bytes >= 1, "at least 1"),
        ("consume.instance", _fits(_INSTANCE, consume.instance), "1 to 200 of the characters A-Z a-z 0-9 . _ -"),
        ("consume.max_dead_per_minute", consume.max_dead_per_minute >= 0, "0 or more"),
        ("consume.metrics", _fits(_ADDRESS, consume.metrics), "a port, or host:port"),
        ("propagation.max_bytes", config.propagation.max_bytes >= 0, "0 or more bytes"),
    )
    for key, ok, wanted in checks:
        if not ok:
            source = origins.get(key.partition("[")[0], "the defaults")
            raise ConfigError(f"setting {key!r} from {source} is out of range; it takes {wanted}")


def _fits(pattern: re.Pattern[str], value: str | int | None) -> bool:
    return value is None or pattern.fullmatch(str(value)) is not None


def _within(value: float | None, low: float, high: float) -> bool:
    """None, which stands for a default, is within any range; NaN is within none."""
    return value is None or low <= value <= high
