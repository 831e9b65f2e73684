"""The tidy table of an ablation."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers_report import result
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.ablation.results import Result, append_results, read_results
from fctl_napari.exceptions import InputError

NUMBERS = st.floats(0, 1)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)


@given(
    st.lists(
        st.builds(
            result,
            label=WORDS,
            miou=NUMBERS,
            miou_without_background=st.none() | NUMBERS,
            iou=st.dictionaries(WORDS, NUMBERS, max_size=3),
        ),
        max_size=4,
    )
)
def test_what_was_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, results: list[Result]) -> None:
    path = tmp_path_factory.mktemp("table") / "results.csv"
    append_results(path, results)
    assert read_results(path) == results


def test_a_table_grows_and_takes_other_classes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.csv"
    assert read_results(path) == []
    first, second = result(seed=1), result(seed=2, iou={"road": 0.125})
    append_results(path, [first])
    append_results(path, [second])
    assert read_results(path) == [first, second]
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert (lines[0]["iou:land, dry"], lines[0]["iou:road"], lines[1]["iou:road"]) == (str(1 / 3), "", "0.125")


def test_those_who_append_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: append_results(path, [result(seed=seed)]), range(24)))
    assert {found.seed for found in read_results(path)} == set(range(24))


def test_parquet_holds_the_same_where_it_can_be_written(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    append_results(
        tmp_path / "results.csv", [result(), result(seed=2, iou={"road": 0.125}, miou_without_background=None)]
    )
    table = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [line["seed"] for line in table] == [1, 2]
    assert table[1]["iou:water"] is None
    assert table[1]["iou:road"] == 0.125
    assert table[1]["miou_without_background"] is None


@pytest.mark.parametrize("content", ["seed,row\n1,x\n", "\x00\x01", "table\nthree\n"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"other\.csv: is not a table of fctl ablate run"):
        append_results(path, [result()])
    assert path.read_text() == content


def test_a_table_of_an_earlier_version_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    append_results(path, [result()])
    path.write_text(path.read_text().replace("miou_without_background", "miou_without_class_0"))
    assert read_results(path) == [result()]
    append_results(path, [result(seed=2)])
    assert read_results(path) == [result(), result(seed=2)]
    assert "miou_without_class_0" not in path.read_text()
