"""Features of frozen encoders: what is kept is what the network would compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_ablation import recipe, train_baseline, write_scene

from fctl_napari.ablation.frozen_features import (
    FeatureMaker,
    KeptFeatures,
    reliance_on_features,
    score_features,
)
from fctl_napari.ablation.frozen_tiles import check_unseen, chunks_of, measured_tiles, streams_of
from fctl_napari.ablation.frozen_trainer import FrozenTrainer
from fctl_napari.ablation.plan import AblationRequest, Training, make_plan
from fctl_napari.ablation.tables import ablation_row
from fctl_napari.evaluation.context_reliance import context_reliance
from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.device import numerics
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes
from fctl_napari.training.trainer import Trainer
from fctl_napari.training.validate import score_scenes
from fctl_napari.training.weight_init import start_from

CPU = torch.device("cpu")
ROWS = ("table3-none", "table3-medium-gpe", "table4-inria-762-1016-1524")
NETWORKS = [
    *((row, "fp32") for row in (*ROWS, "table6-d")),
    ("table6-d", "bf16"),
    *(pytest.param(row, "bf16", marks=pytest.mark.nightly) for row in ROWS),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ablation")
    write_scene(found)
    return found


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Path:
    return train_baseline(folder)


def training_of(row: str, folder: Path, baseline: Path, out: Path, **fields: object) -> Training:
    request = AblationRequest(
        (ablation_row(row).table,),
        recipe(**fields),
        out,
        folder,
        seeds=2,
        frozen_encoders=baseline,
        tiles=5,
        device="cpu",
    )
    return next(t for t in make_plan(request).trainings if any(r.name == row for r in t.rows) and t.config.seed == 1)


def makers(training: Training, precision: Precision = "fp32") -> list[FeatureMaker]:
    assert training.frozen is not None
    scenes, _ = open_scenes(training.config.data, training.data_folder)
    tiles = measured_tiles(scenes, training.part, 64)
    config = training.config.model_copy(update={"seed": 0})
    return [
        FeatureMaker(config, scenes, tiles, training.network, training.frozen, stream, CPU, precision)
        for stream in streams_of(training.network)
    ]


def make_all(training: Training, precision: Precision = "fp32") -> list[FeatureMaker]:
    assert training.frozen is not None
    found = makers(training, precision)
    for chunk in chunks_of(training.frozen, streams_of(training.network)):
        found[streams_of(training.network).index(chunk.stream)].make(chunk)
    return found


def network_of(training: Training) -> FCtL:
    torch.manual_seed(3)
    model = FCtL(training.network)
    assert training.frozen is not None
    start_from(model, training.frozen.checkpoint)
    return model.eval()


@pytest.mark.parametrize(("row", "precision"), NETWORKS)
def test_a_network_on_kept_features_gives_what_it_gives_on_pixels(
    row: str, precision: Precision, folder: Path, baseline: Path, tmp_path: Path
) -> None:
    """By day in bf16 of the row with most parts, which stands in for the others."""
    training = training_of(row, folder, baseline, tmp_path)
    made = make_all(training, precision)
    model = network_of(training)
    names = [stream.name for stream in streams_of(training.network)]
    for part in ("trained", "measured"):
        kept = KeptFeatures(training.frozen, part, training.network)
        assert len(kept) > 2
        for index in (0, len(kept) - 1):
            pixels = {name: maker.pixels(part, index) for name, maker in zip(names, made, strict=True)}
            contexts = {name: pixels[name].contexts[name] for name in names[1:]}
            windows = {name: pixels[name].windows[name] for name in names}
            with torch.no_grad(), numerics(CPU, precision):
                layout = torch.channels_last  # as features are computed
                model.to(memory_format=layout)
                contexts = {n: c.contiguous(memory_format=layout) for n, c in contexts.items()}
                plain = model(pixels["tile"].tile.contiguous(memory_format=layout), contexts, windows)
                found = kept.batch([index]).logits(model)
            torch.testing.assert_close(found, plain, rtol=0, atol=0)
            assert torch.equal(kept.batch([index]).ground_truth, pixels["tile"].ground_truth)
    together = kept.batch([2, 0])
    assert torch.equal(together.ground_truth[1], kept.batch([0]).ground_truth[0])
    assert torch.equal(together.streams["tile"][32][0], kept.batch([2]).streams["tile"][32][0])


def test_training_on_kept_features_is_training_on_pixels(folder: Path, baseline: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    training = training_of("table6-d", folder, baseline, tmp_path)
    tile, medium, large = make_all(training)
    scenes, _ = open_scenes(training.config.data, folder)
    where = {"data_folder": folder, "device": "cpu"}
    tiles = measured_tiles(scenes, "test", 64)
    kept = FrozenTrainer(training.config, tmp_path / "kept", training.frozen, tiles, "test", **where)

    class OnPixels(Trainer):
        def _load(self, number):
            rng = np.random.default_rng([self.config.seed, 5, number])
            (index,) = rng.choice(training.frozen.tiles, 1, replace=False).tolist()
            batch = tile.pixels("trained", index)
            for name, maker in (("medium", medium), ("large", large)):
                other = maker.pixels("trained", index)
                batch.contexts[name], batch.windows[name] = other.contexts[name], other.windows[name]
                batch.indices[name] = other.indices[name]
            return batch

        def _finish(self):
            return self.out

    plain = OnPixels(training.config, tmp_path / "plain", **where)
    before = {name: value.clone() for name, value in plain.model.state_dict().items()}
    losses: dict[Trainer, list[float]] = {kept: [], plain: []}
    for trainer, seen in losses.items():
        trainer._finish = lambda: Path()  # what is measured at the end is another test's
        trainer.run(lambda step, steps, loss, seen=seen: seen.append(loss))
    assert losses[kept] == losses[plain]
    for (name, a), b in zip(plain.model.state_dict().items(), kept.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
        if name.startswith("encoders."):
            assert torch.equal(a, before[name])
    assert any(not torch.equal(value, before[name]) for name, value in plain.model.state_dict().items())


def test_figures_are_those_of_a_segmentation(folder: Path, baseline: Path, tmp_path: Path) -> None:
    training = training_of("table3-medium-gpe", folder, baseline, tmp_path)
    make_all(training)
    model = network_of(training)
    scenes, table = open_scenes(training.config.data, folder)
    tiles = measured_tiles(scenes, "test", 64)
    kept = KeptFeatures(training.frozen, "measured", training.network)
    found = score_features(model, kept, table.names, CPU, "fp32")
    plain = score_scenes(model, [(scene, scene.test) for scene in scenes], table.names, precision="fp32")
    assert found.to_json() == plain.to_json()
    assert found.pixels == plain.pixels == 160 * 48
    grid = TileGrid(scenes[0].pyramid.shape, 64, default_overlap(64))
    windows = [tuple(map(float, grid.window(tile.cell))) for tile in tiles]
    expected = context_reliance(model, scenes[0].pyramid, windows)
    assert reliance_on_features(model, kept, tiles, CPU, "fp32") == pytest.approx(expected, abs=1e-3)
    assert expected > 0.001, "a network that ignores its contexts proves nothing"


def test_a_run_that_was_cut_short_resumes_to_the_same_checkpoint(folder: Path, baseline: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    training = training_of("table3-medium-gpe", folder, baseline, tmp_path, save_every=2)
    make_all(training)
    scenes, _ = open_scenes(training.config.data, folder)
    tiles = measured_tiles(scenes, "test", 64)

    def trainer(name: str) -> FrozenTrainer:
        return FrozenTrainer(
            training.config, tmp_path / name, training.frozen, tiles, "test", data_folder=folder, device="cpu"
        )

    whole = trainer("whole").run()

    def cut(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trainer("cut").run(cut)
    again = trainer("cut")
    assert again.step == 2
    resumed = again.run()
    for a, b in zip(load_checkpoint(whole)[0].parameters(), load_checkpoint(resumed)[0].parameters(), strict=True):
        assert torch.equal(a, b)
    card = read_card(resumed)
    assert card.figures == read_card(whole).figures
    assert card.provenance["frozen"]["tiles"] == 5


def test_files_that_are_there_are_not_made_again(folder: Path, baseline: Path, tmp_path: Path) -> None:
    training = training_of("table3-none", folder, baseline, tmp_path)
    (maker,) = make_all(training)
    chunks = chunks_of(training.frozen, streams_of(training.network))
    assert {i for c in chunks if c.part == "trained" for i in c.indices(training.frozen)} == set(range(5))
    before = [chunk.file(training.frozen).stat().st_mtime_ns for chunk in chunks]
    assert [maker.make(chunk).stat().st_mtime_ns for chunk in chunks] == before


def trained_on(folder: Path, baseline: Path, **data: object) -> Path:
    """The baseline with another story of what it was trained on, as cards told it before they named the regions."""
    model, card = load_checkpoint(baseline)
    training = card.provenance["training"]
    changed = training | {k: v for k, v in data.items() if k == "init_from"}
    changed["data"] = training["data"] | {k: v for k, v in data.items() if k != "init_from"}
    provenance = {k: v for k, v in card.provenance.items() if k != "trained_on"} | {"training": changed}
    return save_checkpoint(folder / "told.safetensors", model, card.model_copy(update={"provenance": provenance}))


def scene_of(config: TrainConfig, **fields: object) -> list[dict[str, object]]:
    return [config.model_dump(mode="json")["data"]["scenes"][0] | fields]


def test_encoders_that_saw_what_is_measured_are_refused(folder: Path, baseline: Path, tmp_path: Path) -> None:
    config = recipe()
    scenes, _ = open_scenes(config.data, folder)
    check_unseen(baseline, scenes, "test")
    whole = {"train": [], "val": [], "test": []}
    for data in (
        {"scenes": scene_of(config, train=[[0, 209]])},
        {"scenes": scene_of(config, **whole)},
        {"scenes": scene_of(config, **whole, group="a"), "holdout": "b"},
    ):
        with pytest.raises(CheckpointError, match=r"was trained on parts of scene\.png that are measured here"):
            check_unseen(trained_on(tmp_path, baseline, **data), scenes, "test")
    for data in (
        {"scenes": scene_of(config, train=[[0, 208]])},
        {"scenes": scene_of(config, **whole, group="a"), "holdout": "a"},
    ):
        check_unseen(trained_on(tmp_path, baseline, **data), scenes, "test")
    with pytest.raises(CheckpointError, match="started from first"):
        check_unseen(trained_on(tmp_path, baseline, init_from="first.safetensors"), scenes, "test")


def test_the_regions_that_a_card_names_count(folder: Path, baseline: Path, tmp_path: Path) -> None:
    scenes, _ = open_scenes(recipe().data, folder)
    model, card = load_checkpoint(baseline)
    assert card.provenance["trained_on"] == {"scene.png": [[0, 0, 160, 160]]}

    def told(x1: int) -> Path:
        provenance = card.provenance | {"trained_on": {"scene.png": [[0, 0, 160, x1]]}}
        return save_checkpoint(
            tmp_path / f"{x1}.safetensors", model, card.model_copy(update={"provenance": provenance})
        )

    check_unseen(told(208), scenes, "test")
    with pytest.raises(CheckpointError, match="that are measured here"):
        check_unseen(told(209), scenes, "test")


def test_a_checkpoint_without_a_story_is_refused(folder: Path, baseline: Path, tmp_path: Path) -> None:
    scenes, _ = open_scenes(recipe().data, folder)
    model, card = load_checkpoint(baseline)
    silent = save_checkpoint(tmp_path / "silent.safetensors", model, card.model_copy(update={"provenance": {}}))
    with pytest.raises(CheckpointError, match="does not say what it was trained on"):
        check_unseen(silent, scenes, "test")
