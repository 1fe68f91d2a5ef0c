"""The commands by name, and what becomes of their errors. A command's module is imported when it is used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError

from tailrace.cli import output
from tailrace.errors import AmbiguousRunError, ConfigError, QueryError, TailraceError

_USAGE = 2
_INTERRUPTED = 130

_COMMANDS = {
    "demo": "tailrace.cli.demo:demo",
    "runs": "tailrace.cli.runs:runs",
    "search": "tailrace.cli.runs:search",
    "show": "tailrace.cli.show:show",
    "tail": "tailrace.cli.tail:tail",
    "consume": "tailrace.cli.consume:consume",
    "sample": "tailrace.cli.sample:sample",
    "ship": "tailrace.cli.ship:ship",
    "topics": "tailrace.cli.topics:topics",
    "restore": "tailrace.cli.restore:restore",
    "rebuild": "tailrace.cli.rebuild:rebuild",
    "prune": "tailrace.cli.prune:prune",
    "export": "tailrace.cli.export:export",
    "dead": "tailrace.cli.dead:dead",
    "doctor": "tailrace.cli.doctor:doctor",
}


def build() -> App:
    app = App(
        name="tailrace",
        help="Log LLM-agent workflows, and read what they did. Begin with `tailrace demo`.",
        version=lambda: f"tailrace {version('tailrace')}",
        help_format="markdown",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for place, (name, path) in enumerate(_COMMANDS.items()):
        app.command(path, name=name, sort_key=place)
    return app


def run(tokens: Sequence[str]) -> int:
    """Runs one command; returns the exit code. Errors that tailrace raises on purpose become one line on stderr."""
    output.tolerate_any_text()
    # Client libraries log what they also raise; the raised error becomes the one line.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = build()(tokens, exit_on_error=False, print_error=False)
        output.flush()
    except CycloptsError as error:
        output.say(f"{error} See: tailrace --help")
        return _USAGE
    except BrokenPipeError:
        output.discard_stdout()
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        cause = output.cause(error)
        if not isinstance(cause, TailraceError):
            raise  # a bug: its traceback is wanted
        output.say(str(cause))
        return _USAGE if isinstance(cause, ConfigError | QueryError | AmbiguousRunError) else 1
    return code if isinstance(code, int) else 0
