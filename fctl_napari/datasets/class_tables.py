"""Class tables by name: those of data sets, of checkpoints and of files."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.class_colors import DEEPGLOBE, INRIA, Color
from fctl_napari.datasets.class_table_files import read_class_table
from fctl_napari.model.classes import IGNORE, ClassTable, numbered_classes
from fctl_napari.model.model_card import builtin_checkpoints, read_card

LOVEDA: tuple[tuple[str, Color], ...] = (
    ("background", (255, 255, 255)),
    ("building", (255, 0, 0)),
    ("road", (255, 255, 0)),
    ("water", (0, 0, 255)),
    ("barren", (159, 129, 183)),
    ("forest", (0, 255, 0)),
    ("agriculture", (255, 195, 128)),
)
OPENEARTHMAP: tuple[tuple[str, Color], ...] = (
    ("bareland", (128, 0, 0)),
    ("rangeland", (0, 255, 36)),
    ("developed space", (148, 148, 148)),
    ("road", (255, 255, 255)),
    ("tree", (34, 97, 38)),
    ("water", (0, 69, 255)),
    ("agriculture land", (75, 181, 73)),
    ("building", (222, 31, 7)),
)
WORLDCOVER: tuple[tuple[str, Color], ...] = (
    ("tree cover", (0, 100, 0)),
    ("shrubland", (255, 187, 34)),
    ("grassland", (255, 255, 76)),
    ("cropland", (240, 150, 255)),
    ("built-up", (250, 0, 0)),
    ("bare or sparse vegetation", (180, 180, 180)),
    ("snow and ice", (240, 240, 240)),
    ("permanent water bodies", (0, 100, 200)),
    ("herbaceous wetland", (0, 150, 160)),
    ("mangroves", (0, 207, 117)),
    ("moss and lichen", (250, 230, 160)),
)
"""Classes of data sets, in the order of their values, with the colors of their publishers."""

LOVEDA_VALUES = {0: IGNORE} | {index + 1: index for index in range(len(LOVEDA))}
OPENEARTHMAP_VALUES = {0: IGNORE} | {index + 1: index for index in range(len(OPENEARTHMAP))}
WORLDCOVER_VALUES = {0: IGNORE} | {
    value: index for index, value in enumerate((10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100))
}
"""Class index of each value of the published masks, ``IGNORE`` for none."""

NAMED_TABLES = {
    "deepglobe": DEEPGLOBE,
    "inria": INRIA,
    "loveda": LOVEDA,
    "openearthmap": OPENEARTHMAP,
    "worldcover": WORLDCOVER,
}
"""Class tables that come along."""

NAMED_VALUES = {"loveda": LOVEDA_VALUES, "openearthmap": OPENEARTHMAP_VALUES, "worldcover": WORLDCOVER_VALUES}
"""Values of the masks of those whose class k is not value k."""


def class_table(classes: str) -> ClassTable:
    """Make the class table that a name, a number or a file stands for.

    Parameters
    ----------
    classes : str
        ``deepglobe`` (its unknown class, which the authors train on too, is class 0), ``inria``, ``loveda``,
        ``openearthmap`` or ``worldcover``; a number of classes; a checkpoint, built in or a file; or a file that
        ``read_class_table`` reads.

    Returns
    -------
    ClassTable
        The class table.

    Raises
    ------
    InputError
        The file is missing or holds no class table.
    CheckpointError
        The file of a checkpoint is damaged.
    """
    if classes.isdecimal() and 2 <= int(classes) <= 250:
        return numbered_classes(int(classes))
    known = NAMED_TABLES.get(classes.lower())
    if known is not None:
        return ClassTable.model_validate({"classes": [{"name": n, "color": c} for n, c in known]})
    builtin = builtin_checkpoints().get(classes)
    if builtin is not None or Path(classes).suffix == ".safetensors":
        return read_card(builtin or Path(classes)).classes
    return read_class_table(classes)
