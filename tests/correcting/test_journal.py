"""Journals: a record is there whole or not at all, wherever the file was torn."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fctl_napari.correcting.journal import Journal
from fctl_napari.exceptions import OutputError

RECORDS = [({"n": 1}, b"one"), ({"n": 2, "name": "wälder"}, b""), ({"n": 3}, bytes(range(40)))]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal", writable=True)
    for facts, body in RECORDS:
        made.append(facts, body)
    return made


def records(path: Path, *, writable: bool = False) -> list[tuple[dict[str, Any], bytes]]:
    found = Journal(path, writable=writable)
    return [(entry.facts, found.body(entry)) for entry in found.entries]


def test_what_is_written_is_read_back(journal: Journal) -> None:
    assert [(entry.facts, journal.body(entry)) for entry in journal.entries] == RECORDS
    assert records(journal.path) == RECORDS
    assert len(journal) == journal.path.stat().st_size
    journal.rewrite([RECORDS[1], RECORDS[2]])
    journal.append({"n": 4})
    assert records(journal.path) == [*RECORDS[1:], ({"n": 4}, b"")]


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert records(tmp_path / "journal", writable=True) == []
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("tail", ["cut", "zeros"])
def test_a_torn_record_is_not_there_whatever_was_written_of_it(journal: Journal, tail: str) -> None:
    whole = journal.path.read_bytes()
    two = Journal(journal.path.with_name("two"), writable=True)
    for facts, body in RECORDS[:2]:
        two.append(facts, body)
    before = len(two)
    for end in range(before, len(whole)):
        left = whole[:end]
        journal.path.write_bytes(left if tail == "cut" else left + bytes(len(whole) - end))
        if tail == "zeros" and whole[end:] == bytes(len(whole) - end):
            continue
        expected = RECORDS[:2]
        assert records(journal.path) == expected
        assert records(journal.path, writable=True) == expected
        assert journal.path.stat().st_size == before
        again = Journal(journal.path, writable=True)
        again.append({"n": 9}, b"next")
        assert records(journal.path) == [*expected, ({"n": 9}, b"next")]
    if tail == "cut":
        assert sorted(file.name for file in journal.path.parent.iterdir()) == ["journal", "two"]


@pytest.mark.parametrize("location", [0, 2, 6, 10, 14, 20])
def test_damage_keeps_a_copy_of_what_follows(journal: Journal, location: int) -> None:
    whole = bytearray(journal.path.read_bytes())
    whole[location] ^= 0x10
    journal.path.write_bytes(whole)
    assert records(journal.path, writable=True) == []
    aside = journal.path.with_name("journal.damaged")
    # a length that was damaged may say that the record is longer than the file: that is what a torn one says
    assert (aside.read_bytes() == whole) if aside.exists() else location in (4, 5, 6, 7)


def test_a_full_disk_leaves_the_records_that_were_there(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    size = journal.path.stat().st_size

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="disk is full"):
            journal.append({"n": 4}, b"four")
    assert journal.path.stat().st_size == size
    journal.append({"n": 5}, b"five")
    assert records(journal.path) == [*RECORDS, ({"n": 5}, b"five")]
