"""Every row of the paper's ablation tables is a network that trains and segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from helpers_training import CLASSES, write_scene

from fctl_napari.ablation.tables import AblationRow, ablation_row, ablation_rows
from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.training.config import load_train_config
from fctl_napari.training.trainer import Trainer

PAPER = {
    # rows of each table in the paper, by DeepGlobe's and Inria Aerial's mIoU
    3: [(71.84, 69.08), (72.12, 72.50), (72.67, 72.48), (72.67, 72.46), (73.12, 73.18), (73.22, 73.53), (73.33, 72.73),
        (73.37, 73.00), (73.47, 73.50)],
    4: [(73.23, None), (72.76, None), (73.47, None), (73.05, None), (73.34, None), (None, 73.05), (None, 73.13),
        (None, 73.50), (None, 73.31), (None, 73.24), (None, 73.20)],
    5: [(72.89, 73.20), (73.16, 73.37), (73.47, 73.50)],
    6: [(73.47, 73.50), (72.20, 72.80), (72.69, 73.62), (73.76, 74.22), (73.57, 74.19), (73.78, 74.39), (73.68, 74.35),
        (73.55, 74.32), (73.91, 74.58), (73.77, 74.56)],
}  # fmt: skip
SMALL = {"tile_size": 64, "width": 16, "ale_windows": (3, 3, 3, 3), "share_encoders": "contexts"}


def test_no_row_is_missing() -> None:
    rows = ablation_rows()
    for table, expected in PAPER.items():
        found = [(r.paper.get("deepglobe"), r.paper.get("inria")) for r in rows if r.table == table]
        assert found == expected
    assert len(rows) == sum(map(len, PAPER.values()))
    assert len({r.name for r in rows}) == len(rows)
    assert ablation_row("table6-d").settings == {"ale": "d"}
    with pytest.raises(ConfigError, match="there is no ablation 'table7'"):
        ablation_row("table7")


def test_rows_differ_as_the_tables_say() -> None:
    full = ablation_row("table3-local-medium-large-gpe").network()
    assert full == ablation_row("table5-adaptive").network() == ablation_row("table6-none").network()
    assert full == ablation_row("table4-deepglobe-508-1524-2448").network()
    assert [(c.name, c.scale) for c in full.contexts] == [("local", 1.0), ("medium", 3.0), ("large", "global")]
    inria = ablation_row("table6-d").network(dataset="inria")
    assert [c.scale for c in inria.contexts] == [1.0, 2.0, 3.0]
    assert inria.ale == "d"
    with pytest.raises(ConfigError, match="is a row for inria, not for deepglobe"):
        ablation_row("table4-inria-508-762-1524").network(dataset="deepglobe")


def test_a_local_context_larger_than_the_tile_goes_through_the_tiles_encoder() -> None:
    config = ablation_row("table4-inria-762-1016-1524").network("fctl_lite", **SMALL)
    assert [c.scale for c in config.outer_contexts] == [1.5, 2.0, 3.0]
    from fctl_napari.model.fctl import FCtL

    with torch.device("meta"):
        model = FCtL(config)
    assert model.encoder("local") is model.encoder("tile")
    assert model.encoder("medium") is not model.encoder("tile")


def rows() -> list[ParameterSet]:
    """All rows; those of a network that an earlier row has, or of one with contexts of other sizes, nightly."""
    seen: list[object] = []
    found = []
    for row in ablation_rows():
        network = row.network("fctl_lite", **SMALL)
        contexts = [context.name for context in network.contexts if context.scale != 1]
        key = (network.model_copy(update={"contexts": ()}), contexts) if row.table == 4 else network
        found.append(pytest.param(row, id=row.name, marks=[pytest.mark.nightly] if key in seen else []))
        seen.append(key)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.mark.slow
@pytest.mark.parametrize("row", rows())
def test_rows_train_and_segment(row: AblationRow, folder: Path, tmp_path: Path) -> None:
    """By day each network once: a row of table 4 stands in for those that differ in the sizes of contexts."""
    # Without bands to validate or test on, a run ends with its last step.
    scene = {"image": "scene.png", "truth": "truth.png", "train": [(0, 160)]}
    overrides = {
        "name": row.name,
        "preset": "fctl_lite",
        "network": row.fields() | SMALL,
        "steps": 2,
        "batch": 2,
        "frozen": [],
        "precision": "fp32",
        "data": {"classes": CLASSES, "scenes": [scene]},
    }
    trainer = Trainer(load_train_config("earth", overrides), tmp_path, data_folder=folder)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    losses = []
    written = trainer.run(lambda step, steps, loss: losses.append(loss))
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    moved = {
        name.split(".")[0] for name, value in trainer.model.named_parameters() if not torch.equal(before[name], value)
    }
    assert {"encoders", "decoder"} <= moved
    assert ("lcf" in moved) == (trainer.model.lcf is not None)

    model, card = load_checkpoint(written)
    assert card.config == trainer.model.config
    predictor = Predictor(model, device="cpu", precision="fp32")
    windows = [(0.0, 0.0, 64.0, 64.0), (0.0, 64.0, 64.0, 128.0)]
    tiles = list(predictor.classify(open_image(folder / "scene.png"), windows))
    predictor.close()
    assert [labels.shape for _, labels, _ in tiles] == [(64, 64)] * 2
    assert all(labels.min() >= 1 and labels.max() <= 2 for _, labels, _ in tiles)
