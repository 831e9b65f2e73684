"""Writing beside the network, in threads or not."""

from __future__ import annotations

import threading
import time

import pytest

from fctl_napari.exceptions import OutputError
from fctl_napari.segmentation.jobs.writing import Writing


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_all_is_written_when_the_block_ends(threads: int) -> None:
    written: list[int] = []
    most, now = [0], [0]
    lock = threading.Lock()

    def write(number: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            written.append(number)
            now[0] -= 1

    with Writing(threads) as writing:
        for number in range(30):
            writing.start(write, number)
    assert sorted(written) == list(range(30))
    assert most[0] <= max(threads, 1)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("bad", [0, 9])
def test_what_went_wrong_is_raised(threads: int, bad: int) -> None:
    def write(number: int) -> None:
        if number == bad:
            raise OutputError("full")

    def write_all() -> None:
        with Writing(threads) as writing:
            for number in range(10):
                writing.start(write, number)

    with pytest.raises(OutputError, match="full"):
        write_all()
