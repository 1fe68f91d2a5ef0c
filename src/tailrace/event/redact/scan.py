"""Many expressions in one pass, in linear time whatever they are. Imports hyperscan."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import hyperscan

ONCE = hyperscan.HS_FLAG_SINGLEMATCH
"""Tells whether an expression is found."""
PLACES = hyperscan.HS_FLAG_SOM_LEFTMOST
"""Tells where."""
TEXT = hyperscan.HS_FLAG_UTF8
"""Takes the expression as one of characters, not of bytes: slower."""
ASCII_ANY_CASE = hyperscan.HS_FLAG_CASELESS
ANY_CASE = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP
"""Takes upper and lower case of every script as one: slower still."""

RefusedError = hyperscan.HyperscanError
"""Hyperscan does not take an expression, or does not run on this processor."""

_MAX_PLACES = 10_000


class Scanner:
    """A set of (expression, flags), numbered from 0. For any thread, in signal handlers, and after a fork.

    Raises:
        RefusedError: hyperscan does not take an expression, or does not run on this processor.
    """

    def __init__(self, expressions: Sequence[tuple[bytes, int]]) -> None:
        self._database = hyperscan.Database()
        sources, flags = zip(*expressions, strict=True)
        self._database.compile(expressions=sources, ids=range(len(sources)), elements=len(sources), flags=flags)
        # A scan lets other threads run, and a scratch serves one scan at a time.
        self._scratches = [hyperscan.Scratch(self._database)]
        self.found = self._finder()
        """The numbers of the expressions that are found in a text (with `ONCE`: each once)."""

    def _finder(self) -> Callable[[bytes], list[int]]:
        """For every logging call: a closure looks up less."""
        scan, scratches = self._database.scan, self._scratches
        take, give_back = scratches.pop, scratches.append

        def found(data: bytes) -> list[int]:
            numbers: list[int] = []
            try:
                scratch = take()
            except IndexError:  # each is in use
                scratch = hyperscan.Scratch(self._database)
            try:
                scan(data, _note_number, 0, numbers, scratch)
            finally:
                give_back(scratch)
            return numbers

        return found

    def places(self, data: bytes) -> list[tuple[int, int]] | None:
        """(start, end) of each match, with every end that there is; None if there are more than 10,000."""
        places: list[tuple[int, int]] = []
        try:
            self._scan(data, _note_place, places)
        except hyperscan.ScanTerminated:
            return None
        return sorted(places)

    def _scan(self, data: bytes, note: Callable[[int, int, int, int, Any], bool | None], notes: list[Any]) -> None:
        try:
            scratch = self._scratches.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        try:
            self._database.scan(data, note, 0, notes, scratch)
        finally:
            self._scratches.append(scratch)


def _note_number(number: int, _start: int, _end: int, _flags: int, numbers: Any) -> None:
    numbers.append(number)


def _note_place(_number: int, start: int, end: int, _flags: int, places: list[tuple[int, int]]) -> bool:
    places.append((start, end))
    return len(places) > _MAX_PLACES


@functools.lru_cache(maxsize=16)
def scanner(expressions: tuple[tuple[bytes, int], ...]) -> Scanner:
    """One for each set in a process: a second configuration and a forked child find it ready."""
    return Scanner(expressions)
