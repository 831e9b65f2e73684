"""Class tables by name, number and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fctl_napari.errors import InputError
from fctl_napari.model.classes import ClassTable, class_table, numbered_classes


def test_class_tables(tmp_path: Path) -> None:
    assert class_table("inria").names == ("background", "building")
    assert class_table("deepglobe").names[0] == "unknown"
    assert len(class_table("12")) == 12
    assert len({c.color for c in numbered_classes(250)}) == 250
    path = tmp_path / "classes.json"
    path.write_text('{"classes": [{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": [4, 5, 6]}]}')
    assert class_table(str(path)) == ClassTable.read(path)
    with pytest.raises(InputError, match="nonsense: there is no such class table"):
        class_table("nonsense")
