"""From a URL's scheme to the bus or store that serves it. Implementations are imported only when asked for.

Third parties add theirs through the entry-point groups `tailrace.buses` and `tailrace.stores`: the name is the
scheme, the object a callable `(Config) -> Bus` or `(Config) -> Store`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tailrace.errors import ConfigError

if TYPE_CHECKING:
    from tailrace.bus import Bus
    from tailrace.config import Config
    from tailrace.store import Store

_BUSES = {
    "sqlite": "tailrace.bus.sqlite:open_bus",
    "kafka": "tailrace.bus.kafka:open_bus",
    "memory": "tailrace.bus.memory:open_bus",
}
_STORES = {
    "sqlite": "tailrace.store.sqlite:open_store",
    "opensearch": "tailrace.store.opensearch:open_store",
    "elasticsearch": "tailrace.store.opensearch:open_store",
    "memory": "tailrace.store.memory:open_store",
}


def open_bus(config: Config) -> Bus:
    """The bus that `config.bus_url` names. Does not connect: the first call on it does.

    Raises:
        ConfigError: no bus serves the URL's scheme, or the URL cannot be read.
    """
    bus: Bus = _factory(config.bus_url, "bus", _BUSES, "tailrace.buses")(config)
    return bus


def open_store(config: Config) -> Store:
    """The store that `config.store_url` names. Does not connect: the first call on it does.

    Raises:
        ConfigError: no store serves the URL's scheme, or the URL cannot be read.
        MissingExtraError: the store's client library is not installed.
    """
    store: Store = _factory(config.store_url, "store", _STORES, "tailrace.stores")(config)
    return store


def _factory(url: str, kind: str, builtin: Mapping[str, str], group: str) -> Callable[[Config], Any]:
    scheme, colon, _ = url.partition(":")
    if colon and scheme in builtin:
        module, _, name = builtin[scheme].partition(":")
        factory: Callable[[Config], Any] = getattr(import_module(module), name)
        return factory
    others = {point.name: point for point in entry_points(group=group)}
    if colon and scheme in others:
        loaded: Callable[[Config], Any] = others[scheme].load()
        return loaded
    known = sorted({*builtin, *others})
    close = difflib.get_close_matches(scheme, known, n=1)
    hint = f"did you mean {close[0]}:?" if close else f"known: {', '.join(f'{name}:' for name in known)}"
    # Only the scheme: the rest may hold a password.
    raise ConfigError(f"no {kind} serves {scheme + colon!r}; {hint}")
