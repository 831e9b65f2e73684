"""Checkpoints and their cards: round trips, identity, damage."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.model import model_card as card_module
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint, save_new_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card, builtin_checkpoints, checkpoint_hash, read_card, resolve_checkpoint

from .conftest import awaken, make_batch, small_config

CONFIG = small_config(share_encoders="all")


def make_card(**fields: object) -> Card:
    infos = [ClassInfo(name=n, color=(i, 0, 0)) for i, n in enumerate(("water", "forest", "barren"))]
    table = ClassTable(classes=(*infos, ClassInfo(name="unlabelled", color=(0, 0, 0), ignored=True)))
    return Card(**({"name": "small", "config": CONFIG, "classes": table, "figures": {"miou": 0.5}} | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> FCtL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return awaken(FCtL(CONFIG))


@pytest.fixture(scope="module")
def checkpoint(model: FCtL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = make_card(provenance={"seed": 3})
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "small.safetensors", model, card)


def test_round_trip_in_half_precision(model: FCtL, checkpoint: Path) -> None:
    loaded, card = load_checkpoint(checkpoint)
    assert card == make_card(provenance={"seed": 3})
    assert read_card(checkpoint) == card
    assert not loaded.training
    assert loaded.config == CONFIG
    wanted = model.state_dict()
    for key, value in loaded.state_dict().items():
        expected = wanted[key].half().float() if wanted[key].is_floating_point() else wanted[key]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    stored = load_file(checkpoint)
    assert {v.dtype for v in stored.values() if v.is_floating_point()} == {torch.float16}
    with torch.no_grad():
        logits, again = (m(*make_batch(CONFIG)) for m in (model, loaded))
    torch.testing.assert_close(again, logits, rtol=0, atol=0.1 * float(logits.abs().max()))


def test_round_trip_in_single_precision_is_exact(model: FCtL, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "exact.safetensors", model, make_card(), dtype=torch.float32)
    loaded, _ = load_checkpoint(path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(*make_batch(CONFIG)), model(*make_batch(CONFIG)), rtol=0, atol=0)


def test_values_beyond_half_precision_survive(tmp_path: Path) -> None:
    model = FCtL(CONFIG)
    variance = model.encoders["tile"].stem[1].running_var  # type: ignore[union-attr, index]
    variance.fill_(1e6)  # type: ignore[union-attr, operator]
    loaded, _ = load_checkpoint(save_checkpoint(tmp_path / "large.safetensors", model, make_card()))
    torch.testing.assert_close(loaded.encoders["tile"].stem[1].running_var, variance)  # type: ignore[union-attr, index]


def test_the_hash_is_the_content(model: FCtL, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, model, make_card())
    first = checkpoint_hash(path)
    assert len(first) == 64
    (tmp_path / "copy.safetensors").write_bytes(path.read_bytes())
    assert checkpoint_hash(tmp_path / "copy.safetensors") == first
    save_checkpoint(path, model, make_card(name="large"))  # the same length
    assert checkpoint_hash(path) != first
    save_checkpoint(path, model, make_card())
    assert checkpoint_hash(path) == first
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: there is no such checkpoint"):
        checkpoint_hash(tmp_path / "gone.safetensors")


def test_a_card_is_read_without_torch(checkpoint: Path) -> None:
    code = (
        "import sys\n"
        "from fctl_napari.model.model_card import builtin_checkpoints, checkpoint_hash, read_card\n"
        f"path = {str(checkpoint)!r}\n"
        "assert read_card(path).classes.names == ('water', 'forest', 'barren')\n"
        "assert checkpoint_hash(path)\n"
        "builtin_checkpoints()\n"
        "import fctl_napari.model.windows\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(share: float, checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[: int(share * len(whole))])
    for read in (read_card, load_checkpoint):
        with pytest.raises(CheckpointError, match=r"cut\.safetensors: "):
            read(path)


def test_the_last_byte_missing_is_enough(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: this checkpoint is cut short"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG" * 100, struct.pack("<Q", 2) + b"[]", b"\xff" * 64])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    for read in (read_card, load_checkpoint):
        with pytest.raises(CheckpointError, match=r"other\.safetensors: is not a checkpoint of ours"):
            read(path)
    with pytest.raises(CheckpointError, match=r"missing\.safetensors: there is no such checkpoint"):
        read_card(tmp_path / "missing.safetensors")


def test_weights_without_a_card_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match=r"bare\.safetensors: these are weights without a model card"):
        read_card(tmp_path / "bare.safetensors")


def rewrite(checkpoint: Path, path: Path, **config: object) -> None:
    """Copy a checkpoint with other settings in its card."""
    card = json.loads(read_card(checkpoint).model_dump_json())
    card["config"].update(config)
    save_file(load_file(checkpoint), path, metadata={"fctl": json.dumps(card)})


def test_a_card_that_contradicts_its_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    rewrite(checkpoint, path, width=16)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: its weights do not fit its settings"):
        load_checkpoint(path)
    rewrite(checkpoint, path, tile_size=100)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: .*tile_size 100"):
        load_checkpoint(path)
    rewrite(checkpoint, path, novelty=True)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: its model card does not fit .*novelty"):
        read_card(path)


def test_a_card_of_another_network_is_refused(model: FCtL, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: the model card's settings are not the network's"):
        save_checkpoint(path, model, make_card(config=small_config(share_encoders="all", gpe=False)))
    assert not path.exists()


def test_a_card_counts_its_classes() -> None:
    with pytest.raises(ValidationError, match="3 scored classes, the network 4"):
        make_card(config=small_config(classes=4))


def test_checkpoints_are_found_by_name_or_path(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_module, "BUILTIN_FOLDER", tmp_path)
    assert builtin_checkpoints() == {}
    (tmp_path / "earth.safetensors").write_bytes(checkpoint.read_bytes())
    assert builtin_checkpoints() == {"earth": tmp_path / "earth.safetensors"}
    assert resolve_checkpoint("earth") == tmp_path / "earth.safetensors"
    assert resolve_checkpoint(str(checkpoint)) == checkpoint
    with pytest.raises(CheckpointError, match=r"moon: there is no such checkpoint; .*\(earth\)"):
        resolve_checkpoint("moon")


def test_builtin_checkpoints_load() -> None:
    for name, path in builtin_checkpoints().items():
        model, card = load_checkpoint(path)
        assert card.name
        assert path.stat().st_size <= 40e6, name
        assert len(card.classes.scored) == model.config.classes


def test_a_card_says_what_its_figures_were_measured_on(checkpoint: Path) -> None:
    card = read_card(checkpoint)
    test, val = {"miou": 0.5, "iou": {"water": 1.0}}, {"miou": 0.6, "f1": 0.7}

    def headline(figures: dict[str, object]) -> tuple[str, dict[str, float]]:
        return card.model_copy(update={"figures": figures}).headline()

    assert headline({"val": val, "test": test, "gates": {}}) == ("test part", {"mIoU": 0.5})
    assert headline({"val": val}) == ("validation part", {"mIoU": 0.6, "F1": 0.7})
    assert headline({"miou": 0.4, "measured_on": "elsewhere", "test": test}) == ("elsewhere", {"mIoU": 0.4})
    both = test | {"merge": "crop", "released": {"miou": 0.55, "merge": "released"}}
    assert headline({"test": both}) == ("test part", {"mIoU": 0.5, "mIoU with merge released": 0.55})
    assert headline({}) == ("", {})


def test_a_card_of_buildings_says_their_iou_first(checkpoint: Path) -> None:
    card = read_card(checkpoint)
    names = ["background", "building"]
    table = ClassTable(classes=tuple(ClassInfo(name=name, color=(k, k, k)) for k, name in enumerate(names)))
    figures = {"test": {"miou": 0.955, "iou": {"background": 0.989, "building": 0.921}}}
    where, found = card.model_copy(update={"figures": figures, "classes": table}).headline()
    assert (where, list(found.items())) == ("test part", [("IoU of building", 0.921), ("mIoU", 0.955)])


def test_a_card_of_several_classes_beside_a_background_says_their_mean_too(checkpoint: Path) -> None:
    card = read_card(checkpoint)
    names = ["background", "building", "road", "water"]
    table = ClassTable(classes=tuple(ClassInfo(name=name, color=(k, k, k)) for k, name in enumerate(names)))
    iou = {"background": 0.9, "building": 0.5, "road": 0.7, "water": None}
    figures = {"test": {"miou": 0.7, "f1": 0.8, "iou": iou}}
    found = card.model_copy(update={"figures": figures, "classes": table}).headline()[1]
    assert list(found.items()) == [("mIoU", 0.7), ("mIoU without background", pytest.approx(0.6)), ("F1", 0.8)]


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    model = FCtL(CONFIG)
    with torch.no_grad():
        next(model.decoder.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"new.safetensors: is not written, as the network's weight decoder\."):
        save_checkpoint(tmp_path / "new.safetensors", model, make_card())
    assert not list(tmp_path.iterdir())


def test_of_two_that_write_a_new_checkpoint_one_is_told(tmp_path: Path) -> None:
    path, both = tmp_path / "new.safetensors", threading.Barrier(2)

    def write(name: str) -> str:
        model, card = FCtL(CONFIG), make_card(name=name)
        both.wait()
        try:
            save_new_checkpoint(path, model, card)
        except OutputError:
            return ""
        return name

    with ThreadPoolExecutor(2) as pool:
        told = set(pool.map(write, ("first", "second")))
    assert "" in told
    assert told - {""} == {read_card(path).name}
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_card_whose_entries_are_of_other_kinds_is_one_sentence(tmp_path: Path) -> None:
    model, card = load_checkpoint(builtin_checkpoints()["earth"])
    broken = card.model_copy(update={"provenance": card.provenance | {"founder": 5}})
    path = save_checkpoint(tmp_path / "broken.safetensors", model, broken)
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: .*founder is no table"):
        read_card(path)
