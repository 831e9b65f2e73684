"""Color transfer between training scenes, and haze."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fctl_napari.imagery.open import open_image
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.training.augment import Color, collate
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data import Scene, TileSampler
from fctl_napari.training.data_checks import unlearnable
from fctl_napari.training.tones import SHARES, SceneTones

STILL = AugmentSettings(dihedral=False, brightness=0, contrast=0, saturation=0)
SIDE = 256


@pytest.fixture
def config() -> FCtLConfig:
    return make_config(
        encoder="efficientnet_lite0",
        tile_size=64,
        correlation_stride=16,
        classes=2,
        contexts=({"name": "medium", "scale": 2.0},),
        ale="none",
    )


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    """Two training scenes of other colors, and one that is held out."""
    rng = np.random.default_rng(0)
    found = []
    for name, mean, spread in (("dark", 70, 20), ("light", 170, 8), ("held out", 30, 5)):
        pixels = rng.normal([mean, mean - 20, mean + 20], spread, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        whole = ((0, 0, SIDE, SIDE),)
        train = () if name == "held out" else whole
        truth = rng.integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
        found.append(Scene(path.name, open_image(path), truth, train, () if train else whole, ()))
    return found


def quantiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, SHARES[2:-2])


def test_a_scene_takes_the_histograms_of_another(scenes: list[Scene], config: FCtLConfig) -> None:
    tones = SceneTones(scenes, config)
    dark = torch.from_numpy(scenes[0].pyramid.read_rgba((0, 0, SIDE, SIDE))[..., :3]).permute(2, 0, 1)[None].float()
    targets = {i: scenes[i].pyramid.read_rgba((0, 0, SIDE, SIDE))[..., :3] for i in (0, 1)}
    drawn = set()
    for seed in range(12):
        curves = tones.curves(0, 1.0, np.random.default_rng(seed))
        share = np.random.default_rng(seed).uniform(0, 1.0)
        moved = np.stack([curves[band][dark[0, band].long().numpy()] for band in range(3)], -1)
        matches = []
        for target in targets.values():
            wanted = (1 - share) * quantiles(targets[0][..., 0]) + share * quantiles(target[..., 0])
            matches.append(np.abs(quantiles(moved[..., 0]) - wanted).max() < 2.5)
        assert any(matches), "neither its own histogram nor the other's, nor between them"
        drawn.add(matches.index(True))
        assert (np.diff(curves) > -1e-3).all(), "the order of values stays"
    assert drawn == {0, 1}


def test_a_scene_that_is_held_out_lends_no_colors(scenes: list[Scene], config: FCtLConfig) -> None:
    tones = SceneTones(scenes, config)
    ends = [tones.curves(0, 1.0, np.random.default_rng(seed))[0, 70] for seed in range(40)]
    assert min(ends) > 65
    assert max(ends) > 130


def test_tile_and_contexts_change_alike_and_the_other_changes_stay(scenes: list[Scene], config: FCtLConfig) -> None:
    settings = STILL.model_copy(update={"brightness": 0.3, "color_transfer": 1.0, "haze": 0.4})
    tones = SceneTones(scenes, config)
    sampler = TileSampler(scenes, config, STILL, 0.5, seed=2)
    samples = sampler.batch(0, 4)
    batch = collate(samples, settings, np.random.default_rng(1), tones=tones)
    rng = np.random.default_rng(1)
    colors = {scene: Color(settings, rng, 3, tones, scene) for scene in sorted({s.scene for s in samples})}
    for i, sample in enumerate(samples):
        for pixels, made in (
            (sample.inputs.tile, batch.tile[i]),
            (sample.inputs.contexts["medium"], batch.contexts["medium"][batch.indices["medium"][i]]),
        ):
            torch.testing.assert_close(colors[sample.scene](torch.from_numpy(pixels)[None].float(), 100.0)[0], made)
    plain = Color(settings.model_copy(update={"color_transfer": 0.0, "haze": 0.0}), np.random.default_rng(5))
    changed = Color(settings, np.random.default_rng(5), 3, tones, 0)
    assert np.array_equal(plain.gain, changed.gain), "runs of earlier versions draw what they drew"


def test_haze_moves_every_value_towards_one_light() -> None:
    settings = STILL.model_copy(update={"haze": 0.5})
    color = Color(settings, np.random.default_rng(3))
    images = torch.tensor([0.0, 128.0, 255.0]).expand(1, 3, 1, 3).contiguous()
    out = color(images, 100.0)
    assert 0 < color.haze <= 0.5
    torch.testing.assert_close(out, images + (color.light - images) * color.haze)
    assert (out[..., 0] > 30 * color.haze).all()


def test_a_transfer_without_a_second_scene_is_said(scenes: list[Scene], config: FCtLConfig) -> None:
    settings = STILL.model_copy(update={"color_transfer": 0.5})
    for chosen, said in ((scenes, False), (scenes[1:], True)):
        notes = unlearnable(TileSampler(chosen, config, settings, 0.5, seed=0), ["a", "b"])
        assert any("color_transfer" in note for note in notes) is said
