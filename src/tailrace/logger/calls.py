"""One call of a decorated function: its block in a run, from its begin to its end.

Nothing here raises: the function runs and ends as if it were not decorated, whatever becomes of its record.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from tailrace.event import payload
from tailrace.logger import counters
from tailrace.logger.capture import Capture, Items
from tailrace.logger.context import Scope, current, innermost
from tailrace.logger.recorder import Recorder
from tailrace.logger.scopes import Action, Interaction, Run, ScopeBase

Opener = Callable[[Recorder, Scope, str, Any, dict[str, Any]], ScopeBase]
"""Makes the block: recorder, place in the run, name, arguments, further fields."""


class Recipe:
    """What every call of one decorated function has alike."""

    __slots__ = ("capture", "name", "opener", "recorder", "tags")

    def __init__(
        self,
        recorder: Callable[[], Recorder],
        opener: Opener | None,
        name: str,
        capture: Capture,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.recorder = recorder
        self.opener = opener
        """None: each call is a run of its own."""
        self.name = name
        self.capture = capture
        self.tags = tags

    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Record the begin, and make the new block current."""
        call = Call(self)
        try:
            call.begin(args, kwargs)
        except Exception as error:  # noqa: BLE001 - the function must run all the same
            call.give_up(error)
        return call


class Call:
    """One call under way. Not thread-safe, but it may be moved between threads and contexts while it is not running."""

    __slots__ = ("_arguments", "_attempt", "_before", "_inside", "_items", "_place", "_recipe", "_run", "_scope")

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._before = current.get()
        self._inside: Scope | None = None
        self._run: Run | None = None
        """Begun for this call alone, where none was open."""
        self._scope: ScopeBase | None = None
        """None: the call is not recorded."""
        self._place: Scope | None = None
        self._arguments: dict[str, Any] | None = None
        self._attempt = 1
        self._items: Items | None = None

    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        recipe, recorder = self._recipe, self._recipe.recorder()
        self._arguments = recipe.capture.arguments(args, kwargs)
        if recipe.opener is None:
            fields = {} if self._arguments is None else {"input_data": self._arguments}
            scope: ScopeBase = Run(recorder, recipe.name, None, list(recipe.tags), fields)
        else:
            place = self._place = innermost() or self._open_run(recorder)
            scope = recipe.opener(recorder, place, recipe.name, self._arguments, self._retry(place))
        scope.__enter__()
        self._scope = scope

    def _open_run(self, recorder: Recorder) -> Scope:
        run = Run(recorder, recorder.config.workflow_name, None, [], {})
        run.__enter__()
        self._run = run
        return run._scope  # noqa: SLF001 - one piece with the scopes

    def _retry(self, place: Scope) -> dict[str, Any]:
        """The number of the attempt, where the last call here of the same action with the same arguments failed."""
        failed = place.failures.get(self._recipe.name) if place.failures else None
        if failed is None or failed[1] != _digest(self._arguments):
            return {}
        self._attempt = failed[0] + 1
        return {"attempt": self._attempt}

    def succeed(self, result: Any) -> None:
        """The function returned."""
        self._end(None, self._recipe.capture.of_result(result))

    def fail(self, error: BaseException) -> None:
        """The function raised, was cancelled or was closed."""
        self._end(error, None)

    def exhaust(self, error: BaseException | None, returned: Any = None) -> None:
        """The generator ended, by itself or by `error`; it leaves the context of whoever consumed it alone."""
        consumer, scope = current.get(), self._scope
        if scope is not None:
            items = self._items or Items(wanted=False)
            scope.set(items=items.count, **({} if returned is None else {"returned": self._shown(returned)}))
            self._end(error, self._shown(items.together()))
        current.set(consumer)

    def _shown(self, value: Any) -> Any:
        return self._recipe.capture.of_result(value)

    def _end(self, error: BaseException | None, output: Any) -> None:
        scope, run, before = self._scope, self._run, self._before
        if scope is None:
            return
        trace = None if error is None else error.__traceback__
        try:
            self._note_failure(error)
            if isinstance(scope, Interaction | Action):
                scope.output = output
            elif output is not None:
                scope.set(output_data=output)
            scope.__exit__(None if error is None else type(error), error, trace)
            if run is not None:
                run.__exit__(None if error is None else type(error), error, trace)
        except Exception as problem:  # noqa: BLE001 - what the function did must reach its caller
            self.give_up(problem)
        current.set(before)

    def _note_failure(self, error: BaseException | None) -> None:
        place, name = self._place, self._recipe.name
        if place is None or self._recipe.opener is not Action:
            return
        if isinstance(error, Exception):
            if place.failures is None:
                place.failures = {}
            place.failures[name] = (self._attempt, _digest(self._arguments))
        elif error is None and place.failures:
            place.failures.pop(name, None)

    def yielded(self, item: Any) -> None:
        """The generator gave an item."""
        if self._items is None:
            self._items = Items(wanted=self._recipe.capture.result)
        self._items.add(item)

    def step_in(self) -> None:
        """The generator's body goes on: make its place current."""
        self._before = current.get()
        if self._scope is not None:
            current.set(self._inside)

    def step_out(self) -> None:
        """It yielded or ended: the context is its consumer's again."""
        if self._scope is not None:
            self._inside = current.get()
            current.set(self._before)

    def give_up(self, error: Exception) -> None:
        """The call goes on unrecorded."""
        self._scope = None
        if self._run is not None:
            with contextlib.suppress(Exception):
                self._run.__exit__(None, None, None)
        current.set(self._before)
        line = f"a call of {self._recipe.name} is not recorded: {type(error).__name__}: {error}"
        counters.count(counters.CAPTURE, type(error).__name__, line)


def _digest(arguments: Any) -> bytes:
    return hashlib.blake2b(payload.encode(arguments), digest_size=16).digest() if arguments is not None else b""
