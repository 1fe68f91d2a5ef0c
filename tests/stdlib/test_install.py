"""Zero-line logging: programs that never call tailrace, or die, as real processes."""

import os
import sys

import pytest

import tailrace
from tests.logger.conftest import documents
from tests.system.scripts import run

AUTO = {**os.environ, "TAILRACE_AUTO": "1", "TAILRACE_PUBLISH": "external"}


def auto(program, **options):
    return run(f"import tailrace\n{program}", env=AUTO, **options)


def test_a_script_that_dies_on_its_first_line_leaves_a_failed_run_and_its_traceback():
    code, out, err = auto("1 / 0")
    assert (code, out) == (1, "")
    assert err.count("ZeroDivisionError") == 1
    assert "tailrace" not in err
    (document,) = documents()
    assert (document["final_status"], document["error"]["type"]) == ("failed", "ZeroDivisionError")
    (error,) = document["errors"]
    assert error["error_msg"] == "uncaught exception"
    assert "1 / 0" in error["exception"]["traceback"] or "ZeroDivisionError" in error["exception"]["traceback"]


def test_an_open_run_gets_what_kills_the_program_and_ends_with_it():
    code, _, err = auto(
        "import logging\n"
        "log = tailrace.get_logger('agent')\n"
        "log.start_iteration(1)\n"
        "logging.getLogger('lib').warning('careful')\n"
        "logging.getLogger('lib').info('not let through by its level')\n"
        "raise LookupError('gone')\n"
    )
    assert code == 1
    assert err.startswith("careful\n"), "what logging prints without any handler is still printed"
    (document,) = documents()
    assert document["final_status"] == "failed"
    assert [line["message"] for line in document["logs"]] == ["careful"]
    assert [error["exception"]["message"] for error in document["errors"]] == ["gone"]
    assert document["logs"][0]["iteration"] == document["iterations"][0]["id"]


def test_an_exception_that_a_block_has_recorded_is_not_recorded_again():
    code, _, _ = auto("with tailrace.get_logger('agent').run(): raise LookupError('gone')")
    assert code == 1
    (document,) = documents()
    assert len(document["errors"]) == 1


def test_an_exception_in_a_thread_goes_into_its_run_and_ends_nothing():
    code, _, err = auto(
        "import threading\n"
        "log = tailrace.get_logger('agent')\n"
        "def work():\n"
        "    log.start_interaction('planner')\n"
        "    raise LookupError('gone')\n"
        "def leave(): raise SystemExit(3)\n"
        "for target in (work, leave):\n"
        "    thread = threading.Thread(target=target, name='worker'); thread.start(); thread.join()\n"
    )
    assert code == 0
    assert "LookupError" in err
    (document,) = documents()
    assert document["state"] == "open"
    (error,) = document["errors"]
    assert error["error_msg"] == "uncaught exception in thread worker"
    assert error["interaction"] == document["interactions"][0]["id"]


def test_an_exception_of_a_task_is_one_error():
    code, _, err = auto(
        "import asyncio, gc, logging\n"
        "log = tailrace.get_logger('agent')\n"
        "async def fail():\n"
        "    log.start_interaction('planner')\n"
        "    raise LookupError('gone')\n"
        "async def main():\n"
        "    task = asyncio.create_task(fail())\n"
        "    await asyncio.wait([task]); del task; gc.collect()\n"
        "    asyncio.get_running_loop().call_soon(lambda: [].pop())\n"
        "    await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
    )
    assert code == 0
    assert "LookupError" in err
    errors = {error["exception"]["type"]: error for document in documents() for error in document["errors"]}
    assert errors.keys() == {"LookupError", "IndexError"}
    assert errors["LookupError"]["error_msg"] == "Task exception was never retrieved"
    if sys.version_info >= (3, 12):
        (document,) = (document for document in documents() if document["workflow_name"] == "agent")
        assert [error["exception"]["type"] for error in document["errors"]] == ["LookupError"]


def test_ctrl_c_cancels_the_open_runs_and_is_no_error():
    code, _, err = auto("tailrace.get_logger('agent').info('x')\nraise KeyboardInterrupt")
    assert code in (130, -2)
    assert "KeyboardInterrupt" in err
    (document,) = documents()
    assert (document["final_status"], document["errors"]) == ("cancelled", [])


