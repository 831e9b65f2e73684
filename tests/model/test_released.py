"""The released files, imported, against a plain transcription of the released code."""

from __future__ import annotations

from pathlib import Path

import pytest
import released_reference
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fctl_napari.datasets.class_tables import class_table
from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import numbered_classes
from fctl_napari.model.explain import explain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import read_card
from fctl_napari.model.network import Network
from fctl_napari.model.released import import_released

from .conftest import encode
from .helpers_released_files import write_released_files

TILE = 32
CLASSES = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return write_released_files(tmp_path_factory.mktemp("released"), CLASSES)


@pytest.fixture(scope="module")
def imported(files: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_released(*files, tmp_path_factory.mktemp("imported") / "lcc.safetensors", numbered_classes(CLASSES))


@pytest.fixture(scope="module")
def network(imported: Path) -> Network:
    return load_checkpoint(imported)[0]


@pytest.fixture(scope="module")
def hollow_files(files: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Small files with the same keys and shapes: what is refused is refused by these."""
    folder = tmp_path_factory.mktemp("hollow")
    for path in files:
        state = torch.load(path, weights_only=True, mmap=True)
        torch.save({key: torch.zeros(()).expand(value.shape) for key, value in state.items()}, folder / path.name)
    whole, medium, large = (folder / path.name for path in files)
    return whole, medium, large


def states(files: tuple[Path, Path, Path]) -> dict[str, dict[str, Tensor]]:
    loaded = [torch.load(path, weights_only=True) for path in files]
    names = ("all", "B10", "B15")
    return {
        name: {k.removeprefix("module."): v for k, v in state.items()}
        for name, state in zip(names, loaded, strict=True)
    }


@pytest.mark.slow
@torch.no_grad()
def test_the_imported_network_is_the_released_one(
    files: tuple[Path, Path, Path], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released_reference, "TILE", TILE)
    with torch.device("meta"):
        model = FCtL(network.config.model_copy(update={"tile_size": TILE})).eval()
    model.load_state_dict(network.state_dict(), assign=True)  # the same arrays, a smaller tile
    generator = torch.Generator().manual_seed(1)
    streams = [torch.randint(0, 256, (1, 3, TILE, TILE), generator=generator).float() for _ in range(3)]
    expected = released_reference.forward(states(files), *(s / 255 for s in streams))
    windows = {
        "tile": torch.tensor([[0.0, 0.0, TILE, TILE]]),
        "medium": torch.tensor([[-TILE / 2, -TILE / 2, TILE * 1.5, TILE * 1.5]]),
        "large": torch.tensor([[-TILE, -TILE, 2.0 * TILE, 2.0 * TILE]]),
    }
    contexts = {"medium": streams[1], "large": streams[2]}
    logits = model(streams[0], contexts, windows)
    scale = expected["logits"].abs().max()
    torch.testing.assert_close(logits / scale, expected["logits"] / scale, rtol=0, atol=1e-5)
    explained = explain(model, *encode(model, streams[0], contexts), windows)
    n = model.grid.size
    y, x = model.cell_at(windows["tile"], (10.0, 20.0))
    for i, name in enumerate(("medium", "large", "local")):
        row = expected[f"attention_{name}"][y * n + x].reshape(n, n)
        told = explained.attention[name].row((y, x))
        torch.testing.assert_close(told.combined, row, rtol=1e-3, atol=1e-6)
        assert told.positional is None
        torch.testing.assert_close(explained.fusion[name], expected["fusion"][i], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_what_is_dead_is_dropped(imported: Path, network: Network) -> None:
    card = read_card(imported)
    assert card.config.classes == CLASSES
    assert card.classes.names == ("class 0", "class 1", "class 2")
    assert {f["file"] for f in card.provenance["released_files"].values()} == {
        f"{n}.epoch.pth" for n in ("all", "B10", "B15")
    }
    assert sum(p.numel() for p in network.parameters()) < 175e6


def test_the_files_say_how_many_classes_there_are(hollow_files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"all\.epoch\.pth: predicts 3 classes, the class table has 2"):
        import_released(*hollow_files, tmp_path / "out.safetensors", class_table("inria"))
    assert not list(tmp_path.iterdir())


def test_files_in_the_wrong_order_are_recognised(hollow_files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    whole, medium, large = hollow_files
    out = tmp_path / "out.safetensors"
    with pytest.raises(
        CheckpointError, match=r"all\.epoch\.pth: is the tile's file \(ALL\) and stands in MEDIUM's place"
    ):
        import_released(medium, whole, large, out)
    with pytest.raises(
        CheckpointError, match=r"all\.epoch\.pth: is the tile's file \(ALL\) and stands in LARGE's place"
    ):
        import_released(large, medium, whole, out)
    with pytest.raises(CheckpointError, match=r"B15\.epoch\.pth: is by its name the large context's file"):
        import_released(whole, large, medium, out)
    with pytest.raises(CheckpointError, match=r"all\.epoch\.pth: holds no context's encoder"):
        import_released(whole, whole, large, out)


def test_what_is_in_the_place_is_not_lost(tmp_path: Path) -> None:
    """Said before the files, which are not there, are read."""
    names = [tmp_path / name for name in ("all.pth", "B10.pth", "B15.pth")]
    with pytest.raises(OutputError, match=r"lcc\.pth: checkpoints end in \.safetensors"):
        import_released(*names, tmp_path / "lcc.pth")
    taken = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, taken)
    with pytest.raises(OutputError, match=r"weights\.safetensors: exists and is not a checkpoint of ours"):
        import_released(*names, taken)
    assert load_file(taken)["a"].shape == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool3.0.weight": None}, r"B10\.epoch\.pth: lacks big_pool3\.0\.weight, "),
        ({"classifier.weight": torch.zeros(1)}, r"B10\.epoch\.pth: holds unknown classifier\.weight, so it is not"),
        ({"pool5.4.bias": torch.zeros(7)}, r"B10\.epoch\.pth: has other shapes for big_pool5\.4\.bias, "),
    ],
)
def test_other_keys_and_shapes_are_refused(
    change: dict[str, Tensor | None], message: str, hollow_files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    medium = torch.load(hollow_files[1], weights_only=True)
    for key, value in change.items():
        key = f"module.big_{key}" if key.startswith("pool") else key
        medium.pop(key, None)
        if value is not None:
            medium[key] = value
    other = tmp_path / "B10.epoch.pth"
    torch.save(medium, other)
    with pytest.raises(CheckpointError, match=message):
        import_released(hollow_files[0], other, hollow_files[2], tmp_path / "out.safetensors")
