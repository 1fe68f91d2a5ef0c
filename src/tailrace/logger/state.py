"""The process's state, and the only place that has any: the current recorder, made on first use."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from tailrace.config import Config, differences, joined, load
from tailrace.errors import UnsupportedPlatformError
from tailrace.logger import counters, plugins
from tailrace.logger.chain import Chain, Rule
from tailrace.logger.context import Scope, current
from tailrace.logger.logger import Logger
from tailrace.logger.recorder import Recorder
from tailrace.spool.frame import Frame

_recorder: Recorder | None = None
_make_recorder: Callable[[Config], Recorder] = Recorder
_making = threading.RLock()
_loggers: dict[str | None, Logger] = {}
_given: dict[str, Any] = {}
"""What `configure_logger` has been given so far."""
_is_configured = False
"""Whether it has been called."""
_chain = Chain()
_has_plugins = False
"""Whether the overrides of installed packages have been looked for."""
_relays: dict[str, Recorder] = {}
"""What ships copies of events to other buses, by URL."""


def configure_logger(
    workflow_name: str | None = None, logs_dir: str | None = None, verbosity: str | None = None, **settings: Any
) -> Logger:
    """Set up logging for this process: `bus=`, `store=`, and any field of `tailrace.config.Config`.

    Not needed: without it `get_logger()` uses the environment, `tailrace.toml`, `pyproject.toml` and the defaults. May
    come before or after `get_logger()`, and again: then it changes what it is given and leaves the rest, and says on
    stderr what changed. Loggers already handed out follow, runs under way go on, and what the earlier configuration
    accepted is still shipped. Any thread; makes no connection and no file.

    Raises:
        ConfigError: a setting is unknown or wrong; the message names key, source and fix.
        UnsupportedPlatformError: neither Linux nor macOS.
    """
    global _recorder, _given, _is_configured  # noqa: PLW0603 - this module is the place for it
    _check_platform()
    now = {"workflow_name": workflow_name, "logs_dir": logs_dir, "verbosity": verbosity, **settings}
    with _making:
        given = joined(_given, now)
        config = load(given)
        before = _recorder
        if before is None or before.config != config:
            _recorder = _made(config)
            if before is not None:
                if _is_configured or before.has_begun:
                    line = (
                        f"configure_logger was called again and changed {', '.join(differences(before.config, config))}"
                    )
                    before.warn(line, key=line)
                before.retire()
        _given, _is_configured = given, True
    return get_logger()


def get_logger(workflow_name: str | None = None) -> Logger:
    """The logger of a workflow (default: the setting `workflow_name`). The same object each time; any thread.

    Raises:
        ConfigError: on the first use in a process whose environment or toml files hold a wrong setting.
    """
    recorder()
    logger = _loggers.get(workflow_name)
    if logger is None:
        logger = _loggers.setdefault(workflow_name, Logger(recorder, workflow_name))
    return logger


def recorder() -> Recorder:
    """The current recorder; made from the settings on first use."""
    return _recorder or _make()


def _make() -> Recorder:
    global _recorder  # noqa: PLW0603
    _check_platform()
    with _making:
        if _recorder is None:
            _recorder = _made(load())
        return _recorder


def _made(config: Config) -> Recorder:
    recorder = _make_recorder(config)
    _attach(recorder)
    return recorder


def record_with(make: Callable[[Config], Recorder], given: dict[str, Any]) -> Callable[[], None]:
    """Record with recorders of this make from now on, with `given` as settings; gives the undo. For tests.

    `configure_logger` then changes those settings. Overrides stay as they are. The present recorder, and what ships
    copies for it, go on with what they have accepted.
    """
    global _recorder, _make_recorder, _given, _is_configured, _relays  # noqa: PLW0603
    config = load(given)
    with _making:
        before = (_recorder, _make_recorder, _given, _is_configured, _relays)
        _make_recorder, _given, _is_configured, _relays = make, given, False, {}
        _recorder = _made(config)

    def undo() -> None:
        global _recorder, _make_recorder, _given, _is_configured, _relays
        with _making:
            _recorder, _make_recorder, _given, _is_configured, _relays = before
            if _recorder is not None:
                _attach(_recorder)

    return undo


def _attach(recorder: Recorder) -> None:
    """Put the overrides before the recorder; before the first event, what looks for those of installed packages."""
    if _has_plugins:
        _chain.attach(recorder)
    else:
        recorder.intercept, recorder.lowest_level = _first_event, 0


def _first_event(
    recorder: Recorder, scope: Scope, type_: str, data: msgspec.Struct, told: list[Frame] | None = None
) -> bool:
    _look_for_plugins(recorder)
    return _chain.record(recorder, scope, type_, data, told)


def settled_recorder() -> Recorder:
    """The current recorder, with the overrides of installed packages in place: its `lowest_level` is what counts."""
    found = recorder()
    if not _has_plugins:
        _look_for_plugins(found)
    return found


def _look_for_plugins(recorder: Recorder) -> None:
    global _has_plugins  # noqa: PLW0603
    with _making:
        if not _has_plugins:
            _has_plugins = True  # first: what is loaded may log
            for found in plugins.overrides(recorder.warn):
                if not isinstance(getattr(found, "_rule", None), Rule):  # else it installed itself when it was loaded
                    change_chain(functools.partial(Chain.adding, rule=Rule(found)))
        _attach(recorder)


def guard() -> threading.RLock:
    """The lock under which the process's state changes; a fork leaves it free in the child. Held for moments only."""
    return _making


