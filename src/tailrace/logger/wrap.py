"""`wrap`: a function that runs, wherever it is called, in the place in which it was wrapped."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar

from tailrace.logger import counters
from tailrace.logger.context import Scope, current
from tailrace.logger.headers import Place
from tailrace.logger.propagation import place_of, scope_at
from tailrace.logger.state import recorder

P = ParamSpec("P")
R = TypeVar("R")


def wrap(fn: Callable[P, R], /) -> Callable[P, R]:
    """The function, bound to the current place: for threads, executors and processes, which begin without one.

        executor.submit(tailrace.wrap(search), query)

    What it logs goes into the run, and under the node, that is current here and now. It may be called many times and
    by many threads at once. Takes functions and coroutine functions. Can be pickled where `fn` can: in a process of
    `multiprocessing` or a `ProcessPoolExecutor` it joins the run; such a process has the settings of its environment
    and files, and with the start method `fork` also those of `configure_logger`. Never raises by itself.
    """
    return _Placed(fn, current.get())


class _Placed(Generic[P, R]):
    def __init__(self, fn: Callable[P, R], scope: Scope | None, place: Place | None = None) -> None:
        self._fn = fn
        self._scope = scope
        self._place = place
        """Of an unpickled one, which finds its scope with the first call."""
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        scope = self._scope or self._found()
        outer = current.get()
        current.set(scope)
        try:
            result = self._fn(*args, **kwargs)
        finally:
            current.set(outer)
        return _continued(result, scope) if inspect.iscoroutine(result) else result  # type: ignore[return-value]

    def _found(self) -> Scope | None:
        if self._place is not None:
            try:
                self._scope = scope_at(self._place, recorder(), None)
            except Exception as error:  # noqa: BLE001 - the function must run all the same
                counters.count(counters.CAPTURE, "wrap", f"a call cannot join its run: {type(error).__name__}: {error}")
        return self._scope

    def __reduce__(self) -> tuple[Any, ...]:
        place = self._place
        if self._scope is not None and self._scope.run.is_open:
            place = place_of(self._scope)
        return _Placed, (self._fn, None, place)


async def _continued(coroutine: Coroutine[Any, Any, Any], scope: Scope | None) -> Any:
    outer = current.get()
    current.set(scope)
    try:
        return await coroutine
    finally:
        current.set(outer)
