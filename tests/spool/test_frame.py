"""Frames are found again after any damage, and nothing damaged is ever taken for a frame."""

import json
import struct
import subprocess
import sys
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.config import Config
from tailrace.publish.launch import name_of
from tailrace.spool import About
from tailrace.spool.frame import NO_SPAN, pack, parse


def framed(seq, value=b'{"a":1}', topic="tailrace.events.w", key=b"k" * 32):
    return pack(seq, topic, key, NO_SPAN, value)


FIVE = [framed(seq, value=bytes([65 + seq]) * (seq * 7)) for seq in range(5)]
SEGMENT = b"".join(FIVE)


def test_a_frame_gives_back_what_was_packed():
    parsed = parse(pack(7, "topic", b"key", b"12345678", b"value"), final=True)
    (frame,) = parsed.frames
    assert (frame.seq, frame.route.topic, frame.route.key, frame.route.span, frame.value) == (
        7,
        "topic",
        b"key",
        b"12345678",
        b"value",
    )
    assert parsed.damaged == 0


def test_every_truncation_keeps_the_whole_frames_before_it():
    for end in range(len(SEGMENT) + 1):
        whole = [frame for frame in parse(SEGMENT, final=True).frames if frame.end <= end]
        parsed = parse(SEGMENT[:end], final=True)
        assert parsed.frames == whole
        assert parsed.consumed == end
        torn = SEGMENT[whole[-1].end if whole else 0 : end]
        assert parsed.damaged == len(torn.rstrip(b"\0"))  # zeros at the end look like room that was not written


def test_a_torn_end_is_left_for_the_next_read_while_the_writer_lives():
    torn = SEGMENT[:-3]
    parsed = parse(torn, final=False)
    assert [frame.seq for frame in parsed.frames] == [0, 1, 2, 3]
    assert parsed.consumed == parsed.frames[-1].end
    assert [frame.seq for frame in parse(SEGMENT[parsed.consumed :], parsed.consumed, final=False).frames] == [4]


def test_every_flipped_byte_costs_at_most_the_frame_it_is_in():
    ends = [frame.end for frame in parse(SEGMENT, final=True).frames]
    for at in range(len(SEGMENT)):
        damaged = bytearray(SEGMENT)
        damaged[at] ^= 0xFF
        hit = next(index for index, end in enumerate(ends) if at < end)
        found = parse(bytes(damaged), final=True)
        assert [frame.seq for frame in found.frames] == [seq for seq in range(5) if seq != hit]
        assert found.damaged == len(FIVE[hit])


@given(st.lists(st.one_of(st.sampled_from(FIVE), st.binary(max_size=40)), max_size=12))
def test_frames_between_arbitrary_bytes_are_all_found_in_order(pieces):
    found = parse(b"".join(pieces), final=True)
    expected = [parse(piece, final=True).frames[0].seq for piece in pieces if piece in FIVE]
    assert [frame.seq for frame in found.frames] == expected
    assert found.consumed == sum(map(len, pieces))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_without_an_error(buffer):
    parsed = parse(buffer, final=True)
    assert parsed.consumed == len(buffer)
    assert parsed.frames == []
    assert parsed.damaged == len(buffer.rstrip(b"\0"))


def of_version_1(seq, value):
    """A frame as the first version wrote it, put together from its description."""
    topic, key = b"tailrace.events.w", b"k" * 32
    counts = struct.pack("<4sIIQQB", b"TRF\x01", len(value), 0, seq, 0, 0)
    route = struct.pack("<BHH8s", len(key), len(topic), 0, NO_SPAN) + key + topic
    return counts + route + value + struct.pack("<I", crc32(value, crc32(counts, crc32(route))))


OLD = [of_version_1(seq, value=bytes([65 + seq]) * (seq * 7)) for seq in range(5)]


@pytest.mark.parametrize("verify", [True, False])
@given(which=st.lists(st.booleans(), min_size=5, max_size=5))
def test_frames_of_both_versions_may_follow_one_another(which, verify):
    buffer = b"".join([OLD[seq] if is_old else FIVE[seq] for seq, is_old in enumerate(which)])
    parsed = parse(buffer, final=True, verify=verify)
    assert [(frame.seq, frame.value) for frame in parsed.frames] == [
        (seq, bytes([65 + seq]) * (seq * 7)) for seq in range(5)
    ]
    assert (parsed.consumed, parsed.damaged) == (len(buffer), 0)


def test_damage_to_a_frame_of_version_1_is_seen():
    whole = b"".join(OLD)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        found = parse(bytes(damaged), final=True)
        assert len(found.frames) == 4
        assert {frame.seq for frame in found.frames} < set(range(5))


def test_without_verifying_only_the_last_frame_of_a_stretch_is_looked_at():
    torn = bytearray(SEGMENT)
    torn[len(FIVE[0]) - 1] ^= 1
    torn[-1] ^= 1
    assert [frame.seq for frame in parse(bytes(torn), final=False, verify=False).frames] == [0, 1, 2, 3]


WITHOUT_XXHASH = """
import json, pathlib, sys
sys.modules["xxhash"] = None
from tailrace.config import Config
from tailrace.publish.launch import name_of
from tailrace.spool import About
from tailrace.spool.directory import _is_newer
from tailrace.spool.frame import NO_SPAN, pack, parse
old, new = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
made = pack(7, "tailrace.events.w", b"k" * 32, NO_SPAN, b"A")
print(json.dumps([
    made[3], [frame.seq for frame in parse(made, final=True).frames],
    _is_newer(old), [frame.seq for frame in parse(old.read_bytes(), final=True).frames],
    _is_newer(new), [frame.seq for frame in parse(new.read_bytes(), final=True).frames],
    About("p", 1, "h", "internal", "2026").version, name_of(Config(home=sys.argv[3])),
]))
"""


def test_without_xxhash_version_1_is_written_and_read_and_version_2_is_left_alone(tmp_path):
    pytest.importorskip("xxhash", reason="without the extra `fast` there is no version 2 to set aside")
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"".join(OLD))
    new.write_bytes(SEGMENT)
    program = [sys.executable, "-c", WITHOUT_XXHASH, str(old), str(new), str(tmp_path)]
    *found, version, name = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    assert found == [1, [7], False, [0, 1, 2, 3, 4], True, []]
    # Told before there is a frame, and no companion serves both: it would take for damage what it cannot read.
    assert (version, About("p", 1, "h", "internal", "2026").version) == (1, 2)
    assert name != name_of(Config(home=str(tmp_path)))
