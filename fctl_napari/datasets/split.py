"""Splits of data sets into pairs to train on, to validate on and to test on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.datasets.files import PARTS, Pair, Part, Problem
from fctl_napari.exceptions import InputError

LIST_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train.txt",),
    "val": ("val.txt", "valid.txt", "validation.txt", "crossvali.txt"),
    "test": ("test.txt",),
}
PUBLISHED = Path(__file__).parent / "splits"
"""Lists of the published data sets, by layout: DeepGlobe as GLNet lists it, Inria Aerial as FCtL does."""
SOURCES = {"deepglobe": "GLNet", "inria": "FCtL"}
SHARES: dict[str, tuple[int, int, int]] = {"deepglobe": (454, 207, 142)}
"""Sizes of the parts where names decide. Other data sets use ``USUAL``."""
USUAL = (126, 27, 27)
STRICTER: tuple[tuple[Part, Part], ...] = (("val", "test"), ("train", "test"), ("train", "val"))
"""Pairs of parts. A name in the lists of both belongs to the second, so that no held-out pair is trained on."""
NAMED = 3
"""Number of examples that are named in a message."""


@dataclass(frozen=True)
class Split:
    """The pairs of a data set by their use.

    Attributes
    ----------
    train : tuple of Pair
        Pairs to train on, by name.
    val : tuple of Pair
        Pairs to validate on, by name.
    test : tuple of Pair
        Pairs to test on, by name.
    by : str
        Rule that decided, for users.
    problems : tuple of Problem
        Errors in the list files.
    """

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    test: tuple[Pair, ...]
    by: str
    problems: tuple[Problem, ...] = ()

    def part(self, name: Part) -> tuple[Pair, ...]:
        """Return the pairs of a part.

        Parameters
        ----------
        name : Part
            ``"train"``, ``"val"`` or ``"test"``.

        Returns
        -------
        tuple of Pair
            Pairs, by name.
        """
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def split_pairs(folder: Path, layout: str, pairs: Sequence[Pair]) -> Split:
    """Split a data set, always in the same way.

    The first of these rules that applies decides: list files of the user in the folder (``train.txt``, ``val.txt``,
    ``test.txt``: one name or file a line); folders called ``train``, ``val``, ``test``, if pairs lie in two of them;
    the published lists, if they name every pair; the names (ordered by their SHA-256), in the sizes of the published
    split or in 70, 15 and 15 %.

    Parameters
    ----------
    folder : Path
        Folder of the data set.
    layout : str
        ``deepglobe``, ``inria``, or another, for which no lists are published.
    pairs : sequence of Pair
        All pairs.

    Returns
    -------
    Split
        Split with the rule that decided.

    Raises
    ------
    InputError
        A list file cannot be read.
    """
    own = {part: path for part in PARTS for path in _list_files(folder, part)}
    if own:
        return _listed(folder, pairs, own)
    if len({pair.part for pair in pairs}) > 1 and all(pair.part for pair in pairs):
        return _split({part: [pair for pair in pairs if pair.part == part] for part in PARTS}, "the names of folders")
    published = _published(layout)
    known = {name for names in published.values() for name in names}
    strange = [pair.short for pair in pairs if pair.short not in known]
    if known and not strange:
        by = f"the lists that {SOURCES[layout]} published"
        return _split({part: [p for p in pairs if p.short in names] for part, names in published.items()}, by)
    sizes = SHARES.get(layout, USUAL)
    shares = "/".join(f"{100 * size / sum(sizes):.0f}" for size in sizes)
    by = f"names, in shares of {shares} %; write train.txt, val.txt and test.txt to split otherwise"
    if known:
        by += f" (the lists that {SOURCES[layout]} published do not know {some(strange)})"
    return _split(_by_name(pairs, sizes), by)


def _list_files(folder: Path, part: Part) -> list[Path]:
    return [folder / name for name in LIST_NAMES[part] if (folder / name).is_file()][:1]


def _read_list(path: Path) -> list[str]:
    """Read the names in a list file. Of lines with columns (image, mask) the first one is used."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a list of names; write one a line ({error}).") from error
    names = (line.replace("\t", ",").split(",")[0].strip() for line in lines)
    return [name for name in names if name and not name.startswith("#")]


def _published(layout: str) -> dict[Part, set[str]]:
    return {
        part: set(_read_list(PUBLISHED / layout / f"{part}.txt")) for part in PARTS if (PUBLISHED / layout).is_dir()
    }


def _listed(folder: Path, pairs: Sequence[Pair], files: Mapping[Part, Path]) -> Split:
    """Split by the user's lists. Without a list for training it is the pairs that the others do not name."""
    found = _by_any_name(folder, pairs)
    chosen: dict[Part, list[Pair]] = {}
    problems = []
    for part, path in files.items():
        names = _read_list(path)
        where = [found.get(name) or found.get(_last(name)) for name in names]
        chosen[part] = [pair for pair in where if pair is not None]
        missing = [name for name, pair in zip(names, where, strict=True) if pair is None]
        if missing:
            what = f"names {some(missing)}, of which there is no pair, or more than one"
            problems.append(Problem(path.name, what, "correct the list, or add the files"))
    for part, stricter in STRICTER:
        twice = set(chosen.get(part, ())) & set(chosen.get(stricter, ()))
        if twice:
            chosen[part] = [pair for pair in chosen[part] if pair not in twice]
            names = sorted(pair.name for pair in twice)
            what = f"names {some(names)}, as {files[stricter].name} does, where it stays"
            problems.append(Problem(files[part].name, what, "name each in one list"))
    if "train" not in files:
        named = {pair.name for listed in chosen.values() for pair in listed}
        chosen["train"] = [pair for pair in pairs if pair.name not in named]
    by = " and ".join(", ".join(path.name for path in files.values()).rsplit(", ", 1))
    return _split(chosen, by, problems)


def _by_any_name(folder: Path, pairs: Iterable[Pair]) -> dict[str, Pair | None]:
    """Map every way to name a pair to it, and ambiguous names to None."""
    found: dict[str, Pair | None] = {}
    for pair in pairs:
        ways = {pair.name, pair.short}
        for file in (pair.image, pair.ground_truth):
            ways |= {file.name, file.name.split(".")[0], file.relative_to(folder).as_posix()}
        for way in ways:
            found[way] = None if way in found else pair
    return found


def _last(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _by_name(pairs: Sequence[Pair], sizes: tuple[int, int, int]) -> dict[Part, list[Pair]]:
    order = sorted(pairs, key=lambda pair: hashlib.sha256(pair.short.encode()).digest())
    total = len(order)
    training = max(round(total * sizes[0] / sum(sizes)), min(total, 1))
    validating = round(total * sizes[1] / sum(sizes))
    return {
        "train": order[:training],
        "val": order[training : training + validating],
        "test": order[training + validating :],
    }


def _split(parts: Mapping[Part, Iterable[Pair]], by: str, problems: Iterable[Problem] = ()) -> Split:
    train, val, test = (tuple(sorted(set(parts.get(part, ())), key=lambda pair: pair.name)) for part in PARTS)
    return Split(train, val, test, by, tuple(problems))


def some(names: Sequence[str]) -> str:
    """Join the first few names and the count of the others.

    Parameters
    ----------
    names : sequence of str
        Names.

    Returns
    -------
    str
        Text for messages.
    """
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
