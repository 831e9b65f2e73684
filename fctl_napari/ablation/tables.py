"""Rows of the paper's ablation tables (3 to 6) as named network settings (no torch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.presets import preset

Dataset = Literal["deepglobe", "inria"]
PATCH = 508
"""Side of the paper's tiles, px, by which contexts are converted, since Table 4 gives them in px."""

SIZES: dict[Dataset, dict[str, int]] = {
    "deepglobe": {"local": 508, "medium": 1524, "large": 2448},
    "inria": {"local": 508, "medium": 1016, "large": 1524},
}
"""Sides of the contexts that the paper settles on, px."""

WHOLE_IMAGE = {"deepglobe": 2448}
"""Context sizes that are the whole image, px."""


@dataclass(frozen=True)
class AblationRow:
    """One row of one table.

    Attributes
    ----------
    table : int
        Number of the table, 3 to 6; 0 for bands, see ``ablation.bands``.
    name : str
        Name of the row's config, unique.
    label : str
        Label of the row in the paper.
    settings : dict of str to object
        Fields of ``FCtLConfig`` besides the contexts.
    sizes : dict of Dataset to dict of str to int
        Side of each context by name and data set, px. A row without contexts is the baseline. Empty for a row that
        changes no contexts.
    paper : dict of Dataset to float
        mIoU in the paper by data set, percent.
    """

    table: int
    name: str
    label: str
    settings: dict[str, Any]
    sizes: dict[Dataset, dict[str, int]]
    paper: dict[Dataset, float] = field(default_factory=dict)

    def network(self, base: str = "fctl_vgg16", dataset: Dataset | None = None, **overrides: Any) -> FCtLConfig:
        """Build the network settings of the row.

        Parameters
        ----------
        base : str, optional
            A preset, whose encoder and tile size are kept.
        dataset : Dataset or None, optional
            Data set whose context sizes are taken. None takes the row's first.
        **overrides : object
            Further fields, such as ``classes``.

        Returns
        -------
        FCtLConfig
            The preset with the row's fields.

        Raises
        ------
        ConfigError
            There is no such preset, or the row does not belong to the data set.
        """
        return preset(base, **(self.fields(dataset) | overrides))

    def fields(self, dataset: Dataset | None = None) -> dict[str, Any]:
        """Return the fields of ``FCtLConfig`` that make the row.

        Parameters
        ----------
        dataset : Dataset or None, optional
            Data set whose context sizes are taken. None takes the row's first.

        Returns
        -------
        dict of str to object
            Fields, contexts included.

        Raises
        ------
        ConfigError
            The row does not belong to the data set.
        """
        if not self.sizes:
            return self.settings
        chosen = dataset or next(iter(self.sizes))
        if chosen not in self.sizes:
            raise ConfigError(f"{self.name} is a row for {', '.join(self.sizes)}, not for {chosen}; choose another.")
        contexts = []
        for name, size in self.sizes[chosen].items():
            whole = name == "large" and size == WHOLE_IMAGE.get(chosen)
            contexts.append({"name": name, "scale": "global" if whole else size / PATCH})
        return {"contexts": tuple(contexts)} | self.settings


def ablation_rows() -> tuple[AblationRow, ...]:
    """List every row of Tables 3, 4, 5 and 6, in the paper's order."""
    return (*_contexts_and_gpe(), *_context_sizes(), *_fusion(), *_enhancement())


def ablation_row(name: str) -> AblationRow:
    """Find a row by its config's name.

    Parameters
    ----------
    name : str
        Name of the row.

    Returns
    -------
    AblationRow
        The row.

    Raises
    ------
    ConfigError
        There is no such row.
    """
    for row in ablation_rows():
        if row.name == name:
            return row
    raise ConfigError(f"there is no ablation {name!r}; `fctl ablate list` shows them.")


def _figures(deepglobe: float, inria: float) -> dict[Dataset, float]:
    return {"deepglobe": deepglobe, "inria": inria}


