"""Jobs of short stages for the tests, in a module that workers can import."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np

from fctl_napari.exceptions import InputError


def count(argument: tuple[str, int]) -> Generator[list[tuple[int, int]], None, str]:
    """Count on from what was saved, 20 a second; yields the number and the process."""
    ballast = Ballast()
    file, last = Path(argument[0]), argument[1]
    number = int(file.read_text()) if file.exists() else 0
    try:
        while number < last:
            time.sleep(0.05)
            number += 1
            yield [(number, os.getpid())]
    except GeneratorExit:
        file.write_text(str(number))
        raise
    return f"counted to {number}{'' if ballast else '!'}"


def refuse(argument: str) -> Generator[list[int], None, None]:
    """Fail in the second stage: as something for the user, or as a bug."""
    ballast = Ballast()
    time.sleep(0.6)
    yield [1]
    assert ballast
    if argument == "bug":
        raise ZeroDivisionError("a bug")
    raise InputError(f"{argument}: is none.")


def die_later(argument: str) -> Generator[list[int], None, None]:
    """Take the worker along, each time in the second stage."""
    with open(argument, "a") as file:
        file.write("begun\n")
    time.sleep(0.6)
    yield [1]
    os.kill(os.getpid(), signal.SIGKILL)


def fill_memory(blocks: int) -> Generator[list[int], None, None]:
    """Hold many small arrays, 1 MB each, with others between them that stay; yields the process."""
    arrays = []
    for _ in range(blocks):
        arrays.append(np.ones(2**17))
        LEFT.append(bytes(600))
    yield [os.getpid()]
    time.sleep(0.6)
    yield [int(arrays[0][0])]


LEFT: list[bytes] = []


class Ballast:
    """What a job holds in memory."""


def jobs_kept() -> int:
    """How many jobs hold something in this process."""
    return sum(type(found) is Ballast for found in gc.get_objects())
