"""Report of an ablation in the layout of the paper's tables, beside the paper's figures, with the differences."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import cast

from fctl_napari.ablation.bands import ALL, BANDS, table_name
from fctl_napari.ablation.results import Result
from fctl_napari.ablation.tables import PATCH, AblationRow, Dataset, ablation_rows
from fctl_napari.evaluation.metrics import headline
from fctl_napari.exceptions import InputError
from fctl_napari.words import count_of

Run = tuple[str, int]
"""Held-out group and seed."""

PAPERS: dict[Dataset, str] = {"deepglobe": "DeepGlobe", "inria": "Inria Aerial"}
TITLES = {
    BANDS: "what each brings",
    3: "contexts and gated position embeddings",
    4: "sizes of contexts",
    5: "fusion",
    6: "structure of ALE",
}
NAMES = ("local", "medium", "large")


@dataclass(frozen=True)
class Entry:
    """A row with its measured figures.

    Attributes
    ----------
    row : AblationRow
        The row.
    scores : dict of Run to float
        Headline figure by run, percent: mIoU, or the IoU of the class beside a background.
    reliance : float
        Context reliance, mean over runs, percent.
    parameters : int
        Number of parameters of the network.
    """

    row: AblationRow
    scores: dict[Run, float]
    reliance: float
    parameters: int

    @property
    def mean(self) -> float:
        """Mean over runs, percent."""
        return statistics.mean(self.scores.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds, percent, pooled over held-out groups (None if each has one seed)."""
        groups = [[v for (h, _), v in self.scores.items() if h == group] for group in {h for h, _ in self.scores}]
        variances = [statistics.variance(values) for values in groups if len(values) > 1]
        return statistics.mean(variances) ** 0.5 if variances else None


@dataclass(frozen=True)
class Difference:
    """Mean difference between two rows over runs of equal held-out group and seed, in percent.

    Attributes
    ----------
    mean : float
        Mean of the differences.
    spread : float or None
        Standard deviation of the differences, or None if there is one run.
    """

    mean: float
    spread: float | None

    @property
    def clear(self) -> bool:
        """True if the difference is larger than its spread."""
        return self.spread is not None and abs(self.mean) > self.spread


