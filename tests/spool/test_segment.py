"""New segment files: zeros up to their size, or an error and nothing."""

import errno
import os

import pytest

from tailrace.spool import segment

SIZE = 300_000


def copies_nothing(*_):
    raise OSError(errno.EINVAL, "not from such a file")


def copies_a_part(out, zeros, offset, count, copy=os.sendfile):
    return copy(out, zeros, offset, count // 3)


@pytest.mark.parametrize("sendfile", [os.sendfile, copies_nothing, copies_a_part], ids=["all", "nothing", "a part"])
def test_a_new_segment_is_zeros_up_to_its_size_however_much_the_kernel_copies_by_itself(
    tmp_path, monkeypatch, sendfile
):
    monkeypatch.setattr(os, "sendfile", sendfile)
    made = segment.made(tmp_path / "new", SIZE)
    assert made[:] == bytes(SIZE)
    made.write(b"x")
    assert (tmp_path / "new").read_bytes() == b"x" + bytes(SIZE - 1)
    assert (tmp_path / "new").stat().st_blocks * 512 >= SIZE  # no hole: a full disk would end the process later


def test_a_disk_that_is_full_half_way_is_an_error_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sendfile", copies_a_part)
    monkeypatch.setattr(os, "pwritev", lambda *_: 4096)
    with pytest.raises(OSError, match=f"the disk took {SIZE // 3 + 4096} of {SIZE} bytes"):
        segment.made(tmp_path / "new", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_only_replaced_where_that_is_asked_for(tmp_path):
    (tmp_path / "new").write_bytes(b"left from an attempt")
    with pytest.raises(FileExistsError):
        segment.made(tmp_path / "new", SIZE)
    assert (tmp_path / "new").read_bytes() == b"left from an attempt"
    assert segment.made_anew(tmp_path / "new", SIZE)[:] == bytes(SIZE)


def test_a_used_segment_is_cleared_in_place_and_mapped_again(tmp_path):
    path = tmp_path / "used"
    path.write_bytes(os.urandom(SIZE))
    before = path.stat().st_ino
    segment.clear(path, SIZE)
    mapped = segment.mapped(path, SIZE)
    mapped.write(b"y")
    assert path.stat().st_ino == before
    assert path.read_bytes() == b"y" + bytes(SIZE - 1)
