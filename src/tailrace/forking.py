"""Keeps a fork out of moments that would leave the child with something half done.

Another thread's import leaves half a module; another thread's SQLite call may hold the library's own locks, for ever in
the child. What tailrace does in threads of its own beside the program's is therefore done `with unforked:`, and a fork
waits until that is over: milliseconds. Nothing may block for long in there.

`logging` and `concurrent.futures.thread` are imported with this module, because they hook into fork themselves:
imported by one thread while another one forks, they would release in the parent what they had not acquired.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import threading

unforked = threading.Lock()

os.register_at_fork(before=unforked.acquire, after_in_parent=unforked.release, after_in_child=unforked.release)
