"""What the README and the design say is so: examples run, commands and settings exist, the file map is whole."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import msgspec
import pytest

import tailrace
from tailrace.cli.app import build
from tailrace.config import Config
from tests.system.scripts import run, start, stored_documents

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "DESIGN.md").read_text(encoding="utf-8")
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
EXECUTABLE = Path(sys.executable).with_name("tailrace")
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""What a make above this process tells those below it."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def section(text, title):
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found


LOGGING = [block for block in blocks("python") if "tailrace.get_logger(" in block or "configure_logger(" in block]
SUBSCRIBING = [block for block in blocks("python") if "confluent_kafka" in block]


@pytest.mark.anyio
@pytest.mark.parametrize("number", range(len(LOGGING)))
async def test_an_example_runs_as_written_and_leaves_a_complete_document(number):
    code, _, err = run(LOGGING[number])
    assert (code, err) == (0, "")
    (document,) = await stored_documents()
    assert document["workflow_name"] == "support-bot"
    assert document["final_status"] == "completed"
    assert document["integrity"]["complete"]


def test_every_python_block_is_run_by_one_of_these_tests():
    assert len(LOGGING) == 7
    assert len(SUBSCRIBING) == 1
    assert len(LOGGING) + len(SUBSCRIBING) == len(blocks("python"))


class Newcomer:
    """Does what the first sections of README say, in their order, in a fresh clone; knows what each step must show.

    A clone has what is committed: a README that is being edited is not what it follows.
    """

    def __init__(self, clone):
        self.clone, self.bin = clone, clone / ".venv" / "bin"
        self.shown, self.run, self.seen = "", "", []
        """What the last command printed; the run of the last program; what has been done."""

    def do(self, *command, **variables):
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        outside = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        environment = {**outside, **variables, "PATH": path, "PYTHONPATH": ""}
        done = subprocess.run(
            command, cwd=self.clone, env=environment, check=False, capture_output=True, text=True, encoding="utf-8"
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout

    def install(self):
        """Leave in `.venv` what pip would, without fetching it: this environment, with the clone's own modules."""
        venv.create(self.clone / ".venv")
        packages = sysconfig.get_path("purelib", vars={"base": str(self.clone / ".venv")})
        paths = [self.clone / "src", self.clone / "consumers", sysconfig.get_path("purelib")]
        Path(packages, "installed.pth").write_text("".join(f"{path}\n" for path in paths))
        script = f"#!{self.bin / 'python'}\nimport sys\nfrom tailrace.cli import main\nsys.exit(main())\n"
        (self.bin / "tailrace").write_text(script)
        (self.bin / "tailrace").chmod(0o755)
        for step in ("made", "demo", "test"):  # so `make` finds these steps done
            (self.clone / ".venv" / f"{step}.stamp").touch()
        origin = self.do(
            "python", "-c", "import tailrace, tailrace_consumers as c; print(tailrace.__file__, c.__file__)"
        )
        assert all(path.startswith(str(self.clone)) for path in origin.split())

    def newest_run(self, workflow):
        """Its id, by `tailrace runs`; it must be of that workflow."""
        newest = json.loads(self.do("tailrace", "runs", "-o", "json").splitlines()[0])
        assert (newest["workflow_name"], newest["final_status"]) == (workflow, "completed")
        return newest["run_id"]

    def command(self, line):
        words = shlex.split(line, comments=True)
        match words:
            case ["pip", "install", ".[cli,fast]"]:
                self.install()
            case ["make", "demo"]:
                self.shown = self.do(*words)
                assert self.shown.startswith("research-team  completed")
                assert self.newest_run("research-team") in self.shown
            case ["make", "test"]:
                # One file, for all of them would come here again.
                self.shown = self.do(*words, PYTEST_ADDOPTS="tests/test_consumer.py")
                assert re.search(r"\d+ passed in", self.shown)
            case ["tailrace", "runs"]:
                self.shown = self.do(*words)
                assert self.run[-8:] in self.shown
            case ["tailrace", "show", run] if run == "RUN" or re.fullmatch("[0-9a-f]{8}", run):
                self.shown = self.do("tailrace", "show", self.run[-8:])
                assert self.shown.startswith("support-bot  completed")
            case _:
                pytest.fail(f"README tells to run {line!r}, and this test does not know what that should show")
        self.seen.append(" ".join(words[:2]))

    def block(self, language, text):
        match language:
            case "sh":
                for line in text.splitlines():
                    self.command(line)
            case "python":
                (self.clone / "agent.py").write_text(text, encoding="utf-8")
                assert self.do("python", "agent.py") == ""
                self.run = self.newest_run("support-bot")
                if "logs_dir" in text:
                    (left,) = (self.clone / "logs").iterdir()
                    assert re.fullmatch(rf"support-bot_\d{{8}}_\d{{6}}_{self.run[-8:]}\.json", left.name)
                    assert json.loads(left.read_text())["run_id"] == self.run
                self.seen.append("a script")
            case "text":
                assert without_times(self.shown) == without_times(text)
                self.seen.append("its tree")
            case _:
                pytest.fail(f"README has a block of {language!r} here, and this test does not know what that is for")


