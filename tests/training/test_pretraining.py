"""Pretraining without labels: what is hidden, what is learned, and what such a network may be used for."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
from helpers_training import NETWORK, NO_CONTEXT, ONE_CONTEXT, losses, make, write_scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fctl_napari
from fctl_napari.exceptions import CheckpointError, ConfigError, InputError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.model_card import read_card
from fctl_napari.model.onnx_export import export_onnx
from fctl_napari.model.weight_files import identify
from fctl_napari.training.augment import Batch
from fctl_napari.training.pretraining.reconstruction import hide, reconstruction_loss
from fctl_napari.training.pretraining.unlabelled import listed_images, open_images
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer

SIZE = 64


def pretraining(**changes):
    fields = {"measured": False, "network": ONE_CONTEXT, "data": {"images": ["scene.png"]}}
    return make(**(fields | changes))


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path)


@pytest.fixture(scope="module")
def encoder():
    return make_network(make(network=ONE_CONTEXT).network_config(2)).encoder("tile")


def batch_of(tile, windows, contexts, indices):
    count = len(tile)
    windows = {name: torch.tensor(rows, dtype=torch.float32) for name, rows in windows.items()}
    return Batch(tile, contexts, indices, windows, torch.zeros(count, SIZE, SIZE, dtype=torch.long))


@given(top=st.integers(-40, 100), left=st.integers(-40, 100), scale=st.sampled_from([1.0, 2.0, 3.0, 9.0]))
def test_no_context_shows_the_place_of_the_tile(encoder, top, left, scale):
    """An image that says where each of its px lies: what is left of the context lies outside the tile."""
    side = SIZE * scale
    corner = (-top, -left)
    y = corner[0] + (torch.arange(SIZE) + 0.5) * scale
    x = corner[1] + (torch.arange(SIZE) + 0.5) * scale
    inside = ((y > 0) & (y < SIZE))[:, None] & ((x > 0) & (x < SIZE))[None]
    pixels = torch.where(inside, 200.0, 10.0).expand(1, 3, SIZE, SIZE).clone()
    windows = {"tile": [[0, 0, SIZE, SIZE]], "medium": [[*corner, corner[0] + side, corner[1] + side]]}
    batch = batch_of(torch.full((1, 3, SIZE, SIZE), 50.0), windows, {"medium": pixels}, {"medium": torch.tensor([0])})
    seen, _ = hide(batch, encoder)
    assert not (seen.contexts["medium"] == 200).any()
    outside = ~inside.expand(3, -1, -1)
    kept = (seen.contexts["medium"][0] == 10) & outside
    border = 4 * SIZE  # px that the tile's place covers in part
    assert kept.sum() >= outside.sum() - 3 * border
    assert (batch.contexts["medium"] == pixels).all(), "the batch itself is not changed"


def test_patches_of_a_tile_are_hidden_and_the_rest_is_shown(encoder):
    torch.manual_seed(0)
    tile = torch.rand(8, 3, SIZE, SIZE) * 200 + 30
    batch = batch_of(tile, {"tile": [[0, 0, SIZE, SIZE]] * 8}, {}, {})
    batch.ground_truth[:, :10] = IGNORE
    seen, where = hide(batch, encoder)
    changed = (seen.tile != tile).any(1)
    mean = torch.tensor(encoder.mean)[:, None]
    assert 0.4 < changed.float().mean() < 0.8
    assert (seen.tile.transpose(0, 1)[:, changed] == mean).all()
    assert torch.equal(where[:, 10:], changed[:, 10:])
    assert not where[:, :10].any(), "px without data are not to be reconstructed"


def test_the_loss_is_of_hidden_pixels_alone():
    values, where = torch.randn(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.bool)
    assert reconstruction_loss(values + 1, values, where) == 0
    where[0, :2] = True
    scores = values + torch.where(where, 0.5, 100.0)[:, None]
    assert reconstruction_loss(scores, values, where) == pytest.approx(0.5, abs=1e-5)


def test_it_learns(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 20, (96, 96, 3)) + np.array([200, 60, 20])
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "scene.png")
    Trainer(pretraining(steps=40), tmp_path / "run", data_folder=tmp_path).run()
    values = list(losses(tmp_path / "run").values())
    assert np.mean(values[-8:]) < 0.6 * np.mean(values[:8])


def test_it_resumes_and_gives_its_weights_to_a_training(folder, tmp_path):
    torch.set_num_threads(1)
    config = pretraining(steps=9, save_every=5)
    path = Trainer(config, tmp_path / "whole", data_folder=folder).run()
    card = read_card(path)
    assert card.pretrained
    assert card.classes.names == ("red", "green", "blue")
    assert list(card.provenance["trained_on"]) == ["scene.png"]

    def stop(step, steps, loss):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, tmp_path / "cut", data_folder=folder).run(stop)
    Trainer(config, tmp_path / "cut", data_folder=folder).run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")

    classes = make(measured=False, steps=1, network=ONE_CONTEXT, init_from=str(path))
    child = Trainer(classes, tmp_path / "child", data_folder=folder)
    assert child.started == ("tiny: was pretrained without classes, so all of them start anew.",)
    given_, own = load_checkpoint(path)[0].state_dict(), child.model.state_dict()
    same = {name for name in own if own[name].shape == given_[name].shape and torch.equal(own[name], given_[name])}
    assert {name for name in own if name.startswith(("encoders.", "lcf."))} <= same
    assert not read_card(child.run()).pretrained


def test_other_bands_than_those_of_the_pretraining_are_said(folder, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 4), np.uint8)
    tifffile.imwrite(tmp_path / "four.tif", pixels, photometric="minisblack", planarconfig="contig")
    bands = ["red", "green", "blue", "nir"]
    network = NO_CONTEXT | {"bands": bands}
    data = {"images": [str(tmp_path / "four.tif")], "bands": bands}
    path = Trainer(pretraining(steps=1, network=network, data=data), tmp_path / "run", data_folder=folder).run()
    config = make(measured=False, steps=1, network=NO_CONTEXT, init_from=str(path))
    with pytest.warns(UserWarning, match="left out: nir"):
        child = Trainer(config, tmp_path / "child", data_folder=folder)
    assert child.started[1].endswith("found by their names; taken over: red, green, blue; left out: nir.")
    assert child.started[0].startswith("tiny: was pretrained without classes")


def test_a_network_without_classes_is_not_run(folder, tmp_path):
    path = Trainer(pretraining(steps=1), tmp_path / "run", data_folder=folder).run()
    with pytest.raises(CheckpointError, match="has no classes yet"):
        fctl_napari.segment(folder / "scene.png", path, tmp_path / "out.ome.zarr")
    with pytest.raises(CheckpointError, match="has no classes yet"):
        fctl_napari.explain(folder / "scene.png", (5, 5), path)
    assert not (tmp_path / "out.ome.zarr").exists()
    with pytest.raises(CheckpointError, match="has no classes yet"):
        export_onnx(path, tmp_path / "out.onnx")
    known = fctl_napari.load_checkpoint(path)
    assert "no classes yet" in repr(known)
    assert "red" not in known._repr_html_()
    assert read_card(path).description.startswith("Pretrained on images")
    found = identify(path)
    assert found.what.endswith("no classes yet")
    assert found.use.startswith("init_from in a training config; it cannot segment")


@pytest.mark.parametrize("preset", ["glnet", "unet", "refiner"])
def test_networks_that_see_the_whole_image_are_refused(preset, folder, tmp_path):
    network = {"inference": "global"} if preset == "unet" else {}
    with pytest.raises(ConfigError, match="cannot be pretrained"):
        Trainer(pretraining(preset=preset, network=network), tmp_path / "run", data_folder=folder)


def test_without_data_there_is_nothing_to_reconstruct(tmp_path):
    pixels = np.full((80, 100, 4), 90, np.uint8)
    pixels[:, :40, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    (scene,) = open_images(pretraining().data, tmp_path)
    assert scene.train == ((0, 0, 80, 100),)
    data = scene.ground_truth[0:80, 0:100]
    assert (data[:, :40] == IGNORE).all()
    assert (data[:, 40:] == 0).all()


def test_a_run_goes_on_with_the_images_that_it_began_with(folder, tmp_path):
    (folder / "images").mkdir()
    (folder / "scene.png").rename(folder / "images" / "scene.png")
    config = pretraining(steps=2, data={"images": ["images"]})
    path = train(config, tmp_path / "run", data_folder=folder)
    assert train(config, tmp_path / "run", data_folder=folder) == path
    shutil.copy(folder / "images" / "scene.png", folder / "images" / "other.png")
    with pytest.raises(ConfigError, match="other settings"):
        train(config, tmp_path / "run", data_folder=folder)


def test_images_of_one_name_in_two_folders_are_two(folder, tmp_path):
    for name in "ab":
        (folder / name).mkdir()
        shutil.copy(folder / "scene.png", folder / name / "scene.png")
    scenes = open_images(pretraining(data={"images": listed_images(["a", "b"], folder)}).data)
    assert [scene.name for scene in scenes] == ["a/scene.png", "b/scene.png"]


def test_an_image_at_an_address_is_read(folder, serve):
    tifffile.imwrite(folder / "scene.tif", np.asarray(Image.open(folder / "scene.png")), tile=(64, 64))
    address = f"{serve(folder).url}/scene.tif"
    (scene,) = open_images(pretraining(data={"images": [address]}).data)
    assert scene.name == "scene.tif"
    assert scene.pyramid.shape == (160, 256)


def test_images_without_any_data_are_refused(tmp_path):
    Image.fromarray(np.zeros((80, 100, 4), np.uint8)).save(tmp_path / "scene.png")
    with pytest.raises(InputError, match=r"no training px of scene\.png holds data"):
        Trainer(pretraining(), tmp_path / "run", data_folder=tmp_path)


def test_there_is_no_best_without_ground_truth():
    with pytest.raises(ValueError, match="keep = 'best' needs validation regions"):
        pretraining(keep="best")


def test_settings_of_earlier_runs_are_dumped_as_before():
    assert "images" not in json.loads(make(network=NETWORK).model_dump_json())["data"]
    assert "images" in json.loads(pretraining(network=NO_CONTEXT).model_dump_json())["data"]
