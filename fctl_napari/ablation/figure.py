"""Figure of an ablation: each row's gain over the first row, here and in the paper (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from fctl_napari.ablation.bands import table_name
from fctl_napari.ablation.report import PAPERS, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = "#0072b2"
PAPER_MARKS = {"deepglobe": ("D", "#e69f00"), "inria": ("s", "#009e73")}
"""Marker and color of each data set in the paper. The colors are from the palette of Okabe and Ito."""


def ablation_figure(studies: Sequence[Study]) -> Figure:
    """Draw the tables of an ablation, one below the other.

    Parameters
    ----------
    studies : sequence of Study
        Tables, from ``studies``.

    Returns
    -------
    Figure
        Gains over the table's first row, in points. Small dots are runs, large ones their mean with its
        standard deviation over runs. Diamonds and squares are the paper's figures.
    """
    heights = [len(study.entries) for study in studies]
    figure = Figure(figsize=(9, 1.2 * len(studies) + 0.34 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(studies), 1, squeeze=False, height_ratios=[h + 2 for h in heights])[:, 0]
    for axis, study in zip(axes, studies, strict=True):
        _draw(axis, study)
    return figure


def _draw(axes: Axes, study: Study) -> None:
    """Draw one table."""
    first = study.entries[0]
    rows = range(len(study.entries))
    axes.axvline(0, color="0.6", linewidth=0.8)
    for y, (entry, over) in enumerate(zip(study.entries, study.over_first(), strict=True)):
        common = entry.scores.keys() & first.scores.keys()
        axes.plot([entry.scores[r] - first.scores[r] for r in common], [y] * len(common), ".", color=HERE, alpha=0.5)
        if entry is first:
            axes.plot(0, y, "o", color=HERE, label="here")
        elif over is not None:
            axes.errorbar(over.mean, y, xerr=over.spread or 0.0, fmt="o", color=HERE, capsize=3)
    for dataset, (mark, color) in PAPER_MARKS.items():
        if all(dataset in entry.row.paper for entry in study.entries):
            gains = [entry.row.paper[dataset] - first.row.paper[dataset] for entry in study.entries]  # type: ignore[index]
            axes.plot(gains, list(rows), mark, color=color, fillstyle="none", label=f"paper, {PAPERS[dataset]}")  # type: ignore[index]
    axes.set_yticks(list(rows), [entry.row.label for entry in study.entries])
    axes.set_ylim(len(study.entries) - 0.5, -0.5)
    axes.set_xlabel(f"{study.figure} over the first row ({first.mean:.1f} % here), points")
    axes.set_title(f"{table_name(study.table)}: {study.describe()}", fontsize="small", loc="left", wrap=True)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
