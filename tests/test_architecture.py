"""The rules of the layout, checked on every module's syntax tree, imports inside functions included.

Each rule is a function from a module to its violations, and is tried on a source that breaks it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 350

LAYERS = [
    {"errors", "forking", "priority", "sampling", "urls"},
    {"layers"},
    {"config", "sqlite"},
    {"event"},
    {"document"},
    {"bus", "spool", "store"},
    {"consumer", "registry"},
    {"publish"},
    {"logger"},
    {"cli", "stdlib", "testing", "web"},
    {""},
]
"""Rooms and modules of tailrace. Each may import those above it, none beside or below it. The last: `tailrace`."""
FOR_CONSUMERS = {
    *(
        "errors",
        "config",
        "priority",
        "sampling",
        "event",
        "document",
        "bus",
        "spool",
        "store",
        "consumer",
        "registry",
        "publish",
    ),
}
CLIENTS = {
    "aiokafka": ("tailrace.bus.kafka",),
    "aiohttp": ("tailrace.store.opensearch",),
    "opensearchpy": ("tailrace.store.opensearch",),
    "sqlite3": ("tailrace.sqlite", "tailrace.bus.sqlite", "tailrace.store.sqlite"),
    "hyperscan": ("tailrace.event.redact",),
    "cyclopts": ("tailrace.cli",),
    "rich": ("tailrace.cli",),
    "jinja2": ("tailrace.web",),
    "starlette": ("tailrace.web",),
    "sse_starlette": ("tailrace.web",),
    "uvicorn": ("tailrace.web",),
    "prometheus_client": ("tailrace_consumers.metrics",),
}
"""Library -> the only places that import it."""
BEHIND_URLS = [
    *("tailrace.bus.kafka", "tailrace.bus.sqlite", "tailrace.bus.memory"),
    *("tailrace.store.opensearch", "tailrace.store.sqlite", "tailrace.store.memory"),
]
"""Imported by the registry, when a URL names them; `tailrace.testing` may name the memory ones."""
PURE = ("tailrace.document", "tailrace_consumers.stage", "tailrace_consumers.sample")
STAGES = ("tailrace_consumers.aggregate", "tailrace_consumers.index", *PURE)
READING_BACK = tuple(f"tailrace_consumers.sample.{name}" for name in ("history", "rescue", "replay"))
"""Beside the stage: what reads history from a bus."""
IMPURE = {
    *("anyio", "asyncio", "trio", "threading", "multiprocessing", "subprocess", "concurrent"),
    *("time", "random", "secrets", "os", "io", "pathlib", "shutil", "socket", "ssl", "urllib", "http", "logging"),
}
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}


@dataclass
class Module:
    name: str
    source: str

    def __post_init__(self):
        self.tree = ast.parse(self.source)

    @property
    def is_ours(self):
        return self.name.partition(".")[0] == "tailrace"

    def lies_in(self, places):
        return any(within(self.name, place) for place in places)

    def imports(self) -> Iterator[str]:
        """Full names, also of what is imported from a module, since that may be a module itself."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield "." * node.level + (node.module or "")
                yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def within(name, place):
    return name == place or name.startswith(f"{place}.")


def room(name):
    return name.split(".")[1] if "." in name else ""


def layer(name):
    found = [number for number, rooms in enumerate(LAYERS) if room(name) in rooms]
    return found[0] if found else None


def rooms_imported(module):
    return {name for name in module.imports() if within(name, "tailrace")} - {module.name}


def every_room_has_a_layer(module):
    if module.is_ours and layer(module.name) is None:
        yield f"{room(module.name)} is in none of LAYERS"


def imports_go_one_way(module):
    if not module.is_ours:
        return
    own = room(module.name)
    for name in rooms_imported(module):
        if own != "" and room(name) not in {own, ""} and layer(module.name) <= (layer(name) or 0):
            yield f"imports {name}"


def nothing_imports_the_root(module):
    # The demo is an example of a program, which imports tailrace as one does.
    if module.name in {"tailrace", "tailrace.cli.demo"}:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import) and any(alias.name == "tailrace" for alias in node.names):
            yield "import tailrace"
        if isinstance(node, ast.ImportFrom) and node.module == "tailrace":
            yield "from tailrace import"


