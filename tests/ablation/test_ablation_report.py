"""Reports of an ablation: the paper's layout, and where the order of rows differs."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from helpers_report import result

from fctl_napari.ablation.figure import ablation_figure
from fctl_napari.ablation.report import report, studies
from fctl_napari.ablation.results import Result
from fctl_napari.ablation.tables import ablation_row
from fctl_napari.exceptions import InputError
from fctl_napari.figures.files import save_figure


def measured(name: str, mious: list[float], *, holdout: str = "", **fields: object) -> list[Result]:
    """Runs of a row, one for each seed, in percent."""
    row = ablation_row(name)
    usual = {"table": row.table, "row": name, "label": row.label, "contexts": "inria", "data": "scenes"}
    usual |= {"base": "fctl_lite", "encoder": "efficientnet_lite0", "tile_size": 256, "steps": 100, "batch": 8}
    usual |= {"frozen": "abc", "context_reliance": 0.05, "holdout": holdout}
    return [result(**(usual | fields | {"seed": k, "miou": miou / 100})) for k, miou in enumerate(mious)]


FUSION = [
    *measured("table5-average", [50.0, 52.0, 54.0]),
    *measured("table5-weighted", [51.0, 53.5, 54.5]),
    *measured("table5-adaptive", [49.0, 51.5, 52.0]),
]


def test_rows_are_compared_run_by_run() -> None:
    (study,) = studies(FUSION)
    assert [entry.mean for entry in study.entries] == pytest.approx([52.0, 53.0, 50.833333])
    assert study.entries[0].spread == pytest.approx(2.0)
    gains = study.over_first()
    assert gains[0] is None
    assert (gains[1].mean, gains[1].spread) == pytest.approx((1.0, statistics.stdev([1.0, 1.5, 0.5])))
    # the paper: average < weighted < adaptive; here average and weighted stand so, adaptive is the last
    orders = {(p.above.row.label, p.below.row.label): (p.found.mean > 0, p.found.clear) for p in study.pairs()}
    assert orders == {
        ("weighted fusion", "average fusion"): (True, True),
        ("adaptive fusion", "average fusion"): (False, True),
        ("adaptive fusion", "weighted fusion"): (False, True),
    }


def test_the_report_says_where_the_order_differs() -> None:
    text = report(FUSION)
    assert "### Table 5: fusion" in text
    assert (
        "scenes: fctl_lite (efficientnet_lite0, tiles of 256 px), 100 steps of 8 tiles, encoders frozen, 3 seeds"
        in text
    )
    assert "| weighted fusion | 73.16 | 73.37 | 53.00 ± 1.80 | +1.00 ± 0.50 | 5.0 % | 3 |" in text
    assert "Of 3 pairs of rows 1 stand as in the paper (Inria Aerial)" in text
    assert "- weighted fusion: +2.17 ± 0.29 over adaptive fusion (paper -0.13)" in text


def test_differences_within_the_spread_are_no_ranking() -> None:
    close = [*measured("table5-average", [50.0, 51.0]), *measured("table5-weighted", [51.0, 49.0])]
    assert "0 stand as in the paper (Inria Aerial) by more than the spread" in report(close)
    assert "1 differ by less than that, and 0 stand the other way round by more.\n" in report(close)


def test_one_run_has_no_spread() -> None:
    text = report([*measured("table5-average", [51.0]), *measured("table5-weighted", [50.0])])
    assert "| average fusion | 72.89 | 73.20 | 51.00 |  | 5.0 % | 1 |" in text
    assert "One run, so no spread is known: of 1 pair of rows 1 stand the other way round" in text
    assert "- average fusion: +1.00 over weighted fusion (paper -0.17)" in text


def test_held_out_groups_are_runs_and_spreads_are_over_seeds() -> None:
    rows = [
        *measured("table5-average", [50.0, 52.0], holdout="a"),
        *measured("table5-average", [70.0, 72.0], holdout="b"),
    ]
    (study,) = studies(rows)
    assert study.runs == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert study.entries[0].mean == 61.0
    assert study.entries[0].spread == pytest.approx(2**0.5)
    assert "held-out groups a, b" in study.describe()


def test_budgets_and_data_are_not_mixed() -> None:
    others = [*measured("table5-average", [60.0], steps=200), *measured("table5-average", [61.0], frozen="")]
    found = studies([*FUSION, *others])
    assert [len(study.runs) for study in found] == [3, 1, 1]
    assert report([*FUSION, *others]).count("### Table 5") == 3


def test_rows_without_a_run_in_common_are_left_out_of_the_order() -> None:
    rows = [*measured("table5-average", [50.0]), *measured("table5-weighted", [60.0, 51.0])[1:]]
    (study,) = studies(rows)
    assert study.pairs() == []
    assert study.over_first() == [None, None]


def test_every_table_has_its_layout() -> None:
    names = ["table3-none", "table3-local-medium-large-gpe", "table4-inria-762-1016-1524", "table6-none"]
    names += ["table6-b-large", "table6-d"]
    lines = report([line for name in names for line in measured(name, [50.0])]).splitlines()
    assert "|  |  |  |  | 71.84 | 69.08 | 50.00 |  | 5.0 % | 1 |" in lines
    assert "| ✓ | ✓ | ✓ | ✓ | 73.47 | 73.50 | 50.00 | +0.00 | 5.0 % | 1 |" in lines
    assert "| 762, 384 | 1016, 512 | 1524, 768 | 73.20 | 50.00 |  | 5.0 % | 1 |" in lines
    assert "| without ALE |  |  | 73.47 | 73.50 | 50.00 |  | 5.0 % | 1 |" in lines
    assert "| (b) |  | ✓ | 73.68 | 74.35 | 50.00 | +0.00 | 5.0 % | 1 |" in lines
    assert "| (d) | ✓ | ✓ | 73.91 | 74.58 | 50.00 | +0.00 | 5.0 % | 1 |" in lines


def test_no_results_and_unknown_rows_are_refused() -> None:
    with pytest.raises(InputError, match="there are no results yet"):
        report([])
    with pytest.raises(InputError, match="there is no row 'x'"):
        report([result()])


def test_the_figure_shows_every_row_and_run(tmp_path: Path) -> None:
    figure = ablation_figure(studies(FUSION))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "average fusion",
        "weighted fusion",
        "adaptive fusion",
    ]
    dots = sorted(x for line in axes.lines if line.get_marker() == "." for x in line.get_xdata())
    assert dots == pytest.approx([-2.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5])
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_buildings_are_compared_by_their_own_iou() -> None:
    """The papers' mIoU on Inria Aerial is the IoU of buildings."""
    iou = {"background": 0.989, "building": 0.921}
    found = measured("table5-average", [95.5], iou=iou) + measured("table5-adaptive", [95.0], iou=iou)
    (study,) = studies(found)
    assert study.figure == "IoU of building"
    assert study.entries[0].mean == pytest.approx(92.1)
    text = report(found)
    assert "IoU of building here" in text
    assert "92.10" in text
    assert "95.5" not in text
