"""What a fine-tuning run tells: how it goes on, and how it ended (no torch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fctl_napari.finetuning.gate import BeforeAfter, Figures, Verdict

Phase = Literal["preparing", "training", "measuring"]


@dataclass(frozen=True)
class FinetuneProgress:
    """News of a run; plain values.

    Attributes
    ----------
    phase
        ``"preparing"`` (tiles are encoded), ``"training"`` or ``"measuring"``.
    done, total
        Tiles or steps.
    loss, terms
        Of the last step: all, and by term (``corrected``, ``near``, ``replay``); NaN and empty while preparing.
    before, now
        Figures of the parent (the base lines) and of the network when it was measured last: ``held_out``,
        ``scene``, ``training``.
    measured_at
        The step of ``now``.
    seconds
        In training steps, over all sessions of the run.
    notes
        What there is to say to the user.
    """

    phase: Phase
    done: int
    total: int
    loss: float = float("nan")
    terms: dict[str, float] = field(default_factory=dict)
    before: dict[str, Figures] = field(default_factory=dict)
    now: dict[str, Figures] = field(default_factory=dict)
    measured_at: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended.

    Attributes
    ----------
    candidate
        The new checkpoint: at ``out`` if it was kept, else beside it until ``keep`` or ``roll_back``.
    card
        Figures before and after.
    verdict
        What the gate says.
    kept
        Whether it stands at ``out``.
    steps
        Optimizer steps after which the network was taken: the last that the gate let pass, or else the best measured.
    notes
        What there is to say to the user.
    """

    candidate: Path
    card: BeforeAfter
    verdict: Verdict
    kept: bool
    steps: int
    notes: tuple[str, ...]
