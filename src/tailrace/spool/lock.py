"""The locks of a spool: who owns it, who ships it."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from tailrace.spool import files


class Lock:
    """An flock on a file: freed by the kernel when its holder dies. Inherited neither through exec nor by a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        _locks.add(self)

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free; never waits. False also where the file cannot be opened.

        `shared`: only to see whether it is free; those who look do not see one another.
        """
        try:
            fd = files.open_to_append(self.path)
        except OSError:
            return False
        self._fd = fd
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            self.release()
            return False
        if self.is_named():
            return True
        self.release()  # deleted meanwhile: a lock on nothing
        return False

    def is_named(self) -> bool:
        """Whether the file that is locked still has its name, or nobody can tell."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def release(self) -> None:
        """Close the file. In a forked child this leaves the parent's lock held, as an unlock would not."""
        fd, self._fd = self._fd, -1  # in this order: a child that is forked in between must not close it again
        if fd >= 0:
            os.close(fd)

    def outlive(self) -> None:
        """Have a child that is forked from now on hold the lock, too, until it ends."""
        os.dup(self._fd)


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A child that held on to its parent's locks would make the dead seem alive, and the idle busy."""
    for lock in list(_locks):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
