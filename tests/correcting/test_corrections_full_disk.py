"""Corrections on a disk that is full: what is refused is not there, also later, and what is kept is said to be."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_corrections import TABLE, blank, state

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.journal import Journal
from fctl_napari.exceptions import OutputError
from fctl_napari.imagery.formats.chunk_files import ChunkFiles

WRITES = 9
"""Number of chunks that a stroke of the tests writes: values and authors of four of level 0, values of one coarser."""


@contextmanager
def room_for(chunks: int, *, afterwards: bool) -> Iterator[list[int]]:
    """Let a number of chunks be written and refuse the next one; ``afterwards`` smaller ones find room again."""
    written, write = [0], ChunkFiles._write

    def limited(self: ChunkFiles, index: tuple[int, int], chunk: np.ndarray) -> None:
        written[0] += 1
        if written[0] > chunks if not afterwards else written[0] == chunks + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, index, chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChunkFiles, "_write", limited)
        yield written


def paint(corrections: Corrections) -> object:
    return corrections.write(300, 300, np.full((500, 240), 2, np.uint8), author="bob")


CHANGES: dict[str, Callable[[Corrections], Any]] = {
    "paint": paint,
    "undo": lambda corrections: corrections.undo(),
    "redo": lambda corrections: corrections.redo(),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def painted(tmp_path: Path, change: str) -> Iterator[Corrections]:
    """Corrections of two authors, in which the change is possible."""
    with Corrections.create(tmp_path / "c.ome.zarr", blank(), TABLE) as corrections:
        corrections.write(0, 0, np.full((600, 540), 1, np.uint8), author="ann")
        if change != "paint":
            paint(corrections)
        if change == "redo":
            corrections.undo()
        yield corrections


def facts(corrections: Corrections) -> tuple[Any, ...]:
    counts = corrections.area_by_class(), corrections.regions()
    return (state(corrections).tobytes(), *counts, corrections.can_undo(), corrections.can_redo())


def test_a_change_writes_as_many_chunks_as_are_tried_here(painted: Corrections, change: str) -> None:
    with room_for(WRITES, afterwards=False) as written:
        assert CHANGES[change](painted) is not None
    assert written == [WRITES]


@pytest.mark.parametrize("chunks", range(WRITES))
def test_a_change_that_is_refused_is_not_there_later(painted: Corrections, change: str, chunks: int) -> None:
    before, journal = facts(painted), (painted.path / "journal").read_bytes()
    with room_for(chunks, afterwards=True), pytest.raises(OutputError, match="disk is full") as refused:
        CHANGES[change](painted)
    assert "kept" not in str(refused.value).partition("is finished is kept)")[2]
    assert (painted.path / "journal").read_bytes() == journal
    assert facts(painted) == before
    assert facts(Corrections.open(painted.path)) == before
    painted.close()
    with Corrections.open(painted.path, "r+") as again:
        assert facts(again) == before
        assert CHANGES[change](again) is not None  # and can be made when there is room
        assert facts(again) != before


@pytest.mark.parametrize("chunks", range(1, WRITES))
def test_a_change_that_cannot_be_taken_back_is_said_to_be_kept(
    painted: Corrections, change: str, chunks: int, tmp_path: Path
) -> None:
    before = facts(painted)
    with room_for(chunks, afterwards=False), pytest.raises(OutputError, match="kept in the journal"):
        CHANGES[change](painted)
    painted.close()  # there is room again
    with Corrections.open(painted.path, "r+") as again:
        after = facts(again)
        assert after != before
        assert (again.redo if change == "undo" else again.undo)() is not None
        assert state(again).tobytes() == before[0]
    with Corrections.create(tmp_path / "other.ome.zarr", blank(), TABLE) as other:
        other.write(0, 0, np.full((600, 540), 1, np.uint8), author="ann")
        if change != "undo":
            paint(other)
        assert state(other).tobytes() == after[0]


def test_nothing_written_is_taken_back_without_room(painted: Corrections, change: str) -> None:
    before = facts(painted)
    with room_for(0, afterwards=False), pytest.raises(OutputError, match=r"is finished is kept\)\.$"):
        CHANGES[change](painted)
    assert facts(painted) == before


def test_a_journal_that_cannot_be_cut_keeps_the_change(
    painted: Corrections, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Journal) -> None:
        raise OutputError("not writable")

    monkeypatch.setattr(Journal, "drop_last", refuse)
    before = facts(painted)
    with room_for(2, afterwards=True), pytest.raises(OutputError, match="kept in the journal"):
        CHANGES[change](painted)
    painted.regions()
    painted._log.catch_up()
    assert facts(painted) != before
