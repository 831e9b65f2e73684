from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.domain import out_of_domain
from fctl_napari.evaluation.trained_on import trained_on
from fctl_napari.exceptions import Cancelled, CheckpointError, ConfigError, InputError, OutputError
from fctl_napari.finetuning.candidates import candidate_path, keep, roll_back, state_path
from fctl_napari.finetuning.correction_sources import open_corrections
from fctl_napari.finetuning.finetune import Finetuner, finetune
from fctl_napari.finetuning.judging.evidence import ClassProbability
from fctl_napari.finetuning.judging.gate import BeforeAfter, Figures
from fctl_napari.finetuning.request import HEADS, PARTS, finetune_request
from fctl_napari.finetuning.steps.schedule import schedule
from fctl_napari.finetuning.targets import only
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.polygon_files import PX_COORDINATES
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import checkpoint_hash, read_card


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights_of(path):
    return load_checkpoint(path)[0].state_dict()


def same(first, second):
    return all(torch.equal(a, second[name]) for name, a in first.items())


@pytest.fixture(scope="module")
def whole(corrected, tmp_path_factory):
    """The weights of a short run in one go."""
    torch.set_num_threads(1)
    return weights_of(finetune(corrected.request(tmp_path_factory.mktemp("whole") / "whole.safetensors")).candidate)


def test_corrections_are_learnt_and_the_gate_lets_pass(corrected, request_for):
    request = request_for(
        steps=14,
        check_every=7,
        save_every=14,
        near=0.1,
        replay=1.0,
        parts=(*HEADS, "tile_encoder"),
        truth=str(corrected.folder / "new_truth.png"),
    )
    progress = []
    result = finetune(request, watch=progress.append)
    before, after = result.card.miou("held_out")
    assert after > before + 0.3
    assert result.card.miou("truth")[1] > result.card.miou("truth")[0] + 0.1
    assert result.gate_result.keep, result.gate_result.reasons
    assert result.kept
    assert str(result.candidate) == request.out
    card = read_card(result.candidate)
    assert card.provenance["parent"] == {"name": "parent", "hash": checkpoint_hash(corrected.parent)}
    assert card.provenance["training"] == read_card(corrected.parent).provenance["training"]
    assert card.provenance["finetuning"]["settings"]["image"] == "new.png"
    assert card.figures["miou"] == result.card.miou("truth")[1]
    assert card.figures["finetuning"] == result.card.to_json()
    parent, new = weights_of(corrected.parent), weights_of(request.out)
    frozen = [name for name in new if name.startswith(("encoders", "necks")) and ".tile." not in name]
    assert frozen
    assert all(torch.equal(parent[name], new[name]) for name in frozen)
    phases = [n.phase for n in progress]
    assert phases == sorted(phases, key=["preparing", "training", "measuring"].index)
    trained = [n for n in progress if n.phase == "training"]
    assert [n.done for n in trained] == list(range(1, len(trained) + 1))
    assert trained[-1].before["scene"].agreement == 1
    assert set(trained[0].terms) == {"corrected", "near", "replay"}
    assert trained[0].terms["replay"] < 0.01, "the first step starts at the parent"
    assert not state_path(request.out).exists()
    assert [p.name for p in result.candidate.parent.iterdir()] == ["new.safetensors"]


def test_held_out_corrections_are_not_learnt_from(corrected, request_for, tmp_path):
    """What was painted in held-out regions may be anything: the weights are the same."""
    tuner = Finetuner(request_for(learning_rate=1e-2))
    held_out = tuner.sets.splits[0].held_out
    assert held_out

    painted = open_corrections(tuner.request.corrections, tuner.sets.images[0], tuner.card)

    class Flipped:
        shape = painted.shape
        boxes = staticmethod(painted.boxes)

        def read(self, window):
            values = painted.read(window)
            hidden = only(values, window, held_out)
            return np.where((hidden == 1) | (hidden == 2), 3 - hidden, values)

    other = Finetuner(request_for(learning_rate=1e-2), Flipped())
    assert other.data_hash != tuner.data_hash
    for run in (tuner, other):
        list(run._prepare())
        for _ in range(3):
            run.learner.take_step()
    assert same(tuner.model.state_dict(), other.model.state_dict())


def test_not_sure_pixels_and_replay_tiles_say_nothing_of_classes(request_for, corrected):
    tuner = Finetuner(request_for(held_out=0.0))
    assert any((target_of == 255).any() for target_of in tuner.sets.targets.values())
    painted = {tuple(t.window) for t in tuner.sets.targets}
    assert not painted & {t.window for t in tuner.sets.replay if t.source == 0}
    assert {t.source for t in tuner.sets.replay} == {0, 1}
    assert not set(tuner.sets.replay) & {*tuner.sets.check_scene, *tuner.sets.check_training}
    for tile in [*tuner.sets.replay, *tuner.sets.check_scene]:
        if tile.source == 0:
            y0, x0, y1, x1 = tile.window
            assert not corrected.corrections[y0:y1, x0:x1].any()


