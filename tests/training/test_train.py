import json

import numpy as np
import pytest
import torch
from helpers_training import NETWORK, NO_CONTEXT, ONE_CONTEXT, losses, make, write_scene
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fctl_napari
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.model.checkpoint import load_checkpoint, round_as_stored, save_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import builtin_checkpoints, read_card
from fctl_napari.model.presets import preset
from fctl_napari.training.config import load_train_config
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer
from fctl_napari.training.weight_init import start, start_from


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path)


def test_training_learns_and_writes_a_checkpoint_with_its_card(folder, tmp_path):
    config = make(steps=20, learning_rate=2e-3, loss="cross_entropy", validate_every=10)
    trainer = Trainer(config, tmp_path / "run", data_folder=folder)
    path = trainer.run()
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [e["loss"] for e in entries if "loss" in e]
    assert len(losses) == 20
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert [e["step"] for e in entries if "val" in e] == [10, 20]
    card = read_card(path)
    assert card.classes.names == ("dark", "bright")
    assert 0 <= card.figures["test"]["miou"] <= 1
    assert 0 <= card.figures["test"]["context_reliance"] <= 1
    assert card.provenance["training"]["steps"] == 20
    assert set(card.provenance["data"]) == {"scene.png"}
    model, _ = load_checkpoint(path)
    torch.testing.assert_close(model.state_dict(), trainer.model.state_dict(), rtol=0, atol=0)


def test_a_killed_run_resumes_to_the_same_weights(folder, tmp_path):
    config = make(measured=False, steps=4, save_every=2, network=ONE_CONTEXT)
    torch.set_num_threads(1)
    whole = Trainer(config, tmp_path / "whole", data_folder=folder)
    whole.run()

    class Killed(Exception):
        pass

    def kill(step, steps, loss):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        Trainer(config, tmp_path / "killed", data_folder=folder).run(kill)
    resumed = Trainer(config, tmp_path / "killed", data_folder=folder)
    assert resumed.step == 2
    resumed.run()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_training_that_diverges_ends_in_a_sentence(folder, tmp_path):
    config = make(measured=False, network=NO_CONTEXT, learning_rate=1e9)
    with pytest.raises(ConfigError, match=r"the training diverged; lower learning_rate\.$"):
        train(config, tmp_path / "run", data_folder=folder)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_folder_with_another_run_is_refused(folder, tmp_path):
    fields = {"measured": False, "network": NO_CONTEXT}
    Trainer(make(steps=1, **fields), tmp_path / "run", data_folder=folder).run()
    with pytest.raises(ConfigError, match="other settings"):
        Trainer(make(steps=3, **fields), tmp_path / "run", data_folder=folder)
    (tmp_path / "run" / "state.pt").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is not the state of a run"):
        Trainer(make(steps=1, **fields), tmp_path / "run", data_folder=folder)


