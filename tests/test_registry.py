import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from tailrace import registry
from tailrace.bus.memory import MemoryBus
from tailrace.bus.sqlite import SQLiteBus
from tailrace.config import Config
from tailrace.errors import ConfigError
from tailrace.registry import open_bus, open_store
from tailrace.store.memory import MemoryStore
from tailrace.store.sqlite import SqliteStore


def test_without_settings_both_are_sqlite():
    assert isinstance(open_bus(Config()), SQLiteBus)
    assert isinstance(open_store(Config()), SqliteStore)


def test_the_scheme_chooses_and_nothing_is_opened_yet(tmp_path):
    config = Config(bus="memory:", store="memory:")
    assert isinstance(open_bus(config), MemoryBus)
    assert isinstance(open_store(config), MemoryStore)
    open_bus(Config(bus="kafka://nowhere.invalid:1"))
    open_bus(Config(bus=f"sqlite:///{tmp_path}/a/b.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("kafak://h:9092", "did you mean kafka:?"),
        ("redis://h", "known: kafka:, memory:, sqlite:"),
        ("memory", "did you mean memory:?"),
        ("", "known: "),
    ],
)
def test_an_unknown_scheme_is_told_with_what_there_is(url, hint):
    with pytest.raises(ConfigError, match=rf"no bus serves .*; {hint.replace('?', '[?]')}"):
        open_bus(Config(bus=url or ":"))


@pytest.mark.parametrize(
    "url", ["kafk://agent:hunter2@h:9092", "kafka//agent:hunter2@h", "agent:hunter2@h:9092", "redis:hunter2"]
)
@pytest.mark.parametrize(("kind", "opened"), [("bus", open_bus), ("store", open_store)])
def test_a_password_in_a_wrong_url_is_not_shown(url, kind, opened):
    with pytest.raises(ConfigError) as raised:
        opened(Config(**{kind: url}))
    assert "hunter2" not in str(raised.value)


def test_another_package_adds_a_scheme_by_an_entry_point(monkeypatch):
    added = EntryPoint("mine", "tailrace.bus.memory:open_bus", "tailrace.buses")
    monkeypatch.setattr(registry, "entry_points", lambda group: [added] if group == "tailrace.buses" else [])
    assert isinstance(open_bus(Config(bus="mine:")), MemoryBus)
    with pytest.raises(ConfigError, match=r"no store serves 'mine:'"):
        open_store(Config(store="mine:"))


def test_an_entry_point_does_not_take_a_built_in_scheme(monkeypatch):
    taken = EntryPoint("memory", "no.such.module:open_bus", "tailrace.buses")
    monkeypatch.setattr(registry, "entry_points", lambda group: [taken])
    assert isinstance(open_bus(Config(bus="memory:")), MemoryBus)


@pytest.mark.parametrize(
    ("call", "absent"),
    [
        ("open_bus(Config(bus='sqlite:///x.db'))", ["aiokafka", "opensearchpy", "aiohttp"]),
        ("open_store(Config(store='memory:'))", ["aiokafka", "opensearchpy", "sqlite3"]),
        ("open_bus(Config(bus='kafka://h:1'))", ["opensearchpy", "tailrace.bus.sqlite", "tailrace.store"]),
    ],
)
def test_only_what_is_asked_for_is_imported(call, absent):
    program = f"""
import sys
from tailrace.config import Config
from tailrace.registry import open_bus, open_store
{call}
print([name for name in {absent} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
