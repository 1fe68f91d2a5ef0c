"""Whatever is logged becomes a readable event, and never an exception."""

import asyncio
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import gc
import io
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import types
import uuid
import weakref
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tailrace
from tailrace.event import payload
from tailrace.event.nesting import is_deeper
from tests.logger.conftest import documents, spooled

ANY = object()
DEEP = 10_000


@dataclasses.dataclass
class Point:
    x: int
    y: object = None


class Struct(msgspec.Struct, tag="struct"):
    x: object


class Colour(enum.Enum):
    RED = "red"


class Bits(enum.Flag):
    A = 1
    B = 2


class Odd(enum.Enum):
    OBJECT = object()


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - the plain kind is what is tested


class Model:
    """As pydantic's."""

    def __init__(self, dumped):
        self.dumped = dumped

    def model_dump(self, **_):
        if isinstance(self.dumped, BaseException):
            raise self.dumped
        return self.dumped


class Raises:
    def __repr__(self):
        raise RuntimeError("made up")

    __str__ = __repr__


class BadGetattr:
    def __getattribute__(self, name):
        raise RuntimeError("made up")


class BadClass:
    @property
    def __class__(self):
        raise RuntimeError("made up")


class LyingClass:
    __class__ = dict


class BadDict:
    @property
    def __dict__(self):
        raise RuntimeError("made up")


class BadMeta(type):
    def __getattribute__(cls, name):
        raise RuntimeError("made up")


class OfBadMeta(metaclass=BadMeta):
    pass


class Slots:
    __slots__ = ("a",)


class LongRepr:
    def __repr__(self):
        return "x" * 1_000_000


class NotTextRepr:
    def __repr__(self):
        return 7


class Logs:
    """Logs while it is logged, itself each time."""

    def __repr__(self):
        tailrace.get_logger().info(self)
        return "<Logs>"


class LogsModel:
    def model_dump(self, **_):
        tailrace.get_logger().log_action("inner", input_data=self)
        return {"ok": True}


class BadMapping(collections.abc.Mapping):
    def __getitem__(self, key):
        raise RuntimeError("made up")

    def __iter__(self):
        raise RuntimeError("made up")

    def __len__(self):
        return 3


class EndlessMapping(collections.abc.Mapping):
    def __getitem__(self, key):
        return EndlessMapping()

    def __iter__(self):
        return iter("a")

    def __len__(self):
        return 1


class BadDictItems(dict):
    def items(self):
        raise RuntimeError("made up")


class BadListIter(list):
    def __iter__(self):
        raise RuntimeError("made up")


