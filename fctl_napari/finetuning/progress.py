"""Progress and result of a fine-tuning run (no torch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fctl_napari.finetuning.judging.gate import BeforeAfter, Figures, GateResult

Phase = Literal["preparing", "training", "measuring"]


@dataclass(frozen=True)
class FinetuneProgress:
    """Progress of a run, as plain values.

    Attributes
    ----------
    phase : Phase
        ``"preparing"`` (tiles are encoded), ``"training"`` or ``"measuring"``.
    done : int
        Number of finished tiles or steps.
    total : int
        Number of all tiles or steps.
    loss : float
        Loss of the last step, NaN while preparing.
    terms : dict of str to float
        Terms of that loss (``corrected``, ``near``, ``replay``), empty while preparing.
    before : dict of str to Figures
        Figures of the parent, the baseline, by ``held_out``, ``scene``, ``training`` and ``truth``.
    now : dict of str to Figures
        Figures of the network when it was measured last, by ``held_out``, ``scene`` and ``training``.
    measured_at : int
        Step of ``now``.
    seconds : float
        Time in training steps over all sessions of the run, s.
    notes : tuple of str
        Notes for the user.
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

    @property
    def note(self) -> str:
        """Phase and loss in words, and the latest figures beside the parent's."""
        words = [self.phase, *([f"loss {self.loss:.3f}"] if self.phase == "training" else [])]
        before, now = (side["held_out"].probability if "held_out" in side else None for side in (self.before, self.now))
        if before is not None and now is not None:
            words.append(f"held-out probability {now.mean():.3f} (was {before.mean():.3f})")
        scene = self.now.get("scene")
        if scene is not None and scene.agreement is not None:
            words.append(f"as before elsewhere {scene.agreement:.3f}")
        return " ".join(words)


@dataclass(frozen=True)
class FinetuneResult:
    """Result of a run.

    Attributes
    ----------
    candidate : Path
        The new checkpoint. It is at ``out`` if it was kept, and otherwise beside it until ``keep`` or ``roll_back``.
    card : BeforeAfter
        Figures before and after.
    gate_result : GateResult
        Decision of the gate.
    kept : bool
        True if the checkpoint is at ``out``.
    steps : int
        Number of optimizer steps of the network that was taken: the last that passed the gate, or else the best
        measured.
    notes : tuple of str
        Notes for the user.
    """

    candidate: Path
    card: BeforeAfter
    gate_result: GateResult
    kept: bool
    steps: int
    notes: tuple[str, ...]