def test_basic_config_after_it_works_as_without_it():
    code, out, err = auto(
        "import logging, sys\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(message)s')\n"
        "assert len(logging.root.handlers) == 1\n"
        "logging.getLogger('quiet').propagate = False\n"
        "logging.getLogger('quiet').warning('no handler hears me')\n"
        "logging.info('hello')\n"
    )
    assert (code, out, err) == (0, "hello\n", "no handler hears me\n")
    (document,) = documents()
    assert [line["message"] for line in document["logs"]] == ["no handler hears me", "hello"]
    assert document["final_status"] == "completed"


def test_a_record_is_one_event_also_beside_a_handler():
    code, _, err = auto(
        "import logging\n"
        "from tailrace.stdlib import TailraceHandler\n"
        "logging.getLogger().addHandler(TailraceHandler())\n"
        "with tailrace.get_logger('agent').run(): logging.warning('once')\n"
    )
    assert (code, err) == (0, "")
    (document,) = documents()
    assert len(document["logs"]) == 1


@pytest.mark.parametrize("value", ["0", "", "off", "no"])
def test_without_the_variable_importing_changes_nothing(value):
    code, out, _ = run(
        "import sys; before = sys.excepthook; import tailrace; print(sys.excepthook is before)",
        env={**os.environ, "TAILRACE_AUTO": value},
    )
    assert (code, out) == (0, "True\n")


@pytest.mark.parametrize(
    ("argv", "orig_argv", "wanted"),
    [
        (["agent.py"], ["python", "agent.py"], True),
        (["/venv/bin/tailrace", "runs"], ["python", "/venv/bin/tailrace", "runs"], False),
        (["-m"], ["python", "-m", "tailrace_consumers", "all"], False),
        ([], ["python"], True),
    ],
)
def test_tailraces_own_programs_do_not_log_themselves(argv, orig_argv, wanted, monkeypatch):
    from tailrace.config import wants_auto

    monkeypatch.setenv("TAILRACE_AUTO", "1")
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert wants_auto() is wanted


def test_wrong_settings_do_not_hide_the_exception():
    code, _, err = run("import tailrace\n1 / 0", env={**AUTO, "TAILRACE_VERBOSITY": "LOUD"})
    assert code == 1
    assert "ZeroDivisionError" in err


def test_undoing_leaves_everything_as_it_was():
    import asyncio
    import logging
    import threading

    def hooks():
        loop = asyncio.base_events.BaseEventLoop
        return [sys.excepthook, threading.excepthook, logging.Logger.callHandlers, loop.call_exception_handler]

    before = hooks()
    with tailrace.install() as installed:
        assert tailrace.install() is installed
        assert not set(hooks()) & set(before)
        own = sys.excepthook
        sys.excepthook = lambda *about: own(*about)  # noqa: PLW0108 - another object, as another library would put there
    sys.excepthook, above = before[0], sys.excepthook
    assert hooks() == before
    installed()
    passed = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(installed, "_excepthook", lambda *about: passed.append(about[0]))
        above(ValueError, ValueError(), None)
    assert passed == [ValueError]
    assert tailrace.install() is not installed
    tailrace.install()()


TOGETHER = """
import importlib.machinery, sys, threading
import tailrace, tailrace.stdlib.install

failures = []

class Held:
    "Lets one thread import the package only once the other waits for a part of it, too."

    def find_spec(self, name, path=None, target=None):
        if name == "asyncio" and threading.current_thread() is importer:
            spec = importlib.machinery.PathFinder.find_spec(name)
            execute = spec.loader.exec_module
            def exec_module(module):
                installer.start()
                while sys._current_frames()[installer.ident].f_code.co_name != "acquire":
                    pass
                execute(module)
            spec.loader.exec_module = exec_module
            return spec

def run(step):
    try:
        step()
    except BaseException as error:
        failures.append(repr(error))

importer = threading.Thread(target=run, args=(lambda: __import__("asyncio").run,))
installer = threading.Thread(target=run, args=(tailrace.install,))
assert "asyncio" not in sys.modules
sys.meta_path.insert(0, Held())
importer.start()
importer.join()
installer.join()
print(failures)
"""


def test_installing_while_a_publishers_thread_imports_asyncio_harms_neither():
    assert run(TOGETHER) == (0, "[]\n", "")