class BadText(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("made up")

    encode = __str__


class BadInt(int):
    def __repr__(self):
        raise RuntimeError("made up")

    __str__ = __format__ = __repr__


class BadPath:
    def __fspath__(self):
        raise RuntimeError("made up")

    __str__ = __fspath__


class Unhashable:
    __hash__ = None
    __eq__ = None


class BadEq:
    def __eq__(self, other):
        raise RuntimeError("made up")

    __hash__ = object.__hash__


class Item:
    """As a NumPy scalar's, with an `item` that raises."""

    shape = ()

    def item(self):
        raise RuntimeError("made up")


class BadStrError(Exception):
    def __str__(self):
        raise RuntimeError("made up")


class Recursive:
    def __repr__(self):
        return repr(self)


class ModelOfItself:
    def model_dump(self, **_):
        return {"me": self}


def cyclic_dict():
    found = {"a": 1}
    found["me"] = found
    return found


def cyclic_list():
    found = [1]
    found.append(found)
    return found


def cyclic_point():
    found = Point(1)
    found.y = found
    return found


def nested(kind):
    found = "bottom"
    for _ in range(DEEP):
        found = {"a": found} if kind is dict else kind([found])
    return found


def deep_points():
    found = None
    for _ in range(DEEP):
        found = Point(1, found)
    return found


def generator():
    yield 1


def numpy():
    return pytest.importorskip("numpy")


def marked(type_name):
    return lambda found: found["$unencodable"].endswith(type_name)


def holds(text):
    return lambda found: text in json.dumps(found)


HOSTILE = {
    # what has a JSON form of its own
    "dataclass": (lambda: Point(1, [2]), {"x": 1, "y": [2]}),
    "attrs": (lambda: pytest.importorskip("attrs").make_class("Attrs", ["x"])(1), {"x": 1}),
    "struct": (lambda: Struct(x=1), {"type": "struct", "x": 1}),
    "enum": (lambda: Colour.RED, "red"),
    "named tuple": (lambda: Pair(1, "b"), [1, "b"]),
    "datetime": (lambda: dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "2024-01-02T00:00:00Z"),
    "date": (lambda: dt.date(2024, 1, 2), "2024-01-02"),
    "time": (lambda: dt.time(1, 2), "01:02:00"),
    "timedelta": (lambda: dt.timedelta(seconds=90), "PT90S"),
    "decimal": (lambda: decimal.Decimal("1.50"), "1.50"),
    "uuid": (lambda: uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "path": (lambda: pathlib.PurePosixPath("/a/b"), "/a/b"),
    "bytes": (lambda: b"\x00\xff", "AP8="),
    "bytearray": (lambda: bytearray(b"\x00\xff"), "AP8="),
    "memoryview": (lambda: memoryview(b"\x00\xff"), "AP8="),
    "set": (lambda: {1}, [1]),
    "frozen set": (lambda: frozenset({"a"}), ["a"]),
    "deque": (lambda: collections.deque([1, 2]), [1, 2]),
    "default dict": (lambda: collections.defaultdict(list, a=[1]), {"a": [1]}),
    "ordered dict": (lambda: collections.OrderedDict(a=1), {"a": 1}),
    "chain map": (lambda: collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    "mapping proxy": (lambda: types.MappingProxyType({"a": 1}), {"a": 1}),
    "pydantic-like": (lambda: Model({"a": {1}}), {"a": [1]}),
    "exception": (lambda: ValueError("boom"), {"type": "ValueError", "message": "boom"}),
    "raw JSON": (lambda: msgspec.Raw(b'{"a":1}'), {"a": 1}),
    # numbers
    "nan": (lambda: float("nan"), None),
    "infinities in containers": (lambda: {"a": [float("inf"), -float("inf"), 1.5]}, {"a": [None, None, 1.5]}),
    "nan on the careful way": (lambda: {"a": float("nan"), "b": "\ud800"}, {"a": None, "b": "\\ud800"}),
    "decimal nan": (lambda: decimal.Decimal("NaN"), ANY),
    "huge int": (lambda: [2**64, -(10**4000)], [2**64, -(10**4000)]),
    "int beyond Python's digits": (lambda: [10**5000, 1], lambda found: marked("int")(found[0]) and found[1] == 1),
    "int64s": (lambda: [2**64 - 1, -(2**63)], [2**64 - 1, -(2**63)]),
    "complex": (lambda: 1 + 2j, marked("complex")),
    "fraction": (lambda: fractions.Fraction(1, 3), holds("1, 3")),
    "int with bad repr": (lambda: BadInt(5), ANY),
    # text
    "a megabyte": (lambda: "x" * 1_000_000, lambda found: found["$truncated"] >= 1_000_002),
    "a megabyte in small pieces": (lambda: ["x" * 100] * 10_000, lambda found: found["$truncated"] > 1_000_000),
    "lone surrogate": (lambda: "a\ud800b", "a\\ud800b"),
    "lone surrogate in a key": (lambda: {"a\udfff": 1}, {"a\\udfff": 1}),
    "control characters": (lambda: "\x00\x1b[31m\u2028\ufeff\x7f", "\x00\x1b[31m\u2028\ufeff\x7f"),
    "text with bad methods": (lambda: BadText("a"), ANY),
    # keys
    "keys of other types": (
        lambda: {1: "a", 2.5: "b", False: "c"},
        lambda found: sorted(found.values()) == ["a", "b", "c"],
    ),
    "key None": (lambda: {None: 1}, ANY),
    "tuple key": (lambda: {(1, 2): "x"}, {"(1, 2)": "x"}),
    "object key": (lambda: {BadEq(): "x"}, holds('"x"')),
    "key with bad repr": (lambda: {Raises(): "x"}, holds('"x"')),
    "bytes key": (lambda: {b"k": "x"}, holds('"x"')),
    "enum key": (lambda: {Colour.RED: "x"}, holds('"x"')),
    "colliding keys on the careful way": (
        lambda: {1: "a", "1": "b", (): "c"},
        lambda found: sorted(found.values()) == ["a", "b", "c"],
    ),
    # shapes
    "cyclic dict": (cyclic_dict, lambda found: found == {"a": 1, "me": {"$cycle": "dict"}}),
    "cyclic list": (cyclic_list, lambda found: found == [1, {"$cycle": "list"}]),
    "cyclic dataclass": (cyclic_point, holds("x")),
    "10,000 lists deep": (lambda: nested(list), holds("nested too deeply")),
    "10,000 tuples deep": (lambda: nested(tuple), holds("nested too deeply")),
    "10,000 dicts deep": (lambda: nested(dict), holds("nested too deeply")),
    "10,000 dataclasses deep": (deep_points, ANY),
    "shared, not cyclic": (lambda: [[1]] * 3, [[1], [1], [1]]),
    "a model that holds itself": (ModelOfItself, holds("ModelOfItself")),
    "endless mapping": (EndlessMapping, ANY),
    # objects of the system
    "lock": (threading.Lock, marked("lock")),
    "thread": (threading.current_thread, marked("Thread")),
    "open file": (lambda: io.StringIO("text"), marked("StringIO")),
    "function": (lambda: generator, marked("function")),
    "lambda": (lambda: lambda: None, marked("function")),
    "class": (lambda: Point, marked("type")),
    "module": (lambda: json, marked("module")),
    "generator": (generator, marked("generator")),
    "iterator": (lambda: iter([1]), marked("iterator")),
    "huge range": (lambda: range(10**12), marked("range")),
    "dict views": (lambda: [{"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items()], [["a"], [1], [["a", 1]]]),
    "weak reference": (lambda: weakref.ref(Point), ANY),
    "compiled pattern": (lambda: re.compile("a"), marked("Pattern")),
    "ellipsis": (lambda: ..., marked("ellipsis")),
    "not implemented": (lambda: NotImplemented, marked("NotImplementedType")),
    "frame": (sys._getframe, marked("frame")),
    "logger": (tailrace.get_logger, marked("Logger")),
    "mock-like object that has every attribute": (mock.MagicMock, ANY),
    "enum flag": (lambda: Bits.A | Bits.B, 3),
    "enum of an object": (lambda: Odd.OBJECT, ANY),
    # objects that fight back
    "model_dump raises": (lambda: Model(RuntimeError("made up")), marked("Model")),
    "model_dump gives itself odd things": (lambda: Model({1: object(), "a": "\ud800"}), ANY),
    "repr and str raise": (Raises, holds("RuntimeError")),
    "repr raises RecursionError": (Recursive, marked("Recursive")),
    "getattr raises": (BadGetattr, marked("BadGetattr")),
    "__class__ raises": (BadClass, marked("BadClass")),
    "__class__ lies": (LyingClass, ANY),
    "__dict__ raises": (BadDict, marked("BadDict")),
    "metaclass raises": (lambda: OfBadMeta, ANY),
    "object of a metaclass that raises": (OfBadMeta, ANY),
    "slots never set": (Slots, marked("Slots")),
    "long repr": (LongRepr, lambda found: len(found["repr"]) < 2_000),
    "repr that is no text": (NotTextRepr, holds("TypeError")),
    "mapping that raises": (BadMapping, marked("BadMapping")),
    "dict that raises": (lambda: BadDictItems(a=1), ANY),
    "list that raises": (lambda: BadListIter([1]), ANY),
    "path that raises": (BadPath, marked("BadPath")),
    "unhashable": (Unhashable, marked("Unhashable")),
    "NumPy-like scalar that raises": (Item, marked("Item")),
    "exception with bad str": (BadStrError, ANY),
    "exception group": (lambda: ExceptionGroup("many", [ValueError("a")]), holds("many")),
    "logs from its repr": (Logs, marked("Logs")),
    "logs from its model_dump": (LogsModel, {"ok": True}),
    "odd things in a set": (lambda: {BadEq(), (1, 2)}, holds("BadEq")),
    # NumPy
    "NumPy scalar": (lambda: numpy().float64(1.5), 1.5),
    "NumPy int": (lambda: numpy().int32(7), 7),
    "NumPy array": (lambda: numpy().zeros(3), marked("ndarray")),
}


def log_everywhere(log, value):
    """Log the value in each place that takes any; gives what became of it there."""
    log.log_action("input", input_data=value)
    log.log_action("output", output_data=value)
    log.add_resource("field", kept=value)
    log.info(value)
    assert log.stats().dropped == {}
    assert log.stats().redaction_failed == 0
    # Strictly: NaN is no JSON. Of what a value logs by itself, the event is not asked for here.
    found = {event.type: [] for event in spooled()}
    for event in spooled():
        found[event.type].append(json.loads(bytes(event.data), parse_constant=pytest.fail))
    actions = {data["action_name"]: data for data in found["action"]}
    fields = found["resource"][0]["fields"]
    return {
        "input": actions["input"]["input_data"],
        "output": actions["output"]["output_data"],
        "field": fields.get("kept", fields),
        "log line": found["log"][-1]["message"],
    }


def test_there_are_sixty_hostile_values_and_more():
    assert len(HOSTILE) > 100


@pytest.mark.parametrize("name", HOSTILE)
def test_any_value_is_logged_anywhere_and_read_again(log, name):
    make, expected = HOSTILE[name]
    for place, found in log_everywhere(log, make()).items():
        as_expected = expected is ANY or (expected(found) if callable(expected) else found == expected)
        assert as_expected, (place, found)
    assert documents()


def body(value):
    return msgspec.json.decode(payload.encode({"a": value}))["a"]


def test_generators_and_iterators_are_not_consumed(log):
    for lazy in (generator(), iter([1]), map(str, [1]), io.StringIO("1")):
        log.info(lazy)
        assert [*lazy] in ([1], ["1"])


def test_a_coroutine_is_neither_run_nor_awaited(log):
    ran = []

    async def work():
        ran.append(1)

    coroutine = work()
    log.info(coroutine)
    coroutine.close()
    assert ran == []


def test_a_value_is_read_at_the_call_and_not_later(log):
    value = {"a": [1]}
    log.info("x", value=value)
    value["a"].append(2)
    assert json.loads(bytes(spooled()[-1].data))["fields"] == {"value": {"a": [1]}}


def test_no_reference_to_a_logged_value_is_kept(log):
    value = Raises()
    alive = weakref.ref(value)
    log.info(value)
    del value
    gc.collect()
    assert alive() is None


def test_a_socket_and_a_process_are_left_alone(log):
    with socket.socket() as open_socket, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        log.info([open_socket, process])
        assert open_socket.fileno() >= 0
        process.communicate(b"\n")
    assert b"socket" in bytes(spooled()[-1].data)


def test_a_value_changed_by_another_thread_meanwhile_is_still_logged(log):
    shared = {str(n): [n] for n in range(200)}
    done = threading.Event()

    def change():
        n = 0
        while not done.is_set():
            n += 1
            shared[f"new{n % 500}"] = {n}
            shared.pop(f"new{(n - 250) % 500}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            log.info("x", shared=shared, odd={"\ud800": shared})
    finally:
        done.set()
        thread.join()
    assert log.stats().dropped == {}
    assert len(spooled()) == 51


def test_an_event_loop_and_its_tasks_are_logged(log):
    async def main():
        log.info([asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock()])

    asyncio.run(main())
    assert b"Lock" in bytes(spooled()[-1].data)


@pytest.mark.parametrize("limit", [3_000, 9_000, 300_000])
def test_raised_recursion_limits_neither_crash_nor_make_unreadable_events(limit):
    script = f"""
import sys
import msgspec
from tailrace.event import payload
sys.setrecursionlimit({limit})
deep, wide, cyclic = [], [[] for _ in range(2000)], {{}}
cyclic["me"] = cyclic
for _ in range(2_000):
    deep = [deep]
found = [payload.encode({{"a": value}}).decode() for value in (deep, wide, cyclic)]
sys.setrecursionlimit(1_000)
assert msgspec.json.decode(found[1])["a"] == wide
for body in found:
    msgspec.json.decode(body)
assert "nested too deeply" in found[0]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_nesting_that_readers_can_take_is_kept():
    value = "bottom"
    for _ in range(200):
        value = [{"a": value}, [], []]
    assert body(value) == value


def test_a_large_field_is_cut_and_the_others_are_kept():
    cut = msgspec.json.decode(payload.shorten(payload.encode({"a": "x" * 5_000, "b": ["é"], "c": {"y": "é" * 3_000}})))
    assert cut["b"] == ["é"]
    assert (cut["a"]["$truncated"], cut["a"]["head"]) == (5_002, '"' + "x" * 999)
    assert len(cut["a"]["sha256"]) == 64
    assert cut["c"]["$truncated"] == 6_008
    assert cut["c"]["head"].startswith('{"y":"é')


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_what_json_has_comes_back_as_it_was_on_both_ways(value):
    assert body(value) == value
    assert json.loads(msgspec.json.encode(payload.plain(value))) == value


@dataclasses.dataclass
class Link:
    inner: object


def test_objects_nested_deeper_than_readers_can_take_are_a_stand_in_whatever_the_encoder_takes():
    deep = None
    for _ in range(700):  # which encoders and decoders of every version still take
        deep = Link(deep)
    body = payload.encode({"a": deep})
    assert not is_deeper(body, 600)
    assert json.loads(body)["a"]["repr"] == "nested too deeply"