def test_how_a_run_is_carried_out_may_change_and_changes_nothing(folder, tmp_path):
    torch.set_num_threads(1)
    fields = {"steps": 4, "accumulate": 2, "save_every": 2, "network": ONE_CONTEXT}
    plain = Trainer(make(**fields), tmp_path / "plain", data_folder=folder)
    plain.run()
    first = Trainer(make(**fields), tmp_path / "run", data_folder=folder)
    with pytest.raises(KeyboardInterrupt):
        first.run(lambda step, steps, loss: (_ for _ in ()).throw(KeyboardInterrupt) if step == 3 else None)
    run = {"read_ahead": 3, "readers": 3, "gradient_checkpointing": True, "tensorboard": True}
    other = Trainer(make(**fields, run=run), tmp_path / "run", data_folder=folder)
    assert other.step == 2
    other.run()
    for (name, a), b in zip(plain.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not (tmp_path / "plain" / "tensorboard").exists()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [3, 4]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(list(losses(tmp_path / "plain").values())[2:])
    assert {"val/miou", "val/iou/bright", "gates/gamma_medium", "figures/test/miou"} <= set(events.Tags()["scalars"])


def test_epochs_count_the_tiles_of_the_training_regions(folder, tmp_path):
    config = make(measured=False, epochs=0.1, batch=2, accumulate=2, network=NO_CONTEXT)
    trainer = Trainer(config, tmp_path / "run", data_folder=folder)
    # tiles of 64 px that overlap by 50 px: eight along the 160 px of each axis, in 0.1 epochs 6.4 of 64
    assert trainer.config.steps == 2
    assert train(config, tmp_path / "run", data_folder=folder) == tmp_path / "run" / "tiny.safetensors"
    assert read_card(tmp_path / "run" / "tiny.safetensors").provenance["training"]["steps"] == 2
    before = (tmp_path / "run" / "state.pt").stat().st_mtime_ns
    train(config, tmp_path / "run", data_folder=folder)  # finished already
    assert (tmp_path / "run" / "state.pt").stat().st_mtime_ns == before


def test_bf16_trains(folder, tmp_path):
    config = make(measured=False, steps=16, learning_rate=2e-3, loss="cross_entropy", precision="bf16")
    Trainer(config, tmp_path / "run", data_folder=folder).run()
    found = list(losses(tmp_path / "run").values())
    assert np.mean(found[-4:]) < 0.8 * np.mean(found[:4])


def test_another_seed_is_another_run_and_the_same_one_is_not(folder, tmp_path):
    torch.set_num_threads(1)
    runs = []
    for number, seed in enumerate((1, 1, 2)):
        config = make(measured=False, steps=1, seed=seed, network=NO_CONTEXT)
        runs.append(train(config, tmp_path / f"{number}", data_folder=folder))
    states = [load_checkpoint(path)[0].state_dict() for path in runs]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not all(torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_frozen_parts_keep_their_weights_and_the_rest_moves(folder, tmp_path):
    config = make(measured=False, steps=2, frozen=["encoders.medium"])
    trainer = Trainer(config, tmp_path / "run", data_folder=folder)
    round_as_stored(trainer.model)  # as it will be in the end
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run()
    after = trainer.model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert not any(k.startswith("encoders.medium") for k in moved)
    assert any(k.startswith("encoders.tile") for k in moved)
    assert not any("running_" in k for k in moved), "batch norm keeps its statistics"


def test_a_frozen_name_that_matches_nothing_is_an_error(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"nothing in the network starts with 'encoder\."):
        Trainer(make(frozen=["encoder."]), tmp_path / "run", data_folder=folder)


def test_contexts_start_from_the_tiles_stream_of_a_baseline(folder, tmp_path):
    config = make(measured=False, steps=1, network=NO_CONTEXT)
    base = train(config, tmp_path / "base", data_folder=folder)
    trained, _ = load_checkpoint(base)
    model = FCtL(preset("fctl_lite", **NETWORK, classes=2))
    start_from(model, base)
    given, own = trained.state_dict(), model.state_dict()
    for key, value in given.items():
        assert torch.equal(own[key], value), key
        if key.startswith("encoders.tile."):
            assert torch.equal(own[key.replace(".tile.", ".large.")], value), key


def test_a_built_in_checkpoint_is_started_from_by_its_name(tmp_path):
    config = load_train_config("aerial", {"init_from": "aerial"})
    model, given = FCtL(config.network_config(2)), load_checkpoint(builtin_checkpoints()["aerial"])[0]
    start(model, config, tmp_path)  # not in there
    own, taken = model.state_dict(), given.state_dict()
    same = {key for key in own if own[key].shape == taken[key].shape}
    assert {key.split(".")[0] for key in own.keys() - same} == {"decoder"}  # what says which class
    assert all(own[key].equal(taken[key]) for key in same)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint after one step."""
    folder = write_scene(tmp_path_factory.mktemp("trained"))
    return train(make(measured=False, steps=1, network=NO_CONTEXT), folder / "run", data_folder=folder)


def test_a_checkpoint_of_another_network_cannot_be_started_from(trained):
    other = FCtL(preset("fctl_lite", tile_size=64, ale_windows=(3,), contexts=NETWORK["contexts"], classes=9))
    with pytest.raises(CheckpointError, match="its encoder is mit_b0"):
        start_from(other, trained)


def test_saving_under_another_networks_card_is_refused(trained, tmp_path):
    other = FCtL(preset("fctl_lite", **NO_CONTEXT, classes=3))
    with pytest.raises(CheckpointError):
        save_checkpoint(tmp_path / "x.safetensors", other, read_card(trained))


@pytest.mark.parametrize("name", ["earth", "aerial"])
def test_the_configs_that_come_along_load_and_take_overrides(name):
    config = load_train_config(name, {"seed": 7, "network.gate_init": 0.25})
    assert config.seed == 7
    assert config.network_config(5).gate_init == 0.25


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "TOML"),
        ('name = "x"\n[data]\nsample = false', "sample = true"),
        ('name = "x"\nstepz = 3\n[data]\nsample = true', "stepz: there is no such setting"),
        ('name = "x"\nsteps = 0\n[data]\nsample = true', "steps"),
    ],
)
def test_a_bad_config_is_one_sentence(tmp_path, text, says):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_train_config(tmp_path / "c.toml")
    assert "\n" not in str(caught.value)


def test_the_best_network_on_buildings_is_the_one_with_their_best_iou(folder, tmp_path, monkeypatch):
    """Not the one with the best mean over buildings and their background."""
    matrices = [[[800, 185], [0, 15]], [[984, 1], [12, 3]], [[940, 45], [3, 12]]]
    found = [Scores.from_confusion(np.array(matrix), ["background", "building"]) for matrix in matrices]
    best = max(found, key=lambda scores: scores.headline[1])
    assert best is not max(found, key=lambda scores: scores.miou)
    order = iter(found)
    monkeypatch.setattr("fctl_napari.training.trainer.score_scenes", lambda *_, **__: next(order))
    trainer = Trainer(make(steps=3, keep="best", network=NO_CONTEXT), tmp_path / "run", data_folder=folder)
    for _ in found:
        trainer._validate()
    assert trainer.best == best.headline[1]


def test_a_card_tells_the_default_merge_from_the_papers(folder, tmp_path):
    """Both are the figures of the maps that a run with that merge makes."""
    trainer = Trainer(make(steps=2, seed=3), tmp_path / "run", data_folder=folder)
    checkpoint = trainer.run()
    card = read_card(checkpoint)
    measured = card.figures["test"]
    found = {"crop": measured, "released": measured["released"]}
    (scene,) = trainer.scenes
    y0, x0, y1, x1 = scene.test[0]
    for merge, figures in found.items():
        predicted = np.asarray(
            fctl_napari.segment(
                folder / "scene.png",
                checkpoint,
                tmp_path / f"{merge}.ome.zarr",
                merge=merge,
                device="cpu",
                precision="fp32",
                engine="torch",
                progress=False,
            )
        )[y0:y1, x0:x1]
        matrix = confusion_matrix(scene.ground_truth[y0:y1, x0:x1], predicted, 2)
        assert figures["merge"] == merge
        assert figures["iou"] == pytest.approx(Scores.from_confusion(matrix, card.classes.names).iou, abs=1e-3)
    apart = abs(measured["miou"] - measured["released"]["miou"])
    assert apart > 4e-3, "figures that are nearly the same would prove nothing"
    assert card.headline()[1]["mIoU with merge released"] == measured["released"]["miou"]
