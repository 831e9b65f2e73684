"""The loss of a step: what the trust in the parent weighs."""

from __future__ import annotations

import pytest
import torch

from fctl_napari.finetuning.finetune import Finetuner
from fctl_napari.finetuning.steps.tile_loss import TileLoss


def test_trust_weighs_what_holds_the_corrected_image_and_not_the_training_scenes(request_for) -> None:
    tuner = Finetuner(request_for())
    for _ in tuner._prepare():
        pass
    sets = tuner.sets
    loss = TileLoss(tuner.request, sets, tuner.network, tuner.side_by_side, torch.ones(tuner.card.config.classes))
    corrected = list(sets.corrected)[:2]
    scene = [tile for tile in sets.replay if tile.source == 0][:2]
    training = [tile for tile in sets.replay if tile.source > 0][:2]
    assert corrected
    assert scene
    assert training
    with torch.no_grad():
        for parameter in tuner.network.learning.values():  # away from the parent, where distillation is above 0
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    found = {}
    classes = tuner.card.config.classes
    for trust, involved in ((1.0, True), (0.25, True), (0.25, False)):
        loss.trust, loss.involved = [trust], torch.full((classes,), involved)
        tuner.cache.close()  # what was computed before the first step does not count
        found[trust, involved] = [loss.gradients([*corrected, *replayed])[1] for replayed in (scene, training)]
    whole, old = found[1.0, True]
    assert whole["near"] > 1e-4
    assert whole["replay"] > 1e-4
    assert old["replay"] > 1e-4
    less, old_less = found[0.25, True]
    assert less["near"] == pytest.approx(whole["near"] / 4, rel=1e-2)
    assert less["replay"] == pytest.approx(whole["replay"] / 4, rel=1e-2)
    assert old_less["replay"] == pytest.approx(old["replay"], rel=1e-2)
    assert less["corrected"] == pytest.approx(whole["corrected"], rel=1e-4)
    held, _ = found[0.25, False]
    assert held["near"] == pytest.approx(whole["near"], rel=1e-2), "classes that no correction names or replaces"
