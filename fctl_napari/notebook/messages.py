"""Messages of the page to the viewer, checked before anything is done with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, TypeAdapter, ValidationError

from fctl_napari.exceptions import InputError, fault_of

FURTHEST = 2**40
"""Largest distance of a point from the image's first px, px."""

MOST_POINTS = 2**20
"""Largest number of points of a stroke."""

Position = Annotated[FiniteFloat, Field(ge=-FURTHEST, le=FURTHEST)]
Index = Annotated[StrictInt, Field(ge=0, lt=2**31)]


class Message(BaseModel):
    """Message of the page.

    Attributes
    ----------
    id : int
        Number that the answer carries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: StrictInt


class TileWanted(Message):
    """A tile is to be drawn.

    Attributes
    ----------
    layer : str
        Id of the layer.
    scale : int
        Px of full resolution for each px of the tile.
    x, y : int
        Column and row of the tile.
    """

    kind: Literal["tile"]
    layer: str
    scale: Annotated[StrictInt, Field(ge=1, le=2**30)]
    x: Index
    y: Index


class StrokeDrawn(Message):
    """A stroke is to be painted.

    Attributes
    ----------
    tool : {"brush", "polygon", "accept"}
        ``accept`` paints what is predicted inside of a polygon.
    points : list of tuple of 2 float
        (y, x) px.
    radius : float
        Radius of the brush, px.
    value : int
        k + 1 = class k, 255 = not sure, 0 = erase.
    """

    kind: Literal["stroke"]
    tool: Literal["brush", "polygon", "accept"]
    points: Annotated[list[tuple[Position, Position]], Field(min_length=1, max_length=MOST_POINTS)]
    radius: Annotated[FiniteFloat, Field(ge=0, le=FURTHEST)] = 0.0
    value: Annotated[StrictInt, Field(ge=0, le=255)] = 0


class StrokeTurned(Message):
    """The latest stroke is to be taken back, or painted again."""

    kind: Literal["undo", "redo"]


class PixelAsked(Message):
    """A px is to be explained.

    Attributes
    ----------
    y, x : float
        The px.
    without : str
        Part of the network that is left out in a second explanation, or an empty text.
    """

    kind: Literal["ask"]
    y: Position
    x: Position
    without: str = ""


class ClassPicked(Message):
    """The class of a px is to be told.

    Attributes
    ----------
    y, x : float
        The px.
    """

    kind: Literal["pick"]
    y: Position
    x: Position


class RegionsWanted(Message):
    """Regions are to be looked for.

    Attributes
    ----------
    what : {"errors", "doubts", "next"}
        Errors against the ground truth, doubts, or where a correction is worth most.
    """

    kind: Literal["find"]
    what: Literal["errors", "doubts", "next"]


class RegionStepped(Message):
    """Another region is to be looked at.

    Attributes
    ----------
    by : {1, -1}
        The next one that is not marked, or the previous one.
    """

    kind: Literal["step"]
    by: Literal[1, -1]


class RegionMarked(Message):
    """The region that is looked at is to be marked, or to be no longer marked if it is so already.

    Attributes
    ----------
    mark : {"done", "truth is wrong"}
        The mark.
    """

    kind: Literal["mark"]
    mark: Literal["done", "truth is wrong"]


class RegionAccepted(Message):
    """The prediction in the region that is looked at is to be painted."""

    kind: Literal["accept"]


class TuningSteered(Message):
    """Fine-tuning is to be begun, steered or decided.

    Attributes
    ----------
    do : str
        What is to be done.
    steps : int
        Largest number of steps, to start.
    """

    kind: Literal["tune"]
    do: Literal["look", "start", "pause", "resume", "cancel", "compare", "keep", "keep anyway", "roll back"]
    steps: Annotated[StrictInt, Field(ge=1, le=10**6)] = 75


AnyMessage = (
    TileWanted
    | StrokeDrawn
    | StrokeTurned
    | PixelAsked
    | ClassPicked
    | RegionsWanted
    | RegionStepped
    | RegionMarked
    | RegionAccepted
    | TuningSteered
)

_ADAPTER: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="kind")])


def read_message(content: Any) -> AnyMessage:
    """Check a message.

    Parameters
    ----------
    content : object
        What the page sent.

    Returns
    -------
    AnyMessage
        The message.

    Raises
    ------
    InputError
        It is none that the viewer knows.
    """
    try:
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        raise InputError(f"the page's message: {fault_of(error)}; reload the page, and try again.") from None


def is_slow(message: AnyMessage) -> bool:
    """Return whether what the page wants can take longer than a tile or a stroke.

    Parameters
    ----------
    message : AnyMessage
        The message.

    Returns
    -------
    bool
        True if it is to be done in a thread.
    """
    if isinstance(message, StrokeDrawn):
        return message.tool == "accept"
    if isinstance(message, TuningSteered):
        return message.do not in ("pause", "resume", "cancel")
    return isinstance(message, PixelAsked | RegionsWanted | RegionStepped | RegionAccepted)
