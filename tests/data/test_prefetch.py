from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from resnets.data.prefetch import prefetch


def test_parts_come_in_order_and_the_next_is_under_way() -> None:
    started = [threading.Event() for _ in range(6)]

    def work(number: int) -> int:
        started[number].set()
        return number * 10

    with ThreadPoolExecutor(2) as pool:
        parts = prefetch(pool, work, [[0, 1], [2, 3], [4, 5]])
        assert next(parts) == [0, 10]
        assert started[2].wait(5)  # before it is consumed
        assert list(parts) == [[20, 30], [40, 50]]
        assert list(prefetch(pool, work, [])) == []


def test_an_error_comes_when_its_part_is_due() -> None:
    def work(number: int) -> float:
        return 1 / number

    with ThreadPoolExecutor(1) as pool:
        parts = prefetch(pool, work, [[1], [0]])
        assert next(parts) == [1.0]
        with pytest.raises(ZeroDivisionError):
            next(parts)
