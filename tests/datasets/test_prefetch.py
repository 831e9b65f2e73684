import threading

import pytest

from fctl_napari.datasets.prefetch import Prefetch


@pytest.mark.parametrize(("read_ahead", "threads"), [(1, 1), (3, 4), (64, 2)])
def test_parts_come_in_order_and_not_too_early(read_ahead, threads):
    started, lock = [], threading.Lock()

    def load(number):
        with lock:
            started.append(number)
        return -number

    with Prefetch(load, lambda step: (10 * step, 10 * step + 1), range(2, 9), read_ahead, threads) as prefetch:
        for step, parts in zip(range(2, 9), prefetch, strict=True):
            assert list(parts) == [(10 * step, -10 * step), (10 * step + 1, -10 * step - 1)]
            with lock:
                assert max(started) <= 10 * (step + read_ahead) + 1
    assert sorted(started) == [10 * step + i for step in range(2, 9) for i in (0, 1)]


def test_what_fails_is_raised_where_it_is_used_and_the_threads_end():
    def load(number):
        if number == 3:
            raise OSError("gone")
        return number

    with Prefetch(load, lambda step: (step,), range(10), 2, 2) as prefetch:
        steps = iter(prefetch)
        assert [list(next(steps)) for _ in range(3)] == [[(0, 0)], [(1, 1)], [(2, 2)]]
        fourth = next(steps)
        with pytest.raises(OSError, match="gone"):
            next(fourth)
    assert not any(t.name.startswith("fctl-data") and t.is_alive() for t in threading.enumerate())
