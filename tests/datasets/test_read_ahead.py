import threading

import pytest

from fctl_napari.datasets.read_ahead import ahead, reading_threads


def test_results_come_in_order_and_few_at_a_time():
    lock = threading.Lock()
    begun, taken = 0, 0
    most = 0

    def work(item):
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun - taken)
        return item * item

    for k, result in enumerate(ahead(work, range(200))):
        assert result == k * k
        taken += 1
    assert begun == 200
    assert most <= reading_threads() + 1
    assert list(ahead(work, [])) == []


def test_what_goes_wrong_comes_in_its_turn():
    def work(item):
        if item == 3:
            raise KeyError(item)
        return item

    seen = []
    with pytest.raises(KeyError):
        seen.extend(ahead(work, range(100)))
    assert seen == [0, 1, 2]
