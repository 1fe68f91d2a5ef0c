"""Sets of whole numbers kept as intervals: the numbers received from one producer are nearly always one run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence


class Intervals:
    """A set of integers; adding in ascending order is O(1), in any order O(log n) plus the shift of a list.

    Not thread-safe. Equal to another one if it holds the same numbers.
    """

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[Sequence[int]] = ()) -> None:
        self._spans: list[list[int]] = []
        for low, high in spans:
            self._insert(low, high)

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Intervals:
        """The set of these numbers, in any order. Consecutive ones cost least."""
        as_many_as_between = numbers and numbers[-1] - numbers[0] == len(numbers) - 1
        if as_many_as_between and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
            return cls([(numbers[0], numbers[-1])])
        found = cls()
        for number in numbers:
            found.add(number)
        return found

    def add(self, number: int) -> None:
        spans = self._spans
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            self._insert(number, number)

    def has(self, number: int) -> bool:
        spans = self._spans
        if not spans or number > spans[-1][1]:
            return False
        at = bisect_right(spans, number, key=lambda span: span[0]) - 1
        return at >= 0 and number <= spans[at][1]

    def union(self, other: Intervals) -> Intervals:
        joined = Intervals(self._spans)
        for low, high in other._spans:
            joined._insert(low, high)
        return joined

    def spans(self) -> list[list[int]]:
        """Sorted, disjoint, not adjacent: `[[0, 4], [7, 7]]`."""
        return [list(span) for span in self._spans]

    def count(self) -> int:
        return sum(high - low + 1 for low, high in self._spans)

    def expected(self) -> int:
        """How many numbers from 0 to the highest one there should be."""
        return self._spans[-1][1] + 1 if self._spans else 0

    def gaps(self) -> list[list[int]]:
        """The spans missing between 0 and the highest number."""
        found, begin = [], 0
        for low, high in self._spans:
            if low > begin:
                found.append([begin, low - 1])
            begin = high + 1
        return found

    def _insert(self, low: int, high: int) -> None:
        spans = self._spans
        at = bisect_right(spans, low, key=lambda span: span[0])
        first = at - 1 if at and spans[at - 1][1] >= low - 1 else at
        last = first
        while last < len(spans) and spans[last][0] <= high + 1:
            low = min(low, spans[last][0])
            high = max(high, spans[last][1])
            last += 1
        spans[first:last] = [[low, high]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Intervals({self._spans})"