def steps(text):
    """The blocks (language, text), and between them the commands in the prose ("command", line), in their order."""
    fenced = r"^```(?P<language>\w*)\n(?P<text>.*?)^```"
    quoted = r"(?<!`)`(?P<line>(?:[\w./]*/)?(?:cd|docker|git|make|pip|pytest|python3?|tailrace|uv) [^`]+)`"
    for found in re.finditer(f"{fenced}|{quoted}", text, re.MULTILINE | re.DOTALL):
        if found["line"]:
            yield "command", " ".join(found["line"].split())
        else:
            yield found["language"], found["text"]


def test_the_first_sections_followed_word_by_word_in_a_fresh_clone(tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--local", ROOT, tmp_path / "tailrace"], check=True)
    readme = (tmp_path / "tailrace" / "README.md").read_text(encoding="utf-8")
    newcomer = Newcomer(tmp_path / "tailrace")
    for kind, text in steps(section(readme, "Install") + section(readme, "A run")):
        if kind == "command":
            newcomer.command(text)
        else:
            newcomer.block(kind, text)
    shown = ["a script", "tailrace runs", "tailrace show", "its tree"]
    assert newcomer.seen == ["pip install", "make demo", "make test", *shown, "a script", "a script", "tailrace show"]


@pytest.mark.parametrize(
    "text", ["`tailrace show`", "Then `make bench` it.", "```sh\nrm -r /\n```", "```c\nint x;\n```"]
)
def test_a_step_that_is_not_known_is_not_passed_over(text, tmp_path):
    ((kind, step),) = steps(text)
    newcomer = Newcomer(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="does not know"):
        newcomer.command(step) if kind == "command" else newcomer.block(kind, step)


def without_times(tree):
    """The tree without what differs from one run to the next, and without the widths that follow from it."""
    tree = re.sub(r"run [0-9a-f]{32}", "run ID", tree)
    tree = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \d+ s ago", "TIME", tree)
    return re.sub(r"\d\d:\d\d:\d\d", "TIME", re.sub(r"\d+ ms", "N ms", tree)).strip()


def test_the_subscriber_receives_every_event_of_a_run(kafka_url, prefix):
    agent = {**os.environ, "TAILRACE_BUS": kafka_url, "TAILRACE_PREFIX": prefix}
    assert run(LOGGING[0], env=agent)[::2] == (0, "")
    program = SUBSCRIBING[0]
    for written, here in (
        ("localhost:9092", kafka_url.removeprefix("kafka://")),
        ("tailrace.events", f"{prefix}.events"),
    ):
        assert written in program
        program = program.replace(written, here)
    seen = []
    with start(program) as process:
        try:
            for line in process.stdout:
                seen.append(line.split()[2])
                if seen[-1] == "run.end":
                    break
        finally:
            process.kill()
    nodes = ["interaction.start", "action.start", "action.end", "action", "interaction.end"]
    assert seen == ["run.start", *nodes, "log", "run.end"]


def commands():
    """Every `tailrace ...` that the README tells people to run."""
    in_blocks = re.findall(r"^tailrace .*", "\n".join(blocks("sh")), re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    return sorted({*in_blocks, *re.findall(r"`(tailrace [^`]+)`", prose)})


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_is_one_that_the_command_line_takes(line):
    words = shlex.split(line, comments=True)[1:]
    command, _, _ = build().parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command)


def test_the_readme_names_every_command():
    named = {shlex.split(line, comments=True)[1] for line in commands()}
    assert named == {name for name in build() if not name.startswith("-")}


def test_make_has_the_targets_that_the_readme_names():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", README)) <= set(targets)


def settings(struct=Config, path=""):
    for field in msgspec.structs.fields(struct):
        if isinstance(field.default, msgspec.Struct):
            yield from settings(type(field.default), f"{path}{field.name}.")
        elif field.default is msgspec.NODEFAULT:
            yield path + field.name, field.default_factory()
        else:
            yield path + field.name, field.default


def shown(default):
    if default is None:
        return "unset"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_settings_table_has_every_setting_with_its_default_and_no_other():
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \| .+ \|$", section(README, "Settings"), re.MULTILINE)
    assert rows == [(name, shown(default)) for name, default in settings()]


def test_what_is_not_there_yet_is_not_there():
    missing = re.findall(r"`@?([a-z_]+)`", section(README, "Not there yet"))
    assert missing
    assert not {name for name in missing if hasattr(tailrace, name) or name in [*build()]}


def file_map():
    """The paths that the design's map names, with the root that they stand under."""
    (listing,) = re.findall(r"^```text\n(.*?)^```", section(DESIGN, "4. File map"), re.MULTILINE | re.DOTALL)
    root = ""
    for line in filter(None, listing.splitlines()):
        if line.startswith(" "):
            path, description = line.split(maxsplit=1)
            assert description
            yield root + path
        else:
            root = line


def test_the_file_map_names_every_module_once_and_nothing_that_is_not_there():
    modules = [str(path.relative_to(ROOT)) for root in ("src", "consumers") for path in (ROOT / root).rglob("*.py")]
    assert sorted(file_map()) == sorted(modules)


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "docs" / "DESIGN.md", *ADRS], ids=lambda path: path.name)
def test_links_and_quoted_paths_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in link or (path.parent / link).exists(), link
    for quoted in re.findall(r"`((?:src|consumers|tests|docs|examples)/[\w./-]+)`", text):
        assert (ROOT / quoted).exists(), quoted


def test_a_decision_has_its_number_and_its_four_parts():
    numbers = [int(path.name[:4]) for path in ADRS]
    assert len(set(numbers)) == len(numbers) > 0
    for number, path in zip(numbers, ADRS, strict=True):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Status", "Consequences"]