def difference(first: Entry, second: Entry) -> Difference | None:
    """Compare two rows run by run, since both saw the same tiles in the same order.

    Parameters
    ----------
    first : Entry
        The row whose excess is computed.
    second : Entry
        The row that it is compared with.

    Returns
    -------
    Difference or None
        ``first`` minus ``second``, or None if they have no run in common.
    """
    common = first.scores.keys() & second.scores.keys()
    if not common:
        return None
    values = [first.scores[run] - second.scores[run] for run in common]
    return Difference(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Pair:
    """Two rows of which the first is better in the paper.

    Attributes
    ----------
    above : Entry
        The row that is better in the paper.
    below : Entry
        The other row.
    paper : float
        Difference in the paper, percent, over 0.
    found : Difference
        Difference of ``above`` and ``below`` as measured.
    """

    above: Entry
    below: Entry
    paper: float
    found: Difference


@dataclass(frozen=True)
class Study:
    """One table on one data set with one budget.

    Attributes
    ----------
    table : int
        Number of the paper's table, 3 to 6.
    contexts : Dataset
        The paper's data set whose context sizes were taken.
    data : str
        Name of the recipe.
    base : str
        Preset that the rows' settings were put into.
    encoder : str
        Encoder of the networks.
    tile_size : int
        Side of the tile, px.
    steps : int
        Number of optimizer steps.
    batch : int
        Tiles per step.
    frozen : bool
        True if encoders were frozen.
    figure : str
        Name of the figure: mIoU, or the IoU of the class beside a background (the papers' mIoU on Inria Aerial).
    entries : tuple of Entry
        Rows in the paper's order. Those without a run are left out.
    """

    table: int
    contexts: Dataset
    data: str
    base: str
    encoder: str
    tile_size: int
    steps: int
    batch: int
    frozen: bool
    figure: str = "mIoU"
    entries: tuple[Entry, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """All runs, sorted, that at least one row has."""
        return sorted({run for entry in self.entries for run in entry.scores})

    def describe(self) -> str:
        """Describe the data, networks and budget for people."""
        held = sorted({holdout for holdout, _ in self.runs if holdout})
        groups = f", held-out group{'s' * (len(held) > 1)} {', '.join(held)}" if held else ""
        seeds = len({seed for _, seed in self.runs})
        frozen = ", encoders frozen" if self.frozen else ""
        contexts = "" if self.table == BANDS else f"; contexts as on {PAPERS[self.contexts]}"
        return (
            f"{self.data}{groups}: {self.base} ({self.encoder}, tiles of {self.tile_size} px), "
            f"{count_of(self.steps, 'step')} of {count_of(self.batch, 'tile')}{frozen}, "
            f"{count_of(seeds, 'seed')}{contexts}"
        )

    def pairs(self) -> list[Pair]:
        """List the pairs of rows that differ in the paper and have a run in common."""
        found = []
        for a, b in combinations(self.entries, 2):
            if self.contexts not in a.row.paper:  # a table that the paper has not
                continue
            paper = a.row.paper[self.contexts] - b.row.paper[self.contexts]
            above, below = (a, b) if paper > 0 else (b, a)
            here = difference(above, below)
            if paper and here is not None:
                found.append(Pair(above, below, abs(paper), here))
        return found

    def over_first(self) -> list[Difference | None]:
        """Compare each row with the table's first.

        Returns
        -------
        list of Difference or None
            Differences, in the order of the entries. The first entry's is None, as is one without a common run.
        """
        first = self.entries[0]
        return [None if entry is first else difference(entry, first) for entry in self.entries]


def studies(results: Iterable[Result]) -> list[Study]:
    """Group results into tables.

    Runs of one data set and budget with different seeds or held-out groups belong to one table.

    Parameters
    ----------
    results : iterable of Result
        Results, in the order in which they were measured. The last one of a row, group and seed counts.

    Returns
    -------
    list of Study
        The tables, by data set and number.

    Raises
    ------
    InputError
        A row is not of the paper.
    """
    rows = {row.name: row for row in ablation_rows()}
    groups: dict[Study, dict[str, list[Result]]] = {}
    for result in results:
        if result.table == BANDS:
            rows.setdefault(result.row, AblationRow(BANDS, result.row, result.label, {}, {}))
        if result.row not in rows:
            raise InputError(f"there is no row {result.row!r} in the paper's tables; fctl ablate list shows them.")
        study = Study(
            table=result.table,
            contexts=cast("Dataset", result.contexts),
            data=result.data,
            base=result.base,
            encoder=result.encoder,
            tile_size=result.tile_size,
            steps=result.steps,
            batch=result.batch,
            frozen=bool(result.frozen),
            figure=headline(result.iou, result.miou)[0],
        )
        groups.setdefault(study, {}).setdefault(result.row, []).append(result)
    found = []
    for study, by_row in groups.items():
        there = [row for row in rows.values() if row.name in by_row]
        there.sort(key=lambda row: row.table == BANDS and row.name != ALL)
        entries = tuple(_entry(row, by_row[row.name]) for row in there)
        found.append(replace(study, entries=entries))
    return sorted(found, key=lambda study: (study.data, study.table))


def _entry(row: AblationRow, results: Sequence[Result]) -> Entry:
    latest = {(result.holdout, result.seed): result for result in results}
    return Entry(
        row,
        {run: 100 * headline(result.iou, result.miou)[1] for run, result in latest.items()},
        100 * statistics.mean(result.context_reliance for result in latest.values()),
        results[-1].parameters,
    )


def report(results: Iterable[Result]) -> str:
    """Format every table in Markdown.

    Parameters
    ----------
    results : iterable of Result
        Results, in the order in which they were measured.

    Returns
    -------
    str
        Markdown text.

    Raises
    ------
    InputError
        There are no results, or a row is not of the paper.
    """
    found = studies(results)
    if not found:
        raise InputError("there are no results yet; fctl ablate run makes some.")
    return "\n\n".join(_section(study) for study in found) + "\n"


def _section(study: Study) -> str:
    columns, describe = _layout(study)
    papers = [name for key, name in PAPERS.items() if any(key in entry.row.paper for entry in study.entries)]
    here = f"{study.figure} here"
    head = [*columns, *(f"{name} (paper)" for name in papers), here, "over the first row", "reliance", "runs"]
    lines = [f"### {table_name(study.table)}: {TITLES[study.table]}", "", study.describe() + ".", ""]
    lines += [_line(head), _line(["---"] * len(columns) + ["---:"] * (len(head) - len(columns)))]
    for entry, over in zip(study.entries, study.over_first(), strict=True):
        paper = [f"{entry.row.paper[k]:.2f}" if k in entry.row.paper else "" for k, n in PAPERS.items() if n in papers]
        gain = "" if over is None else with_spread(over.mean, over.spread, signed=True)
        here = with_spread(entry.mean, entry.spread)
        lines.append(_line([*describe(entry), *paper, here, gain, f"{entry.reliance:.1f} %", str(len(entry.scores))]))
    return "\n".join([*lines, "", *_order(study)] if papers else lines)


def _order(study: Study) -> list[str]:
    """Describe where the order of rows agrees with the paper and where it does not."""
    pairs = study.pairs()
    name = PAPERS[study.contexts]
    turned = sorted((pair for pair in pairs if pair.found.mean < 0), key=lambda pair: pair.found.mean)
    if len(study.runs) < 2:
        words = (
            f"One run, so no spread is known: of {count_of(len(pairs), 'pair')} of rows {len(turned)} stand the other "
        )
        words += f"way round than in the paper ({name})"
        return [words + (":" if turned else "."), *map(_turned, turned)]
    clear = [pair for pair in turned if pair.found.clear]
    same = sum(pair.found.clear and pair.found.mean > 0 for pair in pairs)
    close = len(pairs) - len(clear) - same
    words = (
        f"Of {count_of(len(pairs), 'pair')} of rows {same} stand as in the paper ({name}) by more than the spread of "
        f"their difference over runs, {close} differ by less than that, and {len(clear)} stand the other way round by "
        "more"
    )
    return [words + (":" if clear else "."), *map(_turned, clear)]


def _turned(pair: Pair) -> str:
    below = with_spread(-pair.found.mean, pair.found.spread, signed=True)
    return f"- {pair.below.row.label}: {below} over {pair.above.row.label} (paper {-pair.paper:+.2f})"


def _layout(study: Study) -> tuple[list[str], Callable[[Entry], list[str]]]:
    """Return the names of the columns on the left, and a function that fills them for a row."""
    if study.table == BANDS:
        return ["Bands"], lambda entry: [entry.row.label]
    if study.table == 3:
        return ["Local", "Medium", "Large", "GPE"], lambda entry: [
            *("✓" if name in entry.row.sizes[study.contexts] else "" for name in NAMES),
            "✓" if entry.row.settings["gpe"] else "",
        ]
    if study.table == 4:
        head = [f"{name.capitalize()}, px (paper, here)" for name in NAMES]
        return head, lambda entry: [_sizes(entry.row.sizes[study.contexts][name], study) for name in NAMES]
    if study.table == 5:
        return ["Fusion"], lambda entry: [entry.row.label]
    return ["Structure", "X_M", "X_L"], lambda entry: [
        entry.row.label.partition(",")[0],
        *("✓" if name in _references(entry.row) else "" for name in NAMES[1:]),
    ]


def _sizes(size: int, study: Study) -> str:
    whole = study.contexts == "deepglobe" and size == 2448
    return f"{size}, {'the image' if whole else round(size / PATCH * study.tile_size)}"


def _references(row: AblationRow) -> tuple[str, ...]:
    if row.settings["ale"] == "none":
        return ()
    reference = cast("str | None", row.settings.get("ale_reference"))
    return ("medium", "large") if reference is None else (reference,)


def with_spread(value: float, spread: float | None, *, signed: bool = False) -> str:
    """Format a figure with its spread.

    Parameters
    ----------
    value : float
        The figure.
    spread : float or None
        Its standard deviation, or None if there is one run.
    signed : bool, optional
        If True, the figure is a difference and has its sign.

    Returns
    -------
    str
        Two digits behind the point.
    """
    words = f"{value:+.2f}" if signed else f"{value:.2f}"
    return words if spread is None else f"{words} ± {spread:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
