"""Points that were drawn on a map and checked by people, in a file beside the segmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from fctl_napari.evaluation.ground_truth import Comparable, GroundTruth, check_indices, scored_classes
from fctl_napari.evaluation.points.point_sample import MapCounts, draw_points
from fctl_napari.evaluation.points.sample_size import LEAST, TOTAL, least_points
from fctl_napari.exceptions import InputError, OutputError, PointsError, reason_of
from fctl_napari.files import output_error, write_json
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.store.identity import contradict
from fctl_napari.words import count_of


class Point(BaseModel):
    """A point of a sample.

    Attributes
    ----------
    id : int
        Number of the point, from 1 on, in random order.
    y, x : int
        Position, px.
    mapped : str
        Class of the map there.
    true : str or None
        Class that a person, or a ground truth, says it is. None if it is not checked yet.
    by, when : str or None
        Who said so, and when (ISO 8601).
    """

    model_config = ConfigDict(frozen=True)

    id: int = Field(ge=1)
    y: int = Field(ge=0)
    x: int = Field(ge=0)
    mapped: str
    true: str | None = None
    by: str | None = None
    when: str | None = None


class CheckedPoints(BaseModel):
    """A stratified random sample of points on a map, whose strata are the classes of the map.

    Attributes
    ----------
    fctl_points : int
        Version of the file.
    image : dict of str to object
        Identity of the image, as the segmentation records it.
    digest : str
        Digest of the map on which the points were drawn.
    final : bool
        If True, that was the final map, else the prediction alone.
    seed : int
        Seed of the draw.
    mapped : dict of str to int
        Px of each class of the map, by name, in the order of its classes.
    points : tuple of Point
        The points.
    """

    model_config = ConfigDict(frozen=True)

    fctl_points: Literal[1] = 1
    image: dict[str, Any]
    digest: str
    final: bool
    seed: int
    mapped: dict[str, int]
    points: tuple[Point, ...]

    @classmethod
    def read(cls, path: Path) -> CheckedPoints:
        """Read the points of a file.

        Parameters
        ----------
        path : Path
            The file, see :func:`points_path`.

        Returns
        -------
        CheckedPoints
            The points.

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        try:
            found = cls.model_validate_json(path.read_bytes())
            if len({point.id for point in found.points}) < len(found.points) or "fingerprint" not in found.image:
                raise ValueError("numbers of points must differ, and its image must be named")
            if not {point.mapped for point in found.points} <= found.mapped.keys():
                raise ValueError("a point has a class that the map does not have")
        except FileNotFoundError:
            what = f"{path}: there are no points yet"
            raise PointsError(f"{what}; draw some with fctl points draw.", what) from None
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: holds no checked points, or is damaged ({reason_of(error)}); mend it, or move it away and "
                "draw new ones."
            ) from error
        return found

    def write(self, path: Path) -> None:
        """Write the points to a file, atomically.

        Parameters
        ----------
        path : Path
            The file.

        Raises
        ------
        OutputError
            The disk is full or the path is not writable.
        """
        write_json(path, self.model_dump(), indent=1)

    @property
    def checked(self) -> int:
        """Number of points whose true class is known."""
        return sum(point.true is not None for point in self.points)

    @property
    def drawn(self) -> tuple[object, ...]:
        """Facts that two samples share if they are one, whatever was checked of it."""
        return self.digest, self.seed, *((point.id, point.y, point.x) for point in self.points)

    def with_classes(self, classes: Mapping[int, str | None], author: str) -> CheckedPoints:
        """Return these points with further true classes.

        Parameters
        ----------
        classes : mapping of int to str or None
            True classes by the numbers of points. None: the point is not checked any more.
        author : str
            Who says so.

        Returns
        -------
        CheckedPoints
            The points. One that has the same class already stays as it is.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        points = (
            _answered(point, classes[point.id], author, now)
            if classes.get(point.id, point.true) != point.true
            else point
            for point in self.points
        )
        return self.model_copy(update={"points": tuple(points)})

    def require_map(self, source: Comparable, counts: MapCounts, path: Path) -> None:
        """Refuse points that were drawn on another map.

        Parameters
        ----------
        source : Comparable
            The map, as it is now.
        counts : MapCounts
            Its px by class.
        path : Path
            File of the points, for the error.

        Raises
        ------
        InputError
            The points are of another image, or the map has changed since they were drawn.
        """
        self.require_image(source, path)
        now = dict(zip(source.class_table.names, counts.mapped.tolist(), strict=True))
        if self.digest == counts.digest and self.mapped == now:
            return
        both = {name: (self.mapped.get(name, 0), now.get(name, 0)) for name in [*self.mapped, *now]}
        words = "; ".join(f"{name} had {was:,} px and has {px:,}" for name, (was, px) in both.items() if was != px)
        what = (
            f"{path}: its points were drawn on this map before it was changed{words and f' ({words})'}, and say "
            "nothing sure of it now"
        )
        raise PointsError(f"{what}; draw new ones with fctl points draw --fresh.", what)

    def require_image(self, source: Comparable, path: Path) -> None:
        """Refuse points of another image.

        Parameters
        ----------
        source : Comparable
            The map.
        path : Path
            File of the points, for the error.

        Raises
        ------
        InputError
            They are of another image.
        """
        height, width = source.shape
        outside = any(point.y >= height or point.x >= width for point in self.points)
        if contradict(self.image, source.facts["image"]) or outside:
            raise InputError(
                f"{path}: holds points of another image ({self.image.get('name') or 'unknown'}) than {source.path}; "
                "move it away and draw new ones."
            )


def _answered(point: Point, true: str | None, author: str, when: str) -> Point:
    by, at = (None, None) if true is None else (author, when)
    return point.model_copy(update={"true": true, "by": by, "when": at})


def set_classes(path: Path, points: CheckedPoints, classes: Mapping[int, str | None], author: str) -> CheckedPoints:
    """Write true classes of points into their file, beside those that others wrote meanwhile.

    Parameters
    ----------
    path : Path
        File of the points.
    points : CheckedPoints
        The points, as they were read.
    classes : mapping of int to str or None
        True classes by the numbers of points. None: the point is not checked any more.
    author : str
        Who says so.

    Returns
    -------
    CheckedPoints
        The points, as the file has them now.

    Raises
    ------
    InputError
        The file is missing or damaged, or holds other points by now.
    OutputError
        The disk is full or the path is not writable.
    """
    with _writing(path):
        now = CheckedPoints.read(path)
        if now.drawn != points.drawn:
            raise InputError(f"{path}: other points were drawn meanwhile; check those instead.")
        before = {point.id: point.true for point in points.points}
        for point in now.points:
            if point.id in classes and point.true not in (None, before[point.id], classes[point.id]):
                raise InputError(
                    f"{path}: {point.by} said meanwhile that point {point.id} is {point.true}; look at it again."
                )
        now = now.with_classes(classes, author)
        now.write(path)
    return now


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Let one process at a time change the points of a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            yield
    except OSError as error:
        raise output_error(path, error) from error


def points_path(segmentation: Path | str) -> Path:
    """Return the path of the checked points of a segmentation: beside it.

    Parameters
    ----------
    segmentation : Path or str
        Path of the segmentation.

    Returns
    -------
    Path
        Path of the file, which need not be there.
    """
    path = Path(segmentation)
    return path.with_name(f"{path.name}.points.json")


def draw_sample(
    source: Comparable,
    counts: MapCounts,
    path: Path,
    *,
    final: bool,
    total: int = TOTAL,
    least: int | None = None,
    seed: int = 0,
    fresh: bool = False,
) -> CheckedPoints:
    """Draw points on a map, and write them to a file.

    Parameters
    ----------
    source : Comparable
        The map.
    counts : MapCounts
        Its px by class, from ``count_classes``.
    path : Path
        File of the points.
    final : bool
        If True, the map is the final map, else the prediction alone.
    total, least, seed : int, optional
        See ``draw_points``.
    fresh : bool, optional
        If True, points of the file that are checked already are dropped.

    Returns
    -------
    CheckedPoints
        The points.

    Raises
    ------
    InputError
        Nothing is mapped.
    OutputError
        The file holds checked points, the disk is full, or the path is not writable.
    """
    if not fresh and path.exists():
        known = CheckedPoints.read(path)
        if known.checked:
            raise OutputError(
                f"{path}: holds {count_of(known.checked, 'checked point')}; keep to them, or drop them with fctl "
                "points draw --fresh."
            )
    names = source.class_table.names
    drawn = draw_points(source.labels, counts, total, least=least, seed=seed)
    points = CheckedPoints(
        image=dict(source.facts["image"]),
        digest=counts.digest,
        final=final,
        seed=seed,
        mapped=dict(zip(names, counts.mapped.tolist(), strict=True)),
        points=tuple(Point(id=k, y=y, x=x, mapped=names[c]) for k, (y, x, c) in enumerate(drawn.tolist(), 1)),
    )
    with _writing(path):
        points.write(path)
    return points


def sample_notes(points: CheckedPoints, total: int, least: int | None) -> list[str]:
    """Describe where a sample is not what one may expect.

    Parameters
    ----------
    points : CheckedPoints
        The points, just drawn.
    total, least : int or None
        What was asked for, see ``draw_points``.

    Returns
    -------
    list of str
        Sentences without a full stop: there are more points than asked for, or fewer of a class than is advised.
    """
    drawn = Counter(point.mapped for point in points.points)
    if len(points.points) > total:
        each = least_points(total, len(drawn)) if least is None else least
        return [f"there are more than {total} points, so that each class has {each} of them"]
    few = [number for name, number in drawn.items() if number < min(LEAST, points.mapped[name])]
    if least is None and few:
        advised = f"{LEAST} or more are advised, which {LEAST * len(drawn)} points in all give"
        return [f"some classes have only {min(few)} points; {advised}"]
    return []


def true_classes(points: CheckedPoints, source: Comparable, ground_truth: GroundTruth) -> dict[int, str]:
    """Read the true classes of points from a ground truth.

    Parameters
    ----------
    points : CheckedPoints
        The points.
    source : Comparable
        Their map.
    ground_truth : GroundTruth
        Ground truth of the same image.

    Returns
    -------
    dict of int to str
        Names of classes by the numbers of points, of those that have a class there.

    Raises
    ------
    InputError
        The ground truth has another size or other classes.
    """
    scored, names = scored_classes(source, ground_truth), source.class_table.names
    found = {}
    for point in sorted(points.points, key=lambda point: (point.y, point.x)):
        value = int(ground_truth.read((point.y, point.x, point.y + 1, point.x + 1))[0, 0])
        if ground_truth.class_names is None and value != IGNORE:
            check_indices("ground truth", value, len(source.predicted_classes))
        if scored[value] < len(names):
            found[point.id] = names[scored[value]]
    return found
