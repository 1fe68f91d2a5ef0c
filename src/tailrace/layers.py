"""Layers of settings: toml files and an environment as nested tables, checked key by key and put over one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from tailrace.errors import ConfigError

_ENV_PREFIX = "TAILRACE_"
# Read elsewhere by the test suite or by the shell, never settings: not reported as unknown.
_ENV_FOREIGN = ("TAILRACE_TEST_", "TAILRACE_AUTO")


def toml_layers(directory: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """What `pyproject.toml` and `tailrace.toml` of a directory give, and the name of each.

    Raises:
        ConfigError: a file cannot be read.
    """
    project = directory / "pyproject.toml"
    if project.is_file():
        source = f"{project.absolute()} [tool.tailrace]"
        tools = read_toml(project).get("tool")
        own = tools.get("tailrace", {}) if isinstance(tools, dict) else {}
        if not isinstance(own, dict):
            raise ConfigError(f"{source} is not a table; write its settings below it as key = value")
        yield own, source
    own_file = directory / "tailrace.toml"
    if own_file.is_file():
        yield read_toml(own_file), str(own_file.absolute())


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConfigError: the file cannot be read."""
    import tomllib  # noqa: PLC0415 - most processes have no such file

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise ConfigError(f"{path.absolute()} cannot be read: {error}") from error


def environment_layers(environ: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], str]]:
    """What each `TAILRACE_*` gives, and its name."""
    for name in sorted(environ):
        if not name.startswith(_ENV_PREFIX) or name.startswith(_ENV_FOREIGN):
            continue
        layer: dict[str, Any] = {}
        *parents, leaf = name.removeprefix(_ENV_PREFIX).lower().split("__")
        inner = layer
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = environ[name]
        yield layer, f"environment variable {name}"


def check_keys(layer: Mapping[str, Any], struct: type[msgspec.Struct], source: str, path: str) -> None:
    """Raises ConfigError: a key that the Struct has no field for; names the nearest that it has."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in layer.items():
        if key not in fields:
            raise ConfigError(f"unknown setting {f'{path}{key}'!r} in {source}; {_nearest(key, fields, path)}")
        nested = _struct_in(fields[key])
        if nested:
            for where, table in _tables(value):
                check_keys(table, nested, source, f"{path}{key}{where}.")


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The kind of table that a field takes: by itself, as a list of them, or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return next(filter(None, map(_struct_in, get_args(annotation))), None)


def _tables(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield "", value
    elif isinstance(value, list | tuple):
        yield from ((f"[{number}]", each) for number, each in enumerate(value) if isinstance(each, Mapping))


def _nearest(key: object, known: Iterable[str], path: str) -> str:
    import difflib  # noqa: PLC0415 - for a wrong setting only

    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"did you mean {path + close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"


def merge(into: dict[str, Any], layer: Mapping[str, Any], origins: dict[str, str], source: str, path: str) -> None:
    """Put a stronger layer over those before it, and note where each value came from."""
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key, {}), dict):
            merge(into.setdefault(key, {}), value, origins, source, f"{path}{key}.")
        else:
            into[key] = value
            origins[f"{path}{key}"] = source  # keys of `redact.patterns` may be anything yet


def explain(error: msgspec.ValidationError, origins: Mapping[str, str]) -> str:
    """Which setting, from where, is wrong in what way."""
    reason, _, where = str(error).partition(" - at `$.")
    key = where.rstrip("`")
    setting = key.partition("[")[0]  # `redact.keys[0]` was given as `redact.keys`, or as keys below it
    given = (source for name, source in origins.items() if name == setting or name.startswith(f"{setting}."))
    source = next(given, "the settings")
    return f"setting {key!r} from {source} is not valid: {reason}"
