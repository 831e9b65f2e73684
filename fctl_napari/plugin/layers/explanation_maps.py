"""Maps of an explanation, view by view: arrays with their footprints, limits and texts (no napari, no Qt)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fctl_napari.windows import FloatWindow

if TYPE_CHECKING:
    from fctl_napari.model.config import FCtLConfig
    from fctl_napari.segmentation.jobs.explanation import ContextMaps, TileExplanation

ATTENTION = "Attention of the pixel"
RECEIVED = "Attention received"
WEIGHTS = "Fusion weights (MCF)"
ENHANCEMENT = "Local enhancement (ALE)"
WHAT_IF = "What if"
REGION = "Maps of a region"
SHARED = {ATTENTION: True}
"""Views whose maps have one color scale, unless the user chooses otherwise."""
VIEWS = (ATTENTION, RECEIVED, WEIGHTS, ENHANCEMENT, WHAT_IF, REGION)

ALL, WINNER = "all contexts", "who wins (RGB)"
CHANGES, MASK, MASK_WITHOUT = "changes", "mask", "mask without it"

COMBINED, CONTENT, POSITIONAL = "content and position", "content only", "position only (GPE)"
PARTS = (COMBINED, CONTENT, POSITIONAL)
KINDS: dict[str, Literal["combined", "content", "positional"]] = {
    COMBINED: "combined",
    CONTENT: "content",
    POSITIONAL: "positional",
}
"""Names of the parts in the figure."""

CONTEXT_COLORS: dict[str, tuple[int, int, int]] = {
    "local": (255, 70, 70),
    "medium": (60, 220, 90),
    "large": (90, 150, 255),
}
"""Colors of contexts in outlines and legends; red, green and blue as in the composite."""

MEANING = {
    ATTENTION: (
        "Attention of the picked cell (Eq. 2) over the cells of each context, which sums to 1. σ(z) is the share of "
        "content, the rest is position; γ is the weight by which the context is added to the tile."
    ),
    RECEIVED: (
        "Attention that each cell of a context receives from all cells of the tile together (Fig. 11); the mean is "
        "the number of the tile's cells over the number of the context's."
    ),
    WEIGHTS: (
        "Weights by which MCF (Eq. 3) fuses the contexts in each cell of the tile; the weights of a cell sum to 1. "
        "In the composite a color is as strong as its context's weight."
    ),
    ENHANCEMENT: (
        "Change that one step of ALE (Eq. 6) makes to each cell of the tile: the mean of |E| over the channels "
        "whose window is that large, in cells."
    ),
    WHAT_IF: (
        "The tile's mask by the same network without the parts ticked below, a check of what the maps suggest. "
        "Changed pixels have the color of the class that they become."
    ),
    REGION: (
        "Maps over the view or a drawn region, computed tile by tile and kept on disk. Entropy and margin say how "
        "sure the network is, the weights which context dominates where."
    ),
}
"""Descriptions of the views, for people."""


@dataclass(frozen=True)
class Look:
    """Choice of view and map in the panel.

    Attributes
    ----------
    view : str
        One of ``VIEWS``.
    item : str
        One of the view's ``items``.
    part : str
        Part of the attention, one of ``PARTS``.
    shared : bool
        If True, all maps of the view have one scale of colors, from 0; else each from its least to its largest value.
    """

    view: str = ATTENTION
    item: str = ALL
    part: str = COMBINED
    shared: bool = True


@dataclass(frozen=True)
class Map:
    """One map over part of the image.

    Attributes
    ----------
    name : str
        Name of its layer, unique among all maps.
    title : str
        Title for the legend.
    values : ndarray of float32 [h, w], or of uint8 [h, w, 3] for a composite
        Values of the cells.
    footprint : FloatWindow
        Window that the cells cover, px of level 0.
    limits : tuple of 2 float
        Values that become the ends of the colormap.
    visible : bool
        True if the chosen item shows it.
    color : tuple of 3 int or None
        Color of the context, if it belongs to one.
    tinted : bool
        True if it is drawn in shades of that color, since it lies over other maps.
    note : str
        Further figures, for the legend.
    colors : str
        Name of napari's colormap, where it is not one of ``explore.colors``.
    channels : tuple of tuple of (str, float, float)
        Channels of a composite: the context of each color, and the weights that become none and all of it.
    """

    name: str
    title: str
    values: np.ndarray
    footprint: FloatWindow
    limits: tuple[float, float]
    visible: bool
    color: tuple[int, int, int] | None = None
    tinted: bool = False
    note: str = ""
    colors: str = ""
    channels: tuple[tuple[str, float, float], ...] = ()

    @property
    def scale_color(self) -> tuple[int, int, int] | None:
        """Color of which ``explore.colors.scale`` makes the color scale."""
        return self.color if self.tinted else None


def views_of(config: FCtLConfig) -> tuple[str, ...]:
    """Return the views that a network can fill.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.

    Returns
    -------
    tuple of str
        Views, in the order of ``VIEWS``.
    """
    lacking = set() if correlates(config) else {ATTENTION, RECEIVED, WEIGHTS}
    if config.ale in ("none", "concat"):  # concat has no LFI blocks
        lacking.add(ENHANCEMENT)
    if not config.contexts:
        lacking.add(WHAT_IF)
    return tuple(view for view in VIEWS if view not in lacking)


def correlates(config: FCtLConfig) -> bool:
    """Return whether a network correlates contexts with the tile (LCF).

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.

    Returns
    -------
    bool
        True if it has contexts and LCF.
    """
    return bool(config.contexts) and config.lcf


def lacks(config: FCtLConfig) -> str:
    """Describe the parts of the paper that a network is without.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.

    Returns
    -------
    str
        A sentence for people; empty if it has all.
    """
    if not config.contexts:
        return "This network has no contexts: there is no attention, no fusion, no ALE to show."
    parts = [] if config.lcf else ["no context fusion (LCF)"]
    if config.lcf and not config.gpe:
        parts.append("no positional embeddings (GPE): attention is by content alone")
    if config.ale in ("none", "concat"):
        parts.append("no local enhancement (ALE)" if config.ale == "none" else "no enhancement maps (ALE by concat)")
    return f"This network has {'; '.join(parts)}." if parts else ""


def items(view: str, explanation: TileExplanation | None) -> tuple[str, ...]:
    """Return the names of the maps in a view of an explanation.

    Parameters
    ----------
    view : str
        One of ``VIEWS``.
    explanation : TileExplanation or None
        The explanation, or None.

    Returns
    -------
    tuple of str
        Names; empty without an explanation, and for ``REGION``, whose maps depend on the network alone.
    """
    if explanation is None:
        return ()
    names = tuple(context.name for context in explanation.contexts)
    if view in (ATTENTION, RECEIVED):
        return (ALL, *names) if names else ()
    if view == WEIGHTS:
        return (WINNER, *names) if names else ()
    if view == ENHANCEMENT:
        return tuple(item for item, _ in _enhancements(explanation))
    if view == WHAT_IF:
        return (CHANGES, MASK_WITHOUT, MASK) if explanation.without is not None else (MASK,)
    return ()


def maps(explanation: TileExplanation, look: Look) -> tuple[Map, ...]:
    """Return the maps of a view, the larger contexts first.

    Parameters
    ----------
    explanation : TileExplanation
        The explanation.
    look : Look
        View and map to show.

    Returns
    -------
    tuple of Map
        The maps; ``WHAT_IF`` and ``REGION`` have none of this kind.
    """
    if look.view in (ATTENTION, RECEIVED):
        return _attention(explanation, look)
    if look.view == WEIGHTS:
        return _weights(explanation, look)
    if look.view == ENHANCEMENT:
        return _enhancement(explanation, look)
    return ()


def attention(context: ContextMaps, part: str, *, received: bool) -> np.ndarray | None:
    """Return one kind of attention over a context's cells.

    Parameters
    ----------
    context : ContextMaps
        Maps of the context.
    part : str
        Part of the attention, one of ``PARTS``.
    received : bool
        If True, return the attention that each cell receives, else that of the picked cell.

    Returns
    -------
    ndarray of float32 [h, w] or None
        The attention; None if the network has no such part.
    """
    if part == CONTENT:
        return context.received_content if received else context.content
    if part == POSITIONAL:
        return context.received_positional if received else context.positional
    return context.received if received else context.combined


def difference(explanation: TileExplanation) -> np.ndarray:
    """Return the labels of a what-if where they differ from those of the network.

    Parameters
    ----------
    explanation : TileExplanation
        The explanation.

    Returns
    -------
    ndarray of uint8 [T, T]
        The label without what is left out where it differs, else 0.
    """
    without = explanation.without
    if without is None:
        return np.zeros_like(explanation.labels)
    return np.where(without.labels != explanation.labels, without.labels, 0).astype(np.uint8)


def summary(explanation: TileExplanation) -> str:
    """Describe in one line the predicted class of the pixel, and the time that the explanation took.

    Parameters
    ----------
    explanation : TileExplanation
        The explanation.

    Returns
    -------
    str
        Text for people.
    """
    y, x = explanation.pixel
    best = int(np.argmax(explanation.probabilities))
    name = explanation.class_table.scored[best].name
    share = float(explanation.probabilities[best])
    return f"Pixel y {y}, x {x}: {name} ({share:.1%}) · {explanation.seconds:.2f} s on {explanation.where}"


def changes(explanation: TileExplanation) -> str:
    """Describe how much of the tile changes class in a what-if.

    Parameters
    ----------
    explanation : TileExplanation
        An explanation with a what-if.

    Returns
    -------
    str
        Text for people.
    """
    changed = int((difference(explanation) > 0).sum())
    total = explanation.labels.size
    left_out = ", ".join(explanation.request.without.names)
    return f"Without {left_out}: {changed} of {total} px of the tile change class ({changed / total:.1%})."


def composite(weights: dict[str, np.ndarray], limits: dict[str, tuple[float, float]]) -> np.ndarray:
    """Mix fusion weights by context into a picture: local red, medium green, large blue.

    Parameters
    ----------
    weights : dict of str to ndarray of float32 [n, n]
        Weights by context name; one that is missing stays black.
    limits : dict of str to tuple of 2 float
        The weights that become none and all of the color, by context name.

    Returns
    -------
    ndarray of uint8 [n, n, 3]
        The picture, RGB.
    """
    size = next(iter(weights.values())).shape
    picture = np.zeros((*size, 3), np.float32)
    for channel, name in enumerate(CONTEXT_COLORS):
        if name in weights:
            low, high = limits[name]
            picture[..., channel] = (weights[name] - low) / (high - low)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _attention(explanation: TileExplanation, look: Look) -> tuple[Map, ...]:
    """Return the maps of attention."""
    received = look.view == RECEIVED
    found = [
        (context, values)
        for context in sorted(explanation.contexts, key=_area, reverse=True)
        if (values := attention(context, look.part, received=received)) is not None
    ]
    limits = _limits([values for _, values in found], look.shared)
    return tuple(
        Map(
            name=f"{'received' if received else 'attention'} {context.name}",
            title=context.name,
            values=values,
            footprint=context.footprint,
            limits=limit,
            visible=look.item in (ALL, context.name),
            color=CONTEXT_COLORS[context.name],
            tinted=look.item == ALL,
            note=_gates(context),
        )
        for (context, values), limit in zip(found, limits, strict=True)
    )


def _gates(context: ContextMaps) -> str:
    """Format the gates of a context."""
    gamma = f"γ {context.gamma:.2f}"
    return gamma if context.positional is None else f"σ(z) {context.gate:.2f} · {gamma}"


def _area(context: ContextMaps) -> float:
    """Return the area of a context's footprint, px."""
    y0, x0, y1, x1 = context.footprint
    return (y1 - y0) * (x1 - x0)