def imports_are_absolute(module):
    yield from (name for name in module.imports() if name.startswith("."))


def clients_stay_behind_their_doors(module):
    for name in module.imports():
        places = CLIENTS.get(name.partition(".")[0])
        if places and not module.lies_in(places):
            yield f"imports {name}"


def implementations_are_found_by_url(module):
    for name in module.imports():
        for place in BEHIND_URLS:
            tested = module.name == "tailrace.testing" and place.endswith(".memory")
            if within(name, place) and not module.lies_in([place]) and not tested:
                yield f"imports {name}"


def the_product_does_not_know_its_consumers(module):
    if module.is_ours:
        yield from (f"imports {name}" for name in module.imports() if within(name, "tailrace_consumers"))


def consumers_use_their_part_of_the_product(module):
    if not module.is_ours:
        names = rooms_imported(module)
        yield from (f"imports {name}" for name in names if "." in name and room(name) not in FOR_CONSUMERS)


def documents_and_stages_are_pure(module):
    if not module.lies_in(STAGES) or module.lies_in(READING_BACK):
        return
    for name in module.imports():
        if name.partition(".")[0] in IMPURE:
            yield f"imports {name}"
    whole = [module.tree] if module.lies_in(["tailrace.document"]) else []
    for owner in [*whole, *(node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))]:
        for node in ast.walk(owner):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
                yield f"line {node.lineno}: async"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) in {"open", "print", "now", "utcnow", "today"}:
            yield f"line {node.lineno}: {called(node)}()"


def called(node):
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def only_config_reads_the_environment(module):
    if module.name == "tailrace.config":
        return
    for node in ast.walk(module.tree):
        name = getattr(node, "attr", None) or getattr(node, "name", None)
        if isinstance(node, ast.Attribute | ast.alias) and name in {"environ", "environb", "getenv", "getenvb"}:
            yield f"line {node.lineno}: {name}"


def names_say_what_is_inside(module):
    yield from VAGUE & set(module.name.split("."))


def files_are_short(module):
    lines = len(module.source.splitlines())
    if lines > MAX_LINES:
        yield f"{lines} lines"


def every_module_says_what_it_is(module):
    if not ast.get_docstring(module.tree):
        yield "no docstring"


RULES = [
    every_room_has_a_layer,
    imports_go_one_way,
    nothing_imports_the_root,
    imports_are_absolute,
    clients_stay_behind_their_doors,
    implementations_are_found_by_url,
    the_product_does_not_know_its_consumers,
    consumers_use_their_part_of_the_product,
    documents_and_stages_are_pure,
    only_config_reads_the_environment,
    names_say_what_is_inside,
    files_are_short,
    every_module_says_what_it_is,
]


