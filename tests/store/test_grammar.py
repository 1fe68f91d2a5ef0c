import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import QueryError
from tailrace.store import Query
from tailrace.store.grammar import parse

NOW = 1_767_268_800.0  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("line", "query"),
    [
        ("", Query()),
        ("  \t\n", Query()),
        ("timeout", Query(words=("timeout",))),
        ("time-out it's (really)", Query(words=("time-out", "it's", "(really)"))),
        ('one "two  three" four', Query(words=("one", "four"), phrases=("two  three",))),
        (r'"a \"quoted\" C:\temp \\ b"', Query(phrases=(r'a "quoted" C:\temp \ b',))),
        ('"agent:x"', Query(phrases=("agent:x",))),
        ("workflow:billing", Query(workflows=("billing",))),
        ('workflow:"Support Bot",billing', Query(workflows=("Support Bot", "billing"))),
        ('agent:a agent:b,"c,d"', Query(agents=("a", "b", "c,d"))),
        ("agent:http://host:80", Query(agents=("http://host:80",))),
        ("Status:FAILED,Open", Query(statuses=("failed", "open"))),
        ("since:15m", Query(since="2026-01-01T11:45:00.000000Z")),
        ("since:2h until:30s", Query(since="2026-01-01T10:00:00.000000Z", until="2026-01-01T11:59:30.000000Z")),
        ("since:3d until:1w", Query(since="2025-12-29T12:00:00.000000Z", until="2025-12-25T12:00:00.000000Z")),
        ("since:2026-01-01T10:00:00Z", Query(since="2026-01-01T10:00:00.000000Z")),
        ("since:2026-01-01T10:00:00.5+01:00", Query(since="2026-01-01T09:00:00.500000Z")),
        ('since:"2026-01-01 10:00"', Query(since="2026-01-01T10:00:00.000000Z")),
        ("until:2026-01-01", Query(until="2026-01-01T00:00:00.000000Z")),
        ("x agent:a y", Query(words=("x", "y"), agents=("a",))),
    ],
)
def test_a_line_is_read_as_a_query(line, query):
    assert parse(line, now=NOW) == query


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("agnet:x", r"'agnet:x' is not a filter; did you mean agent:\?.*quote it"),
        ("Stat:x", r"did you mean status:\?"),
        ("http://host", "filters are workflow: status: agent: since: until:.*quote it"),
        ("12:30", "quote it"),
        (":x", "quote it"),
        ("agent:", "agent: needs a value"),
        ("agent: x", "agent: needs a value"),
        ('agent:""', "agent: needs a value"),
        ("agent:a,,b", "agent: needs a value"),
        ("since:yesterday", "'yesterday' is no time; write an age"),
        ("since:15", "is no time"),
        ("since:99999999w", "before all times"),
        ("since:1h since:2h", "one value"),
        ("since:1h,2h", "one value"),
        ('"open', "not closed"),
        ('"glued"word', "no space"),
        ('agent:"open', "quote"),
        ("!!! ->", "no letter or digit"),
        ('"..."', "no letter or digit"),
        ("word " * 65, "at most 64"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_the_fix(line, hint):
    with pytest.raises(QueryError, match=hint):
        parse(line, now=NOW)


def test_an_error_shows_control_characters_escaped_and_long_parts_cut():
    with pytest.raises(QueryError) as caught:
        parse("\x1b[31mred:" + "x" * 10_000, now=NOW)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 250


@given(
    st.text() | st.lists(st.sampled_from([*'":, \\-', "agent:", "since:", "until:", "2h", "status", "w"])).map("".join)
)
def test_any_text_is_a_query_or_a_query_error(line):
    try:
        query = parse(line, now=NOW)
    except QueryError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is right
    else:
        assert query.limit == Query().limit


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(names, max_size=3), st.lists(names, max_size=3))
def test_any_name_can_be_quoted(workflows, agents):
    def quoted(name):
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = " ".join(
        [*(f"workflow:{quoted(name)}" for name in workflows), *(f"agent:{quoted(name)}" for name in agents)]
    )
    assert parse(line, now=NOW) == Query(workflows=tuple(workflows), agents=tuple(agents))
