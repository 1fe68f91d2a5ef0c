"""What a companion tells a producer: read whole, or not at all."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.spool.directory import SpoolDirectory
from tailrace.spool.shipped import Listener, Notice, Shipped, read

NUMBER = st.integers(0, 2**62)
SHIPPED = st.builds(
    Shipped, st.tuples(NUMBER, NUMBER), NUMBER, NUMBER, st.text(max_size=2_000), st.floats(0, 1e12, allow_nan=False)
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return SpoolDirectory(tmp_path_factory.mktemp("producer"))


@given(st.lists(SHIPPED, min_size=1, max_size=5))
def test_the_last_word_is_read_whatever_was_said_before(directory, words):
    notice, listener = Notice(directory), Listener(directory)
    for word in words:
        notice.write(word)
        found = listener.read()
        assert found == read(directory)
        assert (found.position, found.frames, found.rejected, found.looked) == (
            word.position,
            word.frames,
            word.rejected,
            word.looked,
        )
        assert word.trouble.startswith(found.trouble)
        assert len(found.trouble) >= min(len(word.trouble), 500)
    notice.close()
    listener.close()


@given(SHIPPED, SHIPPED, st.floats(0, 1))
def test_of_two_words_mixed_by_a_write_under_way_none_is_read_that_nobody_said(directory, before, after, share):
    def written(word):
        notice = Notice(directory)
        notice.write(word)
        notice.close()
        return directory.shipped.read_bytes()

    first, second = written(before), written(after)
    cut = int(len(second) * share)
    directory.shipped.write_bytes(second[:cut] + first[cut:])
    assert read(directory) in (None, told(before), told(after))


def told(word):
    """As it is told."""
    return Shipped(word.position, word.frames, word.rejected, word.trouble[:500], word.looked)


@pytest.mark.parametrize("content", [b"", b"\n", b"00000000 {}\n", b"zz {}\n", b"x" * 5_000, bytes(4_096)])
def test_what_is_no_word_is_not_read(directory, content):
    directory.shipped.write_bytes(content)
    assert read(directory) is None


def test_a_link_in_its_place_is_neither_read_nor_written(tmp_path):
    producer = SpoolDirectory(tmp_path)
    (tmp_path / "elsewhere").write_bytes(b"kept")
    producer.shipped.symlink_to(tmp_path / "elsewhere")
    assert read(producer) is None
    with pytest.raises(FileNotFoundError):
        Notice(producer)
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


def test_a_listener_hears_a_word_that_comes_late_and_none_of_a_file_that_was_deleted(tmp_path):
    producer = SpoolDirectory(tmp_path)
    listener = Listener(producer)
    assert listener.read() is None
    for frames in (1, 2):
        notice = Notice(producer)
        notice.write(Shipped(frames=frames))
        notice.close()
        assert listener.read() == Shipped(frames=frames)
        producer.shipped.unlink()
        assert listener.read() is None


def test_a_listener_whose_descriptor_was_closed_and_given_to_another_file_leaves_that_alone(tmp_path):
    producer = SpoolDirectory(tmp_path)
    notice, listener = Notice(producer), Listener(producer)
    notice.write(Shipped(frames=1))
    notice.close()
    assert listener.read() == Shipped(frames=1)
    number = listener._fd
    os.close(number)
    with (tmp_path / "foreign").open("w+b") as foreign:
        assert foreign.fileno() == number
        assert listener.read() is None
        listener.close()
        assert foreign.write(b"still open") == 10
    assert listener.read() == Shipped(frames=1)
    listener.close()