def test_a_stopped_run_resumes_to_the_same_bits(request_for, whole):
    request = request_for()
    asked = []

    def stop_at_step_three(progress):
        if progress.phase == "training" and progress.done == 3:
            asked.append(progress)

    with pytest.raises(Cancelled, match="after 3 steps"):
        finetune(request, watch=stop_at_step_three, cancelled=lambda: bool(asked))
    assert not os.path.exists(request.out)
    steps = []
    finetune(request, keep_anyway=True, watch=lambda n: steps.append(n.done) if n.phase == "training" else None)
    assert steps == [4, 5, 6]
    assert same(whole, weights_of(request.out))


@pytest.mark.parametrize("phase", ["preparing", "measuring"])
def test_a_run_stopped_outside_its_steps_resumes_too(request_for, phase, whole):
    progress = []
    with pytest.raises(Cancelled):
        finetune(request_for(), watch=progress.append, cancelled=lambda: bool(progress) and progress[-1].phase == phase)
    steps = []
    finetune(request_for(), keep_anyway=True, watch=lambda n: steps.append(n.done) if n.phase == "training" else None)
    assert steps == ([] if phase == "measuring" else [1, 2, 3, 4, 5, 6])
    assert same(whole, weights_of(request_for().out))


@pytest.mark.parametrize("spent", [0.0, 0.5, 2.0])
def test_the_rate_rises_then_falls_to_nothing_with_steps_or_time(spent):
    rates = [schedule(step, 40, spent) for step in range(41)]
    assert rates[40] == 0
    assert rates[0] < rates[3] or spent == 2
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert max(rates) <= (1 - min(spent, 1)) ** 0.9


CHILD = """
import sys, torch
torch.set_num_threads(1)
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.request import FinetuneRequest
request = FinetuneRequest.model_validate_json(sys.argv[1])
finetune(request, keep_anyway=True, watch=lambda n: print(n.phase, n.done, flush=True))
"""


def test_a_killed_run_resumes_to_the_same_bits(request_for, whole, tmp_path):
    request = request_for()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, request.model_dump_json()], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line == "training 5\n":
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    assert state_path(request.out).exists()
    steps = []
    finetune(request, keep_anyway=True, watch=lambda n: steps.append(n.done) if n.phase == "training" else None)
    assert steps in ([5, 6], [6]), "step 4 was saved; step 6 too where the signal came late"
    assert same(whole, weights_of(request.out))
    assert not list(tmp_path.glob(".*")), "nothing of the killed run is left"


def test_a_state_of_other_settings_or_corrections_is_not_taken_up(request_for):
    request = request_for()
    stop = []
    with pytest.raises(Cancelled):
        finetune(request, watch=lambda n: stop.append(1) if n.done == 2 else None, cancelled=lambda: len(stop) > 1)
    assert Finetuner(request).learner.step > 0
    assert Finetuner(request.model_copy(update={"near": 0.7})).learner.step == 0
    assert Finetuner(request.model_copy(update={"cache_megabytes": 0})).learner.step > 0
    state_path(request.out).write_bytes(b"half a file")
    assert Finetuner(request).learner.step == 0


def test_paused_runs_wait(request_for):
    answers = iter([True, True, False])
    asked = []
    finetune(request_for(steps=1), paused=lambda: asked.append(1) or next(answers, False))
    assert len(asked) > 3


def test_a_candidate_that_is_held_back_waits_and_nothing_is_overwritten(request_for, corrected):
    request = request_for(steps=1, learning_rate=1e-9)
    result = finetune(request)
    assert not result.gate_result.keep
    assert result.candidate == candidate_path(request.out)
    assert not os.path.exists(request.out)
    assert keep(request.out).is_file()
    assert not candidate_path(request.out).exists()
    with pytest.raises(OutputError, match="not overwritten"):
        finetune(request)
    with pytest.raises(CheckpointError, match="no network that waits"):
        keep(request.out.replace("new", "other"))
    shutil.copy(request.out, candidate_path(request.out))
    held = checkpoint_hash(request.out)
    with pytest.raises(OutputError, match="not overwritten"):
        keep(request.out)
    assert checkpoint_hash(request.out) == held
    roll_back(request.out)
    assert not candidate_path(request.out).exists()


def figures(right, agreement):
    """The probability of the painted class on held-out corrections, in %, and agreement with the parent elsewhere."""
    painted = ClassProbability()
    painted.add(0, (0, 0), np.ones((32, 96), np.uint8), np.full((2, 32, 96), right / 100, np.float32))
    away = Figures(None, agreement, 1)
    return {"held_out": Figures(None, None, 1, painted), "scene": away, "training": away}


