"""Class tables by name, number and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fctl_napari.datasets.class_tables import class_table
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import ClassInfo, ClassTable, numbered_classes


@pytest.mark.parametrize(
    ("names", "background", "foreground"),
    [
        (("background", "building"), 0, 1),
        (("Building", "Back_ground"), None, None),
        (("road", "No-Data"), 1, 0),
        (("Unknown", "urban", "water"), 0, None),
        (("water", "forest"), None, None),
        (("class 0", "class 1"), None, None),
    ],
)
def test_a_class_is_the_background_only_where_its_name_says_so(
    names: tuple[str, ...], background: int | None, foreground: int | None
) -> None:
    table = ClassTable.model_validate({"classes": [{"name": name, "color": (0, 0, k)} for k, name in enumerate(names)]})
    assert (table.background, table.foreground) == (background, foreground)
    ignored = [*table, ClassInfo(name="void", color=(1, 1, 1), ignored=True)]
    assert ClassTable(classes=tuple(ignored)).background == background  # what is not scored is no class beside others


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
