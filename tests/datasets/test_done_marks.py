"""Marks of images that people are done with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fctl_napari.datasets.done_marks import FILE, DoneMarks
from fctl_napari.exceptions import InputError, OutputError


def test_marks_go_with_the_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "below").mkdir(parents=True)
    marks = DoneMarks(old / FILE, old)
    marks.mark(str(old / "below" / "a.tif"), done=True)
    marks.mark(str(old / "b.tif"), done=True)
    marks.mark(str(old / "b.tif"), done=False)
    old.rename(new)
    moved = DoneMarks(new / FILE, new)
    assert str(new / "below" / "a.tif") in moved
    assert str(new / "b.tif") not in moved


def test_two_windows_lose_no_mark(tmp_path: Path) -> None:
    one, other = DoneMarks(tmp_path / FILE, tmp_path), DoneMarks(tmp_path / FILE, tmp_path)
    one.mark(str(tmp_path / "a.tif"), done=True)
    other.mark(str(tmp_path / "b.tif"), done=True)
    again = DoneMarks(tmp_path / FILE, tmp_path)
    assert str(tmp_path / "a.tif") in again
    assert str(tmp_path / "b.tif") in again


@pytest.mark.parametrize("text", ["", "[]", '{"fctl_images": 2, "done": []}', '{"fctl_images": 1, "done": [3]}'])
def test_another_file_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE
    marks = DoneMarks(path, tmp_path)
    path.write_text(text)
    with pytest.raises(InputError, match=r"fctl-images\.json: is no file of marks.*; mend it"):
        DoneMarks(path, tmp_path)
    with pytest.raises(InputError):
        marks.mark(str(tmp_path / "a.tif"), done=True)
    assert path.read_text() == text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="who is allowed everything")
def test_a_folder_that_is_read_only_is_said(tmp_path: Path) -> None:
    marks = DoneMarks(tmp_path / FILE, tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="not writable"):
        marks.mark(str(tmp_path / "a.tif"), done=True)
    tmp_path.chmod(0o700)
    assert str(tmp_path / "a.tif") not in marks
