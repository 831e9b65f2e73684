"""Light heads: learned from strokes, with classes of their own, and a checkpoint like any other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from finetuning.conftest import Corrected
from PIL import Image

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.light_head.fit import LabelledCells, calibrate, fit_head
from fctl_napari.finetuning.light_head.head import fit_light_head
from fctl_napari.finetuning.light_head.importance import context_importance
from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.finetuning.light_network import full_network
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.config import make_config
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.light_decoder import LightDecoder
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.segmentation.inference import light_predictor
from fctl_napari.segmentation.inference.light_predictor import LightPredictor, take_offered
from fctl_napari.segmentation.inference.predictor import Predictor

COLORS = {"shade": (0, 0, 9), "sun": (9, 9, 0), "sea": (0, 9, 9)}
CLASSES = [{"name": name, "color": color} for name, color in COLORS.items()]


@pytest.fixture
def strokes(corrected: Corrected, tmp_path: Path) -> Path:
    """Strokes of two of three classes that the parent does not have, some apart from others."""
    ground_truth = corrected.ground_truth
    path = tmp_path / "strokes.ome.zarr"
    labels = LabelPyramid.create(path, ground_truth.shape, classes=CLASSES)
    painted = np.zeros_like(ground_truth)
    for y in range(8, ground_truth.shape[0], 96):
        for x in range(8, ground_truth.shape[1], 80):
            painted[y : y + 12, x : x + 12] = ground_truth[y : y + 12, x : x + 12] + 1
    labels.write(0, 0, painted.astype(np.uint8))
    return path


def request_for(corrected: Corrected, strokes: Path, out: Path, **fields: object) -> HeadRequest:
    usual = {"image": str(corrected.folder / "new.png"), "checkpoint": str(corrected.parent)}
    usual |= {"corrections": str(strokes), "out": str(out), "precision": "fp32", "device": "cpu"}
    return HeadRequest(**(usual | fields))


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_head_learns_classes_that_its_parent_does_not_have(
    corrected: Corrected, strokes: Path, tmp_path: Path, decoder: str
) -> None:
    out = tmp_path / "head.safetensors"
    result = fit_light_head(request_for(corrected, strokes, out, decoder=decoder))
    card = read_card(out)
    assert card.classes.names == ("shade", "sun", "sea")
    assert card.provenance["parent"]["hash"] == checkpoint_hash(corrected.parent)
    assert any("sea" in note for note in result.notes)
    assert str(tmp_path) not in json.dumps(card.provenance)
    model, _ = load_checkpoint(out)
    image = open_image(corrected.folder / "new.png")
    predictor = Predictor(model, precision="fp32", device="cpu")
    (_, labels, _), *_ = predictor.classify(image, [(0.0, 0.0, 64.0, 64.0)])
    predictor.close()
    assert set(np.unique(labels)) <= {1, 2}
    assert (labels == corrected.ground_truth[:64, :64] + 1).mean() > 0.9


def test_kept_features_give_the_same_classes(corrected: Corrected, strokes: Path, tmp_path: Path) -> None:
    out = tmp_path / "head.safetensors"
    fit_light_head(request_for(corrected, strokes, out))
    image = open_image(corrected.folder / "new.png")
    windows = [(0.0, 0.0, 64.0, 64.0), (32.0, 32.0, 96.0, 96.0), (64.0, 0.0, 128.0, 64.0)]

    def logits(kind: type[Predictor]) -> list[np.ndarray]:
        predictor = kind(load_checkpoint(out)[0], precision="fp32", device="cpu")
        found = [values for _, values in predictor.predict(image, windows)]
        predictor.close()
        return found

    plain, first = logits(Predictor), logits(LightPredictor)
    held = light_predictor._kept.held
    again = logits(LightPredictor)
    assert light_predictor._kept.held == held > 0
    for a, b, c in zip(plain, first, again, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(b, c)


def test_same_request_gives_the_same_head(corrected: Corrected, strokes: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("a/head.safetensors", "b/head.safetensors"))
    for out in (first, second):
        out.parent.mkdir()
        fit_light_head(request_for(corrected, strokes, out))
    assert first.read_bytes() == second.read_bytes()


def test_next_head_computes_no_features_anew_and_its_network_is_at_hand(
    corrected: Corrected, strokes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "head.safetensors"
    request = request_for(corrected, strokes, out, replace=True)
    fit_light_head(request)
    first, held = out.read_bytes(), light_predictor._kept.held
    again = fit_light_head(request)
    assert light_predictor._kept.held == held > 0
    assert out.read_bytes() == first
    assert again.cells > 0
    settings = {"device": "cpu", "precision": "fp32", "exact_contexts": False}
    offered = take_offered(checkpoint_hash(out), **settings)
    assert offered is not None
    assert take_offered(checkpoint_hash(out), **settings) is None
    image, windows = open_image(corrected.folder / "new.png"), [(0.0, 0.0, 64.0, 64.0), (32.0, 32.0, 96.0, 96.0)]
    loaded = LightPredictor(load_checkpoint(out)[0], precision="fp32", device="cpu")
    for (_, a), (_, b) in zip(offered.predict(image, windows), loaded.predict(image, windows), strict=True):
        assert np.array_equal(a, b)
    assert light_predictor._kept.held == held, "the tiles of the head are those of its runs"
    loaded.close()
    offered.close()


def test_head_of_other_classes_or_an_image_written_anew_begins_anew(
    corrected: Corrected, strokes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "head.safetensors"
    fit_light_head(request_for(corrected, strokes, out))
    labels = LabelPyramid.create(tmp_path / "two.ome.zarr", corrected.ground_truth.shape, classes=CLASSES[:2])
    labels.write(0, 0, np.repeat(np.uint8([[1], [2]]), 40, axis=1).repeat(20, axis=0))
    fit_light_head(request_for(corrected, tmp_path / "two.ome.zarr", out, replace=True))
    assert read_card(out).classes.names == ("shade", "sun")
    path = Path(shutil.copy(corrected.folder / "new.png", tmp_path / "new.png"))
    request = request_for(corrected, strokes, out, replace=True, image=str(path))
    fit_light_head(request)
    before = light_predictor._kept.held
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    fit_light_head(request)
    assert light_predictor._kept.held > before


def test_head_is_only_replaced_where_that_was_asked_for(corrected: Corrected, strokes: Path, tmp_path: Path) -> None:
    out = tmp_path / "head.safetensors"
    fit_light_head(request_for(corrected, strokes, out))
    with pytest.raises(OutputError, match="exists already"):
        fit_light_head(request_for(corrected, strokes, out))
    fit_light_head(request_for(corrected, strokes, out, replace=True))
    other = tmp_path / "parent.safetensors"
    other.write_bytes(corrected.parent.read_bytes())
    with pytest.raises(OutputError, match="exists already"):
        fit_light_head(request_for(corrected, strokes, other, replace=True))


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_head_grows_into_a_full_network(corrected: Corrected, strokes: Path, tmp_path: Path, decoder: str) -> None:
    head, out = tmp_path / "head.safetensors", tmp_path / "full.safetensors"
    fit_light_head(request_for(corrected, strokes, head, decoder=decoder))
    request = corrected.request(out, checkpoint=str(head), corrections=str(strokes))
    result = finetune(request, keep_anyway=True)
    card = read_card(out)
    assert not card.config.light
    assert card.classes.names == ("shade", "sun", "sea")
    assert card.provenance["parent"]["hash"] == checkpoint_hash(head)
    assert "light head head" in card.description
    assert set(result.card.before) == set(result.card.after)
    assert result.card.before["held_out"].probability.mean() > 0.8  # the gate's parent is the head


def test_full_network_starts_with_the_scores_of_the_tile() -> None:
    torch.manual_seed(0)
    contexts = [{"name": "local"}, {"name": "medium", "scale": 2.0}]
    config = make_config(
        encoder="efficientnet_lite0",
        tile_size=128,
        classes=3,
        width=16,
        contexts=contexts,
        ale="none",
        decoder="linear",
    )
    head = make_network(config).eval()
    assert isinstance(head, FCtL)
    assert isinstance(head.decoder, LightDecoder)
    full = full_network(head)
    tile, around = torch.rand(2, 1, 3, 128, 128) * 255
    windows = {"tile": torch.tensor([[64.0, 64, 192, 192]]), "medium": torch.tensor([[0.0, 0, 256, 256]])}
    medium = head.decoder.project["medium"]
    medium.weight.data.zero_()
    medium.bias.data.zero_()
    with torch.no_grad():
        expected, found = (model(tile, {"medium": around}, windows) for model in (head, full))
    inner = (slice(None), slice(None), slice(32, 96), slice(32, 96))  # at the rim they interpolate otherwise
    assert torch.allclose(found[inner], expected[inner], atol=0.02 * float(expected.abs().max()))


def test_one_class_is_too_few(corrected: Corrected, tmp_path: Path) -> None:
    path = tmp_path / "one.ome.zarr"
    labels = LabelPyramid.create(path, corrected.ground_truth.shape, classes=CLASSES)
    labels.write(0, 0, np.full((20, 20), 2, np.uint8))
    with pytest.raises(InputError, match="second"):
        fit_light_head(request_for(corrected, path, tmp_path / "head.safetensors"))
    assert not (tmp_path / "head.safetensors").exists()


def test_fit_finds_a_linear_rule_and_how_sure_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 5, generator=generator)
    own = (features[:, 0] * 2 - features[:, 3] + torch.randn(600, generator=generator) > 0).long()
    pixels = torch.nn.functional.one_hot(own, 3).float() * 4
    first, second = LabelledCells(features[:300], pixels[:300]), LabelledCells(features[300:], pixels[300:])
    head = fit_head(first, torch.ones(5), False, generator)
    calibrate(head, second)
    scores = head.scores(second.features)
    assert float((scores.argmax(1) == own[300:]).float().mean()) > 0.8
    assert not (scores.argmax(1) == 2).any()
    confidence, right = scores.softmax(1).max(1).values, scores.argmax(1) == own[300:]
    assert abs(float(confidence.mean()) - float(right.float().mean())) < 0.06


def test_children_say_which_folder_and_license_their_weights_came_from(
    corrected: Corrected, strokes: Path, tmp_path: Path
) -> None:
    origin = {"folder": "rivers", "files": {"model.safetensors": "abc"}, "license": "cc-by-4.0"}
    model, card = load_checkpoint(corrected.parent)
    parent = save_checkpoint(
        tmp_path / "parent.safetensors",
        model,
        card.model_copy(update={"provenance": card.provenance | {"imported": origin}}),
    )
    head = tmp_path / "head.safetensors"
    fit_light_head(request_for(corrected, strokes, head, checkpoint=str(parent)))
    assert read_card(head).provenance["imported"] == origin
    tuned = tmp_path / "tuned.safetensors"
    done = finetune(corrected.request(tuned, checkpoint=str(parent), steps=1), keep_anyway=True)
    assert read_card(done.candidate).provenance["imported"] == origin


def test_importance_is_that_of_the_features_that_decide() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 6, generator=generator)
    own = (features[:, 3] > 0).long()
    cells = LabelledCells(features, torch.nn.functional.one_hot(own, 2).float() * 4)
    head = fit_head(cells, torch.ones(6), False, generator)
    widths = {"8": 2, "medium": 2, "large": 2}
    lost = context_importance(head, cells, widths, ("medium", "large"), generator)
    assert list(lost) == ["medium", "large"]
    assert 0.3 < lost["medium"] < 0.6
    assert abs(lost["large"]) < 0.05
