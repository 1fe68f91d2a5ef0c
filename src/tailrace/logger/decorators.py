"""`@workflow`, `@agent`, `@action`: a function's calls recorded as runs, turns and actions.

They take functions, coroutine functions, generators and async generators; methods, class methods and static methods,
above or below `@classmethod`. What is decorated keeps its signature, type, result and exceptions. While the body of a
generator is suspended, the context is that of its consumer.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from typing import Any, Protocol, TypeVar, overload

from tailrace.logger.calls import Call, Opener, Recipe
from tailrace.logger.capture import Capture
from tailrace.logger.context import name_of
from tailrace.logger.scopes import Action, Interaction
from tailrace.logger.state import recorder

F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")


class Decorator(Protocol):
    """Gives the function back with the type that it had."""

    def __call__(self, fn: F, /) -> F: ...


@overload
def workflow(fn: F, /) -> F: ...
@overload
def workflow(
    name: str | None = None,
    /,
    *,
    capture: bool | Collection[str] = True,
    redact: Collection[str] = (),
    tags: Collection[str] = (),
) -> Decorator: ...
def workflow(
    name: Any = None,
    /,
    *,
    capture: bool | Collection[str] = True,
    redact: Collection[str] = (),
    tags: Collection[str] = (),
) -> Any:
    """Each call is a run of the workflow `name` (default: the function's name), which ends with the call.

    The run's `fields` hold the arguments as `input_data`, its `outcome` the result as `output_data`. For `capture` and
    `redact` see `action`. Does not block, never raises at a call; any thread.
    """
    return _decorate(None, name, capture, redact, tuple(tags))


@overload
def agent(fn: F, /) -> F: ...
@overload
def agent(
    name: str | None = None, /, *, capture: bool | Collection[str] = True, redact: Collection[str] = ()
) -> Decorator: ...
def agent(name: Any = None, /, *, capture: bool | Collection[str] = True, redact: Collection[str] = ()) -> Any:
    """Each call is an interaction of the agent `name` (default: the function's name) in the current run.

    A call from within another agent's turn or action has that as its `parent` in the document. With no run open, the
    call is a run of its own, of the configured `workflow_name`. For `capture` and `redact` see `action`.
    """
    return _decorate(Interaction, name, capture, redact)


@overload
def action(fn: F, /) -> F: ...
@overload
def action(
    name: str | None = None, /, *, capture: bool | Collection[str] = True, redact: Collection[str] = ()
) -> Decorator: ...
def action(name: Any = None, /, *, capture: bool | Collection[str] = True, redact: Collection[str] = ()) -> Any:
    """Each call is an action `name` (default: the function's name) of the current interaction or run.

    Recorded are the arguments by name as they are at the call, the result, the duration, an exception with its
    traceback, and of a generator its items (the first 1,000; texts as one text) and how many there were. `attempt` is
    2 or more where the last call in the same place with the same arguments failed. With no run open, the call is a run
    of its own. Wrong arguments of a coroutine function or generator raise when it first runs, not when it is called.

    capture: True, False, or the names of the arguments to record, with "return" for the result.
    redact: names that are recorded as "[redacted]". What looks like a secret is masked in any case.

    Raises:
        ValueError: when decorating, for a name in `capture` or `redact` that is no parameter.
        TypeError: when decorating something that is not a function.
    """
    return _decorate(Action, name, capture, redact)


def _decorate(
    opener: Opener | None,
    name: Any,
    capture: bool | Collection[str],
    redact: Collection[str],
    tags: tuple[str, ...] = (),
) -> Any:
    def decorate(fn: Any, named: str | None = None) -> Any:
        if isinstance(fn, classmethod | staticmethod):
            return type(fn)(decorate(fn.__func__, named))
        if isinstance(fn, type) or not callable(fn):
            raise TypeError(f"{fn!r} is not a function; decorate the function or method whose calls are to be recorded")
        inner = fn.func if isinstance(fn, functools.partial) else fn
        called = name_of(named or getattr(inner, "__name__", None) or type(inner).__name__)
        return _wrap(fn, Recipe(recorder, opener, called, Capture(fn, capture, redact), tags))

    if name is None or isinstance(name, str):
        return lambda fn: decorate(fn, name)
    return decorate(name)


def _wrap(fn: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    if _is(inspect.isasyncgenfunction, fn):
        return _async_generator(fn, recipe)
    if _is(inspect.iscoroutinefunction, fn):
        return _coroutine(fn, recipe)
    if _is(inspect.isgeneratorfunction, fn):
        return _generator(fn, recipe)
    return _function(fn, recipe)


def _is(kind: Callable[[Any], bool], fn: Any) -> bool:
    return kind(fn) or (not inspect.isroutine(fn) and kind(type(fn).__call__))


def _function(fn: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        call = recipe.begin(args, kwargs)
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.succeed(result)
        return result

    return function


def _coroutine(fn: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        call = recipe.begin(args, kwargs)
        try:
            result = await fn(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.succeed(result)
        return result

    return coroutine


def _generator(fn: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @functools.wraps(fn)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = recipe.begin(args, kwargs)
        call.step_out()
        try:
            returned = yield from _steps(fn, args, kwargs, call)
        except BaseException as error:
            call.exhaust(error)
            raise
        call.exhaust(None, returned)
        return returned

    return generator


def _steps(fn: Callable[..., Any], args: Any, kwargs: Any, call: Call) -> Generator[Any, Any, Any]:
    """As `yield from fn(...)`, each step of it in its own place."""
    body: Generator[Any, Any, Any] = fn(*args, **kwargs)
    step: Callable[[Any], Any] = body.send
    given: Any = None
    while True:
        call.step_in()
        try:
            item = step(given)
        except StopIteration as stop:
            return stop.value
        finally:
            call.step_out()
        call.yielded(item)
        try:
            step, given = body.send, (yield item)
        except GeneratorExit:
            call.step_in()
            try:
                returned: Any = body.close()  # type: ignore[func-returns-value]  # since Python 3.13 it may
            finally:
                call.step_out()
            if returned is not None:
                return returned
            raise
        except BaseException as thrown:  # noqa: BLE001 - it is the body's to handle
            step, given = body.throw, thrown


def _async_generator(fn: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = recipe.begin(args, kwargs)
        call.step_out()
        try:
            body: AsyncGenerator[Any, Any] = fn(*args, **kwargs)
            step = _first_step(body)
            while True:
                call.step_in()
                try:
                    item = await step
                except StopAsyncIteration:
                    break
                finally:
                    call.step_out()
                call.yielded(item)
                try:
                    step = body.asend((yield item))
                except GeneratorExit:
                    call.step_in()
                    try:
                        await body.aclose()
                    finally:
                        call.step_out()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the body's to handle
                    step = body.athrow(thrown)
        except BaseException as error:
            call.exhaust(error)
            raise
        call.exhaust(None)

    return generator


def _first_step(body: AsyncGenerator[Any, Any]) -> Any:
    """Begin without the event loop's notice: at its end it would close the body beside its wrapper, which does so."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return body.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