def modules():
    for top in (ROOT / "src", ROOT / "consumers"):
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Module(name, path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def all_modules():
    return list(modules())


def test_the_modules_are_found(all_modules):
    names = {module.name for module in all_modules}
    assert {"tailrace", "tailrace.bus.kafka.group", "tailrace_consumers.sample", "tailrace_consumers.runner"} <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(all_modules, rule):
    broken = {module.name: found for module in all_modules if (found := list(rule(module)))}
    assert broken == {}


BREAKS = [
    (every_room_has_a_layer, "tailrace.novelty", ""),
    (imports_go_one_way, "tailrace.document.view", "from tailrace.bus import Record"),
    (imports_go_one_way, "tailrace.bus", "from tailrace.store import Store"),
    (imports_go_one_way, "tailrace.store.sqlite", "import tailrace.bus"),
    (imports_go_one_way, "tailrace.spool", "def f():\n    from tailrace.bus.topics import slug"),
    (imports_go_one_way, "tailrace.event.ids", "if TYPE_CHECKING:\n    from tailrace.document import Document"),
    (imports_go_one_way, "tailrace.publish", "from tailrace.logger import state"),
    (imports_go_one_way, "tailrace.logger", "import tailrace.cli.app"),
    (imports_go_one_way, "tailrace.errors", "from tailrace.config import Config"),
    (nothing_imports_the_root, "tailrace.cli.app", "import tailrace"),
    (nothing_imports_the_root, "tailrace.logger", "def f():\n    from tailrace import __version__"),
    (nothing_imports_the_root, "tailrace_consumers.all", "from tailrace import bus"),
    (imports_are_absolute, "tailrace.bus", "from . import topics"),
    (imports_are_absolute, "tailrace.bus", "from ..store import Store"),
    (clients_stay_behind_their_doors, "tailrace.publish.loop", "from aiokafka.errors import KafkaError"),
    (clients_stay_behind_their_doors, "tailrace.store.entry", "def f():\n    import opensearchpy"),
    (clients_stay_behind_their_doors, "tailrace.bus.kafkaesque", "import aiokafka"),
    (clients_stay_behind_their_doors, "tailrace_consumers.sinks", "import sqlite3"),
    (implementations_are_found_by_url, "tailrace.cli.doctor", "from tailrace.bus.kafka import open_bus"),
    (implementations_are_found_by_url, "tailrace_consumers.sinks", "from tailrace.store import sqlite"),
    (implementations_are_found_by_url, "tailrace.testing", "import tailrace.bus.sqlite"),
    (the_product_does_not_know_its_consumers, "tailrace.cli.catch_up", "import tailrace_consumers.all"),
    (consumers_use_their_part_of_the_product, "tailrace_consumers.sample", "from tailrace.logger.state import reset"),
    (consumers_use_their_part_of_the_product, "tailrace_consumers.runner", "from tailrace.cli import output"),
    (documents_and_stages_are_pure, "tailrace.document.view", "import time"),
    (documents_and_stages_are_pure, "tailrace.document.view", "async def f(): ..."),
    (documents_and_stages_are_pure, "tailrace.document.view", "from datetime import datetime\nx = datetime.now()"),
    (documents_and_stages_are_pure, "tailrace_consumers.index", "class S:\n    async def feed(self): ..."),
    (documents_and_stages_are_pure, "tailrace_consumers.sample.policies", "from anyio import sleep"),
    (documents_and_stages_are_pure, "tailrace_consumers.aggregate", "def f():\n    return open('x')"),
    (only_config_reads_the_environment, "tailrace.logger.state", "import os\nx = os.environ['A']"),
    (only_config_reads_the_environment, "tailrace_consumers.consume", "from os import getenv"),
    (names_say_what_is_inside, "tailrace.bus.utils", ""),
    (names_say_what_is_inside, "tailrace.common.bus", ""),
    (files_are_short, "tailrace.bus", "x = 1\n" * (MAX_LINES + 1)),
    (every_module_says_what_it_is, "tailrace.bus", "# a comment\nx = 1"),
    (every_module_says_what_it_is, "tailrace.bus", ""),
]


@pytest.mark.parametrize(("rule", "name", "source"), BREAKS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_sees_what_breaks_it(rule, name, source):
    assert list(rule(Module(name, source)))


def test_each_rule_is_tried_on_something_that_breaks_it():
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


KEEPS = [
    (imports_go_one_way, "tailrace.store.sqlite", "from tailrace.store.entry import Entry\nimport tailrace.errors"),
    (imports_go_one_way, "tailrace", "from tailrace.logger.state import get_logger"),
    (nothing_imports_the_root, "tailrace.cli.demo", "import tailrace"),
    (clients_stay_behind_their_doors, "tailrace.bus.kafka.group", "import aiokafka.errors"),
    (implementations_are_found_by_url, "tailrace.bus.kafka.group", "from tailrace.bus.kafka import url"),
    (implementations_are_found_by_url, "tailrace.testing", "from tailrace.bus.memory import open_bus"),
    (documents_and_stages_are_pure, "tailrace_consumers.index", "async def consumer():\n    await consume()"),
    (documents_and_stages_are_pure, "tailrace_consumers.runner", "import anyio, time"),
    (only_config_reads_the_environment, "tailrace.config", "import os\nx = os.environ"),
    (files_are_short, "tailrace.bus", "x = 1\n" * MAX_LINES),
]


@pytest.mark.parametrize(("rule", "name", "source"), KEEPS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_lets_pass_what_keeps_it(rule, name, source):
    assert not list(rule(Module(name, source)))