def _weights(explanation: TileExplanation, look: Look) -> tuple[Map, ...]:
    """Return the maps of fusion weights, and their composite."""
    weights = {context.name: context.weight for context in explanation.contexts}
    if not weights:
        return ()
    limits = _limits(list(weights.values()), look.shared)
    single = [
        Map(
            name=f"weight {name}",
            title=name,
            values=weight,
            footprint=explanation.footprint,
            limits=limit,
            visible=look.item == name,
            color=CONTEXT_COLORS[name],
            note=f"mean {weight.mean():.2f}",
        )
        for (name, weight), limit in zip(weights.items(), limits, strict=True)
    ]
    # One scale for all three; otherwise the colors would not show which context wins.
    common = _limits([np.stack(list(weights.values()))], False)[0]
    ends = dict.fromkeys(weights, common)
    mixed = Map(
        name="weights RGB",
        title="local red, medium green, large blue",
        values=composite(weights, ends),
        footprint=explanation.footprint,
        limits=(0, 255),
        visible=look.item == WINNER,
        channels=tuple((name, *limit) for name, limit in ends.items()),
    )
    return (*single, mixed)


def _enhancements(explanation: TileExplanation) -> list[tuple[str, np.ndarray]]:
    """Return the maps of local enhancement by their items."""
    return [
        (f"step {step.step}: {step.target}, window {window}", values)
        for step in explanation.enhancements
        for window, values in sorted(step.maps.items())
    ]


def _enhancement(explanation: TileExplanation, look: Look) -> tuple[Map, ...]:
    """Return the chosen map of local enhancement."""
    found = _enhancements(explanation)
    limits = _limits([values for _, values in found], look.shared)
    for (item, values), limit in zip(found, limits, strict=True):
        if item == look.item:  # one layer for all of them, as there may be a dozen
            return (Map("ALE", item, values, explanation.footprint, limit, True),)
    return ()


def _limits(arrays: list[np.ndarray], shared: bool) -> list[tuple[float, float]]:
    """Return the limits of maps: all from 0 to the largest value, or each from its least to its largest."""
    if shared:
        most = max((float(values.max()) for values in arrays), default=1.0)
        return [(0.0, max(most, 1e-9))] * len(arrays)
    ends = [(float(values.min()), float(values.max())) for values in arrays]
    return [(low, high if high > low else low + max(abs(low) * 1e-3, 1e-9)) for low, high in ends]