def _contexts_and_gpe() -> list[AblationRow]:
    """List the rows of Table 3: contexts and gated positional embeddings, without ALE."""
    table = (
        ((), False, 71.84, 69.08),
        (("local",), False, 72.12, 72.50),
        (("medium",), False, 72.67, 72.48),
        (("large",), False, 72.67, 72.46),
        (("medium", "large"), False, 73.12, 73.18),
        (("local", "medium", "large"), False, 73.22, 73.53),
        (("medium",), True, 73.33, 72.73),
        (("medium", "large"), True, 73.37, 73.00),
        (("local", "medium", "large"), True, 73.47, 73.50),
    )
    rows = []
    for names, gpe, *paper in table:
        words = [*names, "gpe"] if gpe else list(names)
        sizes: dict[Dataset, dict[str, int]] = {
            dataset: {name: known[name] for name in names} for dataset, known in SIZES.items()
        }
        rows.append(
            AblationRow(
                3,
                f"table3-{'-'.join(words) or 'none'}",
                ", ".join(words) or "no contexts",
                {"gpe": gpe, "ale": "none"},
                sizes,
                _figures(*paper),
            )
        )
    return rows


def _context_sizes() -> list[AblationRow]:
    """List the rows of Table 4: sizes of the contexts, px, without ALE."""
    table: tuple[tuple[Dataset, tuple[int, int, int], float], ...] = (
        ("deepglobe", (508, 1016, 2448), 73.23),
        ("deepglobe", (508, 1524, 2032), 72.76),
        ("deepglobe", (508, 1524, 2448), 73.47),
        ("deepglobe", (508, 2032, 2448), 73.05),
        ("deepglobe", (1016, 1524, 2448), 73.34),
        ("inria", (508, 762, 1524), 73.05),
        ("inria", (508, 1016, 1270), 73.13),
        ("inria", (508, 1016, 1524), 73.50),
        ("inria", (508, 1270, 1524), 73.31),
        ("inria", (508, 1016, 2032), 73.24),
        ("inria", (762, 1016, 1524), 73.20),
    )
    return [
        AblationRow(
            4,
            f"table4-{dataset}-{'-'.join(map(str, sizes))}",
            f"{dataset}: {', '.join(map(str, sizes))} px",
            {"ale": "none"},
            {dataset: dict(zip(("local", "medium", "large"), sizes, strict=True))},
            {dataset: paper},
        )
        for dataset, sizes, paper in table
    ]


def _fusion() -> list[AblationRow]:
    """List the rows of Table 5: the weighting of contexts in MCF, without ALE."""
    table = (("average", 72.89, 73.20), ("weighted", 73.16, 73.37), ("adaptive", 73.47, 73.50))
    return [
        AblationRow(5, f"table5-{name}", f"{name} fusion", {"fusion": name, "ale": "none"}, SIZES, _figures(*paper))
        for name, *paper in table
    ]


def _enhancement() -> list[AblationRow]:
    """List the rows of Table 6: the structure of ALE."""
    table: tuple[tuple[str, str, dict[str, Any], float, float], ...] = (
        ("none", "without ALE", {"ale": "none"}, 73.47, 73.50),
        ("concat", "concatenation", {"ale": "concat"}, 72.20, 72.80),
        ("only", "ALE only", {"ale": "d", "lcf": False}, 72.69, 73.62),
        ("a-medium", "(a), medium", {"ale": "a", "ale_reference": "medium"}, 73.76, 74.22),
        ("a-large", "(a), large", {"ale": "a", "ale_reference": "large"}, 73.57, 74.19),
        ("b-medium", "(b), medium", {"ale": "b", "ale_reference": "medium"}, 73.78, 74.39),
        ("b-large", "(b), large", {"ale": "b", "ale_reference": "large"}, 73.68, 74.35),
        ("c", "(c), both", {"ale": "c"}, 73.55, 74.32),
        ("d", "(d), both", {"ale": "d"}, 73.91, 74.58),
        ("e", "(e), both", {"ale": "e"}, 73.77, 74.56),
    )
    return [
        AblationRow(6, f"table6-{name}", label, settings, SIZES, _figures(*paper))
        for name, label, settings, *paper in table
    ]
