"""The state of a fine-tuning run in words."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.progress_text import duration

if TYPE_CHECKING:
    from fctl_napari.finetuning.run import FinetuneEvent
    from fctl_napari.model.model_card import Card
    from fctl_napari.plugin.finetune.choices import Beside


def describe(event: FinetuneEvent) -> str:
    """Describe the progress of a run, in one line.

    Parameters
    ----------
    event : FinetuneEvent
        Latest event of the run.

    Returns
    -------
    str
        The line.
    """
    progress = event.progress
    if progress is None:
        return "Starting the worker…"
    if progress.phase == "preparing":
        parts = [f"Preparing tile {progress.done} of {progress.total}"]
    elif progress.phase == "measuring":
        parts = ["Measuring before and after"]
    else:
        parts = [f"Step {progress.done} of {progress.total}", f"loss {progress.loss:.3f}"]
        before, now = progress.before.get("held_out"), progress.now.get("held_out")
        if before is not None and now is not None and before.probability is not None and now.probability is not None:
            parts.append(f"held-out probability {now.probability.mean():.3f} (was {before.probability.mean():.3f})")
        parts.append(duration(progress.seconds))
    return " · ".join(["Paused", *parts] if event.state == "paused" else parts)


def offered(beside: Beside) -> tuple[str, str]:
    """Describe what is left of earlier runs.

    Parameters
    ----------
    beside : Beside
        Files beside the image.

    Returns
    -------
    text : str
        Description. Empty if nothing is left.
    action : str
        Text of a button. Empty if nothing is left.
    """
    if beside.waiting:
        return f"A new network, {beside.waiting[0].card.name}, waits to be kept or rolled back.", "Show it"
    if beside.cut:
        cut = beside.cut[0]
        how = "can be resumed from its last saved state" if cut.saved else "would begin anew"
        return f"Learning of {cut.request.name} was stopped; it {how}.", "Go on"
    return "", ""


def changes(shares: list[float] | None, card: Card) -> str:
    """Describe the changes by a candidate, as rich text.

    Parameters
    ----------
    shares : list of float or None
        Share of px that changed to each class, 0..1. None if there is nothing to compare with.
    card : Card
        Model card of the candidate.

    Returns
    -------
    str
        Rich text.
    """
    if shares is None:
        return "There is no result of the parent here to compare with."
    words = [
        f"<span style='color: rgb{info.color}'>■</span>&nbsp;{html.escape(info.name)}&nbsp;{share:.1%}"
        for info, share in zip(displayed(card.classes).scored, shares, strict=True)
        if share >= 0.0005
    ]
    total = sum(shares)
    return f"{total:.1%} of the px changed" + (f", to {' &nbsp; '.join(words)}" if words else "")