def change_chain(change: Callable[[Chain], Chain]) -> None:
    """Replace the installed overrides; calls that are under way keep those that they began with."""
    global _chain  # noqa: PLW0603
    with _making:
        _chain = change(_chain)
        if _recorder is not None:
            _attach(_recorder)


def relay(url: str) -> Recorder:
    """What ships copies of events to another bus, from a spool of its own under the current `home`."""
    return _relays.get(url) or _make_relay(url)


def _make_relay(url: str) -> Recorder:
    with _making:
        if url not in _relays:
            config = recorder().config
            mark = hashlib.sha256(url.encode()).hexdigest()[:8]
            spool = config.spool
            if spool.directory:
                spool = msgspec.structs.replace(spool, directory=f"{spool.directory}-tee-{mark}")
            home = str(config.home_path / "tee" / mark)
            _relays[url] = _make_recorder(msgspec.structs.replace(config, bus=url, home=home, spool=spool))
        return _relays[url]


def reset() -> None:
    """Forget configuration, overrides and context, shipping nothing: for tests."""
    global _recorder, _given, _is_configured, _chain, _has_plugins
    with _making:
        before, _recorder, _given, _is_configured = _recorder, None, {}, False
        _chain, _has_plugins = Chain(), False
        relays = [*_relays.values()]
        _relays.clear()
        _loggers.clear()
    current.set(None)
    counters.reset()
    for each in filter(None, [before, *relays]):
        each.close(0.0)


def _check_platform() -> None:
    if not sys.platform.startswith(("linux", "darwin")):
        raise UnsupportedPlatformError(f"tailrace runs on Linux and macOS, not on {sys.platform}")


def _at_exit() -> None:
    if _recorder is not None:
        _recorder.close(_recorder.config.exit_timeout)
    for each in _relays.values():
        each.close(each.config.exit_timeout)


def _in_child() -> None:
    """The parent's files are the parent's: a forked child gets a producer of its own with its first event."""
    global _recorder, _making  # noqa: PLW0603
    _making = threading.RLock()  # another thread of the parent may have held it
    if _recorder is not None:
        before, _recorder = _recorder, _made(_recorder.config)
        before.forget()
    for each in _relays.values():
        each.forget()
    _relays.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
