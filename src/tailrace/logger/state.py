"""The process's state, and the only place that has any: the current recorder, made on first use."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from tailrace.config import Config, load
from tailrace.errors import UnsupportedPlatformError
from tailrace.logger import counters
from tailrace.logger.context import current
from tailrace.logger.logger import Logger
from tailrace.logger.recorder import Recorder

_recorder: Recorder | None = None
_make_recorder: Callable[[Config], Recorder] = Recorder
_making = threading.RLock()
_loggers: dict[str | None, Logger] = {}


def configure_logger(
    workflow_name: str | None = None, logs_dir: str | None = None, verbosity: str | None = None, **settings: Any
) -> Logger:
    """Set up logging for this process: `bus=`, `store=`, and any field of `tailrace.config.Config`.

    Not needed: without it `get_logger()` uses the environment, `tailrace.toml`, `pyproject.toml` and the defaults.
    May be called again: loggers already handed out follow, runs under way go on, and what the earlier configuration
    accepted is still shipped. Makes no connection and no file.

    Raises:
        ConfigError: a setting is unknown or wrong; the message names key, source and fix.
        UnsupportedPlatformError: neither Linux nor macOS.
    """
    global _recorder  # noqa: PLW0603 - this module is the place for it
    _check_platform()
    given = {"workflow_name": workflow_name, "logs_dir": logs_dir, "verbosity": verbosity, **settings}
    config = load(given)
    with _making:
        before = _recorder
        if before is None or before.config != config:
            _recorder = _make_recorder(config)
            if before is not None:
                before.retire()
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
            _recorder = _make_recorder(load())
        return _recorder


def record_with(make: Callable[[Config], Recorder], config: Config) -> Callable[[], None]:
    """Record with recorders of this make from now on, also after `configure_logger`; gives the undo. For tests.

    The present recorder goes on with what it has accepted.
    """
    global _recorder, _make_recorder
    new = make(config)
    with _making:
        before = (_recorder, _make_recorder)
        _recorder, _make_recorder = new, make

    def undo() -> None:
        global _recorder, _make_recorder
        with _making:
            _recorder, _make_recorder = before

    return undo


def reset() -> None:
    """Forget configuration and context, shipping nothing: for tests."""
    global _recorder
    with _making:
        before, _recorder = _recorder, None
        _loggers.clear()
    current.set(None)
    counters.reset()
    if before is not None:
        before.close(0.0)


def _check_platform() -> None:
    if not sys.platform.startswith(("linux", "darwin")):
        raise UnsupportedPlatformError(f"tailrace runs on Linux and macOS, not on {sys.platform}")


def _at_exit() -> None:
    if _recorder is not None:
        _recorder.close(_recorder.config.exit_timeout)


def _in_child() -> None:
    """The parent's files are the parent's: a forked child gets a producer of its own with its first event."""
    global _recorder, _making  # noqa: PLW0603
    _making = threading.RLock()  # another thread of the parent may have held it
    if _recorder is not None:
        before, _recorder = _recorder, _make_recorder(_recorder.config)
        before.forget()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
