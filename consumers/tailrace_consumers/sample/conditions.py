"""Conditions as functions: of a run so far, whether it is one that a policy is for. Pure, and they combine.

The answer is True, False, or None: not known before the run's end. True and False are final, whatever else the run may
say, and so may be acted on at once, also where only a part of the run was heard. At the end (`final`) None is False.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from importlib import import_module
from importlib.metadata import entry_points

from tailrace.errors import ConfigError
from tailrace.sampling import Condition, Names
from tailrace_consumers.sample.facts import Facts

Test = Callable[[Facts, bool], bool | None]
"""(run, final) -> whether the condition holds."""

GROUP = "tailrace.conditions"


def always(run: Facts, final: bool) -> bool | None:  # noqa: ARG001 - one signature for all
    return True


def errors(run: Facts, final: bool) -> bool | None:
    return True if run.failed else _unless(final)


def workflow(names: Names) -> Test:
    fits = _matcher(names)
    return lambda run, final: fits(run.workflow)  # noqa: ARG005


def status(names: Names) -> Test:
    """Of a run that has ended; `none` is the status of one that has not."""
    fits = _matcher(names, lower=True)

    def test(run: Facts, final: bool) -> bool | None:
        if run.status is not None:
            return fits(run.status.lower())
        return fits("none") if final else None

    return test


def agent(names: Names) -> Test:
    return _among(names, lambda run: run.agents)


def tag(names: Names) -> Test:
    return _among(names, lambda run: run.tags)


def action(names: Names) -> Test:
    return _among(names, lambda run: run.actions)


def slower_than(seconds: float) -> Test:
    return _over(seconds, lambda run: run.duration)


def cost_over(dollars: float) -> Test:
    return _over(dollars, lambda run: run.cost)


def tokens_over(tokens: float) -> Test:
    return _over(tokens, lambda run: run.total_tokens)


def custom(function: Callable[[Facts], object], failures: Counter[str], name: str) -> Test:
    """A function of the finished run. One that raises says no, and is counted among the failures."""

    def test(run: Facts, final: bool) -> bool | None:
        if not final:
            return None
        try:
            return bool(function(run))
        except Exception:  # noqa: BLE001 - whatever a user's function raises must not stop the stage
            failures[name] += 1
            return False

    return test


def every(tests: Iterable[Test]) -> Test:
    """True where all are; False as soon as one is."""
    parts = tuple(tests)

    def test(run: Facts, final: bool) -> bool | None:
        unknown = False
        for part in parts:
            answer = part(run, final)
            if answer is False:
                return False
            unknown = unknown or answer is None
        return None if unknown else True

    return test


def either(tests: Iterable[Test]) -> Test:
    """True as soon as one is; False where all are."""
    return negated(every([negated(test) for test in tests]))


def negated(test: Test) -> Test:
    def opposite(run: Facts, final: bool) -> bool | None:
        answer = test(run, final)
        return None if answer is None else not answer

    return opposite


def compiled(condition: Condition, key: str, failures: Counter[str]) -> Test:
    """The settings' condition as a function; `key` names it in errors, `failures` counts those of own functions.

    Raises:
        ConfigError: its own function cannot be found.
    """
    makers = (workflow, status, slower_than, cost_over, tokens_over, agent, tag, action)
    given = [(make, getattr(condition, make.__name__)) for make in makers]
    tests = [make(value) for make, value in given if value is not None]
    if condition.errors is not None:
        tests.append(errors if condition.errors else negated(errors))
    if condition.custom is not None:
        tests.append(custom(_own(condition.custom, f"{key}.custom"), failures, condition.custom))
    if condition.any:
        tests.append(either(compiled(each, f"{key}.any[{n}]", failures) for n, each in enumerate(condition.any)))
    tests += [compiled(each, f"{key}.all[{n}]", failures) for n, each in enumerate(condition.all)]
    if condition.not_ is not None:
        tests.append(negated(compiled(condition.not_, f"{key}.not", failures)))
    if not tests:
        return always
    return tests[0] if len(tests) == 1 else every(tests)


def described(condition: Condition) -> str:
    """The condition in a few words, as the reason of a decision: `errors`, `agent planner, cost_over 0.5`."""
    parts = []
    for name, value in ((name, getattr(condition, name)) for name in condition.__struct_fields__):
        if isinstance(value, Condition):
            parts.append(f"{name.rstrip('_')} ({described(value)})")
        elif isinstance(value, list) and value and isinstance(value[0], Condition):
            parts.append(f"{name} ({'; '.join(map(described, value))})")
        elif value is True or value is False:
            parts.append(name if value else f"no {name}")
        elif value:
            parts.append(f"{name} {'|'.join(value) if isinstance(value, list) else value}")
    return ", ".join(parts)


def _unless(final: bool) -> bool | None:
    return False if final else None


def _over(limit: float, of: Callable[[Facts], float]) -> Test:
    return lambda run, final: True if of(run) > limit else _unless(final)


def _among(names: Names, of: Callable[[Facts], Collection[str]]) -> Test:
    fits = _matcher(names)
    return lambda run, final: True if any(map(fits, of(run))) else _unless(final)


def _matcher(names: Names, *, lower: bool = False) -> Callable[[str], bool]:
    given = [names] if isinstance(names, str) else names
    patterns = [fnmatch.translate(name.lower() if lower else name) for name in given]
    whole = re.compile("|".join(patterns) or r"(?!)")
    return lambda text: whole.match(text) is not None


def _own(name: str, key: str) -> Callable[[Facts], object]:
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _callable(point.load(), name, key)
    module, _, attribute = name.partition(":")
    if not attribute:
        raise ConfigError(f"setting {key!r}: no entry point of the group {GROUP!r} is named {name!r}; {_FORMS}")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"setting {key!r}: {name!r} cannot be imported: {error}; {_FORMS}") from error
    return _callable(found, name, key)


def _callable(found: object, name: str, key: str) -> Callable[[Facts], object]:
    if not callable(found):
        raise ConfigError(f"setting {key!r}: {name!r} is not a function; {_FORMS}")
    return found


_FORMS = "write `package.module:function` of a function that takes the run's Facts and gives a bool"