@pytest.mark.parametrize(
    ("measured", "taken"),
    [
        ([(70, 0.99), (60, 0.98), (51, 0.95)], 3),  # all pass: the last, be it better or not
        ([(70, 0.95), (60, 0.95), (40, 0.99)], 2),  # the last does not pass
        ([(70, 0.80), (55, 0.95), (90, 0.50)], 2),
        ([(40, 0.99), (45, 0.98), (30, 0.99)], 2),  # none passes: the best
    ],
)
def test_the_last_weights_that_the_gate_lets_pass_are_taken(request_for, measured, taken):
    tuner = Finetuner(request_for())
    tuner.before = figures(50, 1.0)
    for tuner.learner.step, (right, agreement) in enumerate(measured, 1):
        for parameter in tuner.network.learning.values():
            parameter.data.fill_(tuner.learner.step)
        tuner.selection.consider(
            BeforeAfter(tuner.before, figures(right, agreement)), tuner.learner.step, tuner.network.learning
        )
    assert tuner.selection.step == taken
    assert all(bool((w == taken).all()) for w in tuner.selection.weights.values())


def test_ruin_ends_early_and_the_gate_stops_it(request_for):
    """A rate that ruins everything: measurements do not get better, the run ends early, and the gate shuts."""
    progress = []
    result = finetune(request_for(learning_rate=3.0, steps=30, patience=2, pull=0.0), watch=progress.append)
    trained = [n for n in progress if n.phase == "training"]
    ranks = {
        n.done: BeforeAfter(n.before, n.now).gain.after + min(n.now[part].agreement for part in ("scene", "training"))
        for n in trained
        if n.measured_at == n.done
    }
    assert trained[-1].done < 30
    assert trained[-1].done == result.steps + 4, "two measurements without a better one end it"
    assert max(ranks, key=ranks.__getitem__) == result.steps
    assert not result.gate_result.keep
    assert result.candidate == candidate_path(result.candidate.with_name("new.safetensors"))


def test_everything_may_learn_and_distillation_may_be_left_out(request_for, corrected):
    request = request_for(parts=PARTS, near=0.0, replay=0.0, replay_share=0.0, held_out=0.0, steps=2)
    result = finetune(request, keep_anyway=True)
    assert "Nothing is held out" in result.notes[0]
    assert result.steps == 2
    assert not result.gate_result.keep
    parent, new = weights_of(corrected.parent), weights_of(request.out)
    moved = {name.split(".")[0] for name in new if not torch.equal(parent[name], new[name])}
    assert moved == {"encoders", "necks", "lcf", "ale", "decoder"}


def test_a_grandchild_still_knows_the_training_scenes(request_for, tmp_path, corrected):
    first = finetune(request_for(steps=1), keep_anyway=True).candidate
    again = corrected.request(tmp_path / "again.safetensors", checkpoint=str(first), steps=1)
    tuner = Finetuner(again)
    assert [s.name for s in tuner.sets.scenes] == ["scene.png"]
    assert tuner.sets.notes == []


def test_what_the_parent_learned_is_not_held_out_from_its_child(request_for, tmp_path, corrected):
    """The parent has fitted it: its child would have to be better still, where a real gain lies elsewhere."""
    learned: set[tuple[int, ...]] = set()
    parent = corrected.parent
    for number in range(3):
        request = corrected.request(tmp_path / f"{number}.safetensors", checkpoint=str(parent), steps=1, seed=number)
        sides = Finetuner(request).sets.splits[0]
        assert sides.held_out
        assert not learned & set(sides.held_out)
        learned |= set(sides.training)
        parent = finetune(request, keep_anyway=True).candidate
        (own,) = (one for one in read_card(parent).domain.images if one.corrected)
        assert set(own.regions) == learned


def test_corrections_as_they_are_painted_are_the_same_as_labels(request_for, corrected, tmp_path):
    tuner = Finetuner(request_for())
    image = tuner.sets.images[0]
    location = tmp_path / "painted.ome.zarr"
    with Corrections.create(location, image, tuner.card.classes) as painted:
        painted.write(0, 0, corrected.corrections, author="ann")
    other = Finetuner(request_for(corrections=str(location)))
    assert (other.sets.splits, other.data_hash) == (tuner.sets.splits, tuner.data_hash)
    Image.fromarray(np.zeros((*painted.shape, 3), np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="of another image"):
        Finetuner(request_for(corrections=str(location), image=str(tmp_path / "other.png")))


def test_training_scenes_that_are_not_at_hand_are_said(request_for, tmp_path, corrected):
    tuner = Finetuner(request_for(data_folder=None))
    assert "not at hand" in tuner.sets.notes[0]
    assert {t.source for t in tuner.sets.replay} == {0}
    for name in ("scene.png", "truth.png"):
        shutil.copy(corrected.folder / name, tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "truth.png")).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / "truth.png")
    assert "have changed" in Finetuner(request_for(data_folder=str(tmp_path))).sets.notes[0]


