"""Colors in which classes are shown: apart, readable on both themes, map-like, the user's first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab

from fctl_napari.class_colors import (
    APART,
    BACKGROUNDS,
    CONTRAST,
    DEEPGLOBE,
    MASK_OPACITY,
    NAMED,
    NOT_SURE,
    contrast,
    display_colors,
    known_name,
    new_colors,
)
from fctl_napari.correcting.provenance import PROVENANCE
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.ngff import label_classes
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.classes import ClassInfo, ClassTable, numbered_classes
from fctl_napari.model.model_card import builtin_checkpoints, read_card
from fctl_napari.remembered_colors import load_colors, remember_colors

COLORS = st.tuples(*[st.integers(0, 255)] * 3)
NAMES = st.sampled_from([*NAMED, "river", "Trees", "bare_soil", "class 3", "quarry", "built-up", "dense dune"])


def least(colors: Iterable[tuple[float, ...]]) -> float:
    """The least difference of any two, by scikit-image alone."""
    lab = rgb2lab(np.array(list(colors), float) / 255)
    return min(float(deltaE_ciede2000(lab[a], lab[b])) for a, b in combinations(range(len(lab)), 2))


def test_every_pair_of_named_colors_is_told_apart() -> None:
    assert least([*NAMED.values(), NOT_SURE]) >= APART == 12


GROUNDS = {"gray": (128, 128, 128), "plants": (70, 92, 48), "soil": (130, 102, 74)}
"""What lies under masks."""

TABLES = {
    "earth": "water, forest, rangeland, agriculture, barren",
    "aerial": "water, land, road, building, vegetation, unlabeled",
    "DeepGlobe": "unknown, urban, agriculture, rangeland, forest, water, barren",
    "LoveDA": "background, building, road, water, barren, forest, agriculture",
    "OpenEarthMap": "bareland, rangeland, developed, road, tree, water, agriculture land, building",
}
"""Common tables of land cover."""


def seen(colors: Iterable[tuple[int, int, int]], ground: tuple[int, int, int]) -> list[tuple[float, ...]]:
    """Colors as a mask of the usual opacity shows them over a ground."""
    mixed = MASK_OPACITY * np.array(list(colors), float) + (1 - MASK_OPACITY) * np.array(ground)
    return [tuple(color) for color in mixed.tolist()]


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("names", TABLES.values(), ids=TABLES)
def test_classes_of_common_tables_are_told_apart_through_the_mask(names: str, ground: tuple[int, int, int]) -> None:
    assert least(seen([NAMED[known_name(name) or ""] for name in names.split(", ")], ground)) >= APART


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
def test_new_classes_are_told_apart_through_the_mask(ground: tuple[int, int, int]) -> None:
    assert least(seen(new_colors([f"class {k}" for k in range(11)]), ground)) >= APART
    assert least(seen(NAMED.values(), ground)) >= 7.9


def test_every_named_color_is_seen_on_both_themes_of_napari() -> None:
    themes = pytest.importorskip("napari.utils.theme")
    backgrounds = [themes.get_theme(name).background.as_rgb_tuple()[:3] for name in ("dark", "light")]
    for background in (*BACKGROUNDS.values(), *backgrounds):
        assert min(contrast(color, background) for color in NAMED.values()) >= CONTRAST == 3
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)


def test_colors_are_those_of_maps() -> None:
    red, green, blue = NAMED["water"]
    assert blue > max(red, green) + 50
    red, green, blue = NAMED["forest"]
    assert green > max(red, blue) + 50
    names = {
        "Rivers": "water",
        "bare_soil": "barren",
        "Snow and Ice": "snow",
        "sea ice": "snow",
        "quarry": None,
        "": None,
    }
    assert {name: known_name(name) for name in names} == names


@given(st.lists(st.tuples(NAMES, COLORS), min_size=2, max_size=20, unique_by=lambda pair: pair[0]))
def test_any_table_of_up_to_20_classes_is_told_apart(classes: list) -> None:
    assert least(display_colors(classes)) >= APART
    new = new_colors([name for name, _ in classes])
    assert least(new) >= APART
    assert set(new) <= set(NAMED.values()), "which are seen on both themes"


@given(st.lists(st.tuples(NAMES, COLORS), min_size=1, max_size=12, unique_by=lambda pair: pair[0]), st.data())
def test_the_users_choice_wins_then_the_tables_own(classes: list, data: st.DataObject) -> None:
    chosen = data.draw(st.dictionaries(st.sampled_from([name for name, _ in classes]), COLORS))
    shown = dict(zip([name for name, _ in classes], display_colors(classes, chosen), strict=True))
    assert {name: shown[name] for name in chosen} == chosen
    own = dict(classes)
    if not chosen and (len(own) == 1 or least(list(own.values())) >= APART):
        assert shown == own


def test_tables_that_nobody_chose_become_map_like() -> None:
    for path in builtin_checkpoints().values():
        table = read_card(path).classes
        shown = table.displayed()
        assert [info.color for info in shown.scored] == [NAMED[info.name] for info in table.scored]
        assert [info.name for info in shown] == [info.name for info in table]
    grown = read_card(builtin_checkpoints()["earth"]).classes.extended(
        ClassTable(classes=(ClassInfo(name="cloud", color=(250, 250, 250)),))
    )
    shown = {info.name: info.color for info in grown.displayed()}
    assert (shown["water"], shown["cloud"]) == (NAMED["water"], (250, 250, 250))
    for name in ("deepglobe", "inria", "12"):
        table = class_table(name)
        assert least([info.color for info in table.displayed()]) >= APART
    assert dict(zip(class_table("deepglobe").names, class_table("deepglobe").colors, strict=True)) == dict(DEEPGLOBE)


def test_who_said_a_px_is_exported_in_its_own_colors() -> None:
    assert PROVENANCE.displayed() == PROVENANCE


def test_pure_colors_that_a_user_gave_stay() -> None:
    own = [("water", (0, 0, 255)), ("forest", (0, 255, 0)), ("quarry", (200, 200, 200))]
    assert display_colors(own) == [color for _, color in own]
    assert display_colors([("a", (0, 0, 9)), ("b", (0, 0, 10)), ("c", (255, 255, 255))])[::2] == [(0, 0, 9), (255,) * 3]


def test_new_tables_differ_however_many_classes_they_have() -> None:
    assert least([info.color for info in numbered_classes(20)]) >= APART
    assert len({info.color for info in numbered_classes(250)}) == 250
    assert len(set(display_colors([(f"class {k}", (9, 9, 9)) for k in range(250)]))) == 250


def test_labels_without_colors_get_map_like_ones(tmp_path: Path) -> None:
    labels = LabelPyramid.create(
        tmp_path / "l", (8, 8), classes=[{"name": n, "color": (1, 1, 1)} for n in ("sea", "mud")]
    )
    attributes = dict(labels.group.attrs)
    del attributes["ome"]["image-label"]["colors"]
    labels.group.attrs.update(attributes)
    first, second = label_classes(labels.group)
    assert tuple(first["color"]) == NAMED["ocean"]
    assert least([tuple(first["color"]), tuple(second["color"])]) >= APART


@pytest.mark.parametrize(
    ("properties", "colors", "found"),
    [
        ([{"label-value": 1, "name": 7}, {"label-value": 2, "name": "mud"}], [], None),
        ([{"label-value": 1, "name": "mud"}, {"label-value": 2, "name": "mud"}], [], None),
        ([{"label-value": [1], "name": "sea"}, "mud"], [], None),
        ("sea", [], None),
        ([{"label-value": 1, "name": "sea"}], [{"label-value": 1, "rgba": [0, 0, 999]}], ["sea"]),
        ([{"label-value": 1, "name": "sea"}], [{"label-value": 1, "rgba": "blue"}, 5], ["sea"]),
    ],
)
def test_labels_with_names_that_are_none_have_no_classes(
    tmp_path: Path, properties: Any, colors: Any, found: list[str] | None
) -> None:
    labels = LabelPyramid.create(tmp_path / "l", (8, 8), classes=[{"name": "sea", "color": (1, 1, 1)}])
    attributes = dict(labels.group.attrs)
    attributes["ome"]["image-label"] |= {"properties": properties, "colors": colors}
    labels.group.attrs.update(attributes)
    read = label_classes(labels.group)
    assert [one["name"] for one in read] == (found or [])
    assert all(max(one["color"]) <= 255 for one in read)


def test_tables_of_known_names_load_no_color_library() -> None:
    code = (
        "import sys; from fctl_napari.datasets.class_tables import class_table as t\n"
        "t('deepglobe').displayed(); t('20'); print('skimage.color' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_chosen_colors_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "colors.json"
    assert load_colors(path) == {}
    assert remember_colors({"water": (1, 2, 3), "Straße": (9, 9, 9)}, path) == {"water": (1, 2, 3), "Straße": (9, 9, 9)}
    assert remember_colors({"water": (4, 5, 6), "Straße": None, "never": None}, path) == {"water": (4, 5, 6)}
    assert load_colors(path) == {"water": (4, 5, 6)}
    assert json.loads(path.read_text()) == {"water": [4, 5, 6]}


@pytest.mark.parametrize(
    "text", ["no json", '["water"]', '{"water": [1, 2]}', '{"water": [1, 2, 300]}', '{"water": null}']
)
def test_damaged_colors_are_one_sentence_and_are_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "colors.json"
    path.write_text(text)
    for use in (lambda: load_colors(path), lambda: remember_colors({"a": (1, 2, 3)}, path)):
        with pytest.raises(InputError, match=r"colors\.json: holds no colors of classes .*delete it\.$"):
            use()
    assert path.read_text() == text