@pytest.mark.parametrize(
    ("values", "classes", "says"),
    [
        (np.zeros((256, 512)), None, "no pixel was given a class"),
        (np.full((256, 512), 255), None, "no pixel was given a class"),
        (np.full((256, 512), 3), None, "holds class 2, the checkpoint's classes end at 1"),
        (np.ones((256, 500)), None, "is 256 x 500 px where its image is 256 x 512"),
        (np.ones((256, 512)), ("other", "dark"), "no pixel .* Painted, but no class of parent: other"),
        (np.full((256, 512), 3), ("bright", "dark"), "holds the value 3, which none of its classes"),
    ],
)
def test_corrections_that_do_not_fit_are_one_sentence(request_for, tmp_path, values, classes, says):
    table = [{"name": n, "color": (0, 0, 0)} for n in classes or ()]
    labels = LabelPyramid.create(tmp_path / "c.ome.zarr", values.shape, classes=table)
    labels.write(0, 0, values.astype(np.uint8))
    with pytest.raises(InputError, match=says) as caught:
        Finetuner(request_for(corrections=str(tmp_path / "c.ome.zarr")))
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_fit_are_one_sentence():
    with pytest.raises(ConfigError, match="no part 'head'"):
        finetune_request(image="i", checkpoint="c", corrections="k", out="o", parts=("head",))
    with pytest.raises(ConfigError, match="steps"):
        finetune_request(image="i", checkpoint="c", corrections="k", out="o", steps=0)
    assert finetune_request(image="i", checkpoint="c", corrections="k", out="o").parts == HEADS


def test_the_ground_truth_counts_by_the_names_of_its_classes(corrected, request_for, tmp_path):
    given = np.asarray(Image.open(corrected.folder / "new_truth.png"))
    classes = [{"name": name, "color": (9, 9, 9)} for name in ("night", "bright", "dark")]
    labels = LabelPyramid.create(tmp_path / "t.ome.zarr", given.shape, classes=classes)
    labels.write(0, 0, np.array([3, 2], np.uint8)[given])
    labels.update_levels((0, 0, *given.shape))
    figures = []
    for ground_truth in (corrected.folder / "new_truth.png", tmp_path / "t.ome.zarr"):
        tuner = Finetuner(request_for(truth=str(ground_truth)))
        tile = next(iter(tuner.measure._ground_truth_tiles))
        figures.append(tuner.measure._scene_ground_truth(tile))
    assert np.array_equal(*figures)
    polygons = [
        {"type": "Feature", "geometry": geometry, "properties": {"class": ("dark", "bright")[int(value)]}}
        for geometry, value in pytest.importorskip("rasterio.features").shapes(given)
    ]
    document = {"type": "FeatureCollection", "coordinates": PX_COORDINATES, "features": polygons}
    (tmp_path / "t.geojson").write_text(json.dumps(document))
    by_polygons = Finetuner(request_for(truth=str(tmp_path / "t.geojson"))).measure
    assert np.array_equal(by_polygons._scene_ground_truth(next(iter(by_polygons._ground_truth_tiles))), figures[0])
    assert tuner.sets.notes[-1].endswith("t.ome.zarr: its night count as no class.")
    stray = given.copy()
    stray[:] += 1
    Image.fromarray(stray).save(tmp_path / "stray.png")
    tuner = Finetuner(request_for(truth=str(tmp_path / "stray.png")))
    with pytest.raises(InputError, match=r"stray\.png: holds class 2, the checkpoint's classes end at 1"):
        _ = [tuner.measure._scene_ground_truth(tile) for tile in tuner.measure._ground_truth_tiles]


def test_the_card_knows_what_the_parent_was_trained_on_and_the_image_too(request_for, corrected, tmp_path):
    parent = read_card(corrected.parent)
    first = finetune(request_for(steps=1), keep_anyway=True).candidate
    second = finetune(corrected.request(tmp_path / "2.safetensors", checkpoint=str(first), steps=1), keep_anyway=True)
    image = open_image(corrected.folder / "new.png")
    for card in map(read_card, (first, second.candidate)):
        assert [(one.name, one.corrected) for one in card.domain.images] == [("scene.png", False), ("new.png", True)]
        assert card.domain.images[0] == parent.domain.images[0]
        assert trained_on(card, image, image.shape).words("it").startswith("it was fine-tuned on corrections of this")
        assert out_of_domain(image, card) is None
        assert card.domain.confidence == parent.domain.confidence
    assert "colors that they lack" in out_of_domain(image, parent), "its left half is tinted"
    assert trained_on(parent, image, image.shape) is None
