"""Fine-tuning on the corrections of several images together."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.correcting.regions import CorrectedBox
from fctl_napari.evaluation.trained_on import LearnedRegions
from fctl_napari.exceptions import Cancelled, ConfigError, InputError, OutputError
from fctl_napari.finetuning.candidates import candidate_path, state_path
from fctl_napari.finetuning.finetune import Finetuner, finetune
from fctl_napari.finetuning.lineage import lineage
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.finetuning.run import travelling
from fctl_napari.finetuning.targets import KNOWN, split, split_together
from fctl_napari.finetuning.unfinished import check_waiting, find_cut, find_waiting, remember
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.model_card import read_card

CLASSES = [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]

regions = st.lists(st.lists(st.text("rgb", max_size=3), max_size=8), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def second(corrected, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Another image of another size, with four corrected regions, two of each class."""
    folder = tmp_path_factory.mktemp("second")
    rng = np.random.default_rng(7)
    Image.fromarray(rng.integers(0, 255, (192, 320, 3), np.uint8)).save(folder / "second.png")
    values = np.zeros((192, 320), np.uint8)
    values[10:30, 10:30], values[120:140, 10:30] = 1, 1
    values[10:30, 200:220], values[120:140, 200:220] = 2, 2
    labels = LabelPyramid.create(folder / "second.corrections.ome.zarr", values.shape, classes=CLASSES)
    labels.write(0, 0, values)
    return str(folder / "second.png"), str(labels.path)


def boxes_of(images: list[list[str]]) -> list[list[CorrectedBox]]:
    """Regions far from each other; of each the classes, one letter each."""
    return [[CorrectedBox((0, 100 * i, 20, 100 * i + 20), each) for i, each in enumerate(own)] for own in images]


@given(regions, st.floats(0.05, 0.95), st.integers(0, 99))
def test_every_class_is_learnt_from_some_image(images, share, seed):
    found = boxes_of(images)
    splits, note = split_together(found, share, seed)
    for own, parts in zip(found, splits, strict=True):
        assert sorted([*parts.training, *parts.held_out]) == sorted(own)
    everything = {name for own in found for box in own for name in box.classes}
    assert {name for parts in splits for box in parts.training for name in box.classes} == everything
    named = [box.classes for own in found for box in own if box.classes]
    times = Counter(name for classes in named for name in classes)
    if len(named) > 1 and 1 not in times.values():
        assert any(parts.held_out for parts in splits)
        judged = {name for one in splits for box in one.held_out for name in box.classes}
        assert (note == "") == (judged == everything)
    else:
        assert note
    (alone,), of_one = split_together(found[:1], share, seed)
    parted = split(found[0], share, seed)
    assert (parted.training, parted.held_out, parted.note) == (alone.training, alone.held_out, of_one)


@pytest.mark.parametrize("seed", range(5))
def test_something_is_held_out_of_each_image_that_has_enough(seed):
    splits, note = split_together(boxes_of([list("rrrr"), list("rr"), list("rrr")]), 0.1, seed)
    assert [len(parts.held_out) for parts in splits] == [1, 1, 1]
    splits, _ = split_together(boxes_of([["r"]] * 10), 0.2, seed)
    assert sum(len(parts.held_out) for parts in splits) == 2, "one region in each of ten images is enough to judge"
    assert note == ""


@given(regions, st.floats(0.05, 0.95), st.integers(0, 99), st.data())
def test_what_was_learned_before_is_held_out_only_where_nothing_else_can_be(images, share, seed, data):
    found = boxes_of(images)
    sides = [[data.draw(st.sampled_from(["learned", "held out", "new"])) for _ in own] for own in found]

    def of(side):
        return [
            {tuple(b) for b, s in zip(own, ss, strict=True) if s == side} for own, ss in zip(found, sides, strict=True)
        ]

    learned, earlier, new = of("learned"), of("held out"), of("new")
    known = [LearnedRegions(tuple(a), tuple(b)) for a, b in zip(learned, earlier, strict=True)]
    splits, note = split_together(found, share, seed, known)
    again = [set(parts.held_out) & old for parts, old in zip(splits, learned, strict=True)]
    assert any(again) == (KNOWN in note)
    everything = {name for own in found for box in own for name in box.classes}
    assert {name for parts in splits for box in parts.training for name in box.classes} == everything
    times = Counter(name for own in found for box in own for name in box.classes)
    named_new = [b for own, fresh in zip(found, new, strict=True) for b in own if b.classes and tuple(b) in fresh]
    if any(again):
        held = [b for own, old in zip(found, earlier, strict=True) for b in own if b.classes and tuple(b) in old]
        assert not any(all(times[name] > 1 for name in box.classes) for box in held)
    elif len(named_new) > 1:
        assert any(box in parts.training for box in named_new for parts in splits), "of what is new, some is learned"
    assert any(p.held_out for p in splits) == any(p.held_out for p in split_together(found, share, seed)[0])


def test_what_was_held_out_stays_held_out():
    boxes = boxes_of([list("rb" * 10)])
    first, _ = split_together(boxes, 0.2, 0)
    more = [[*boxes[0], *boxes_of([list("rb" * 13)])[0][20:]]]
    known = [LearnedRegions(tuple(map(tuple, first[0].training)), tuple(map(tuple, first[0].held_out)))]
    (second,), note = split_together(more, 0.2, 1, known)
    assert set(first[0].held_out) < set(second.held_out)
    assert len(second.held_out) == len(first[0].held_out) + 1
    assert note == ""


def test_small_rounds_hold_out_their_share_in_the_end():
    everything = boxes_of([list("rb" * 15)])[0]
    known = LearnedRegions()
    for count in range(6, 31, 2):
        (sides,), _ = split_together([everything[:count]], 0.2, 0, [known])
        new = {tuple(box) for box in everything[count - 2 : count]}
        assert new & {tuple(box) for box in sides.training}, "of what is new, some is learned"
        known = LearnedRegions(tuple(map(tuple, sides.training)), tuple(map(tuple, sides.held_out)))
    assert len(known.held_out) == 6


def test_tiles_are_of_all_images(request_for, second):
    tuner = Finetuner(request_for(further=(second,)))
    sets = tuner.sets
    assert [image.name for image in sets.images] == ["new", "second", "scene"]
    for tiles in (sets.targets, sets.held_out, sets.check_scene):
        assert {tile.source for tile in tiles} == {0, 1}
    assert {tile.source for tile in sets.check_training} == {2}
    assert all(sets.scene_of(tile) is sets.scenes[0] for tile in sets.check_training)
    for tile, values in sets.held_out.items():
        hidden = sets.splits[tile.source].held_out
        y0, x0, y1, x1 = tile.window
        assert any(y0 < box[2] and box[0] < y1 and x0 < box[3] and box[1] < x1 for box in hidden)
        learnt = sets.targets.get(tile)
        assert learnt is None or not ((values > 0) & (learnt > 0) & (learnt < 255)).any()


def test_what_is_learnt_is_known_by_all_images(request_for, second, tmp_path):
    """The hash of one image is as it was; each image and its corrections count in that of several."""
    alone, both = Finetuner(request_for()), Finetuner(request_for(further=(second,)))
    digest = hashlib.sha256(alone._inputs.images[0]["fingerprint"].encode())
    for side in (alone.sets.targets, alone.sets.held_out):
        for tile in sorted(side, key=lambda tile: tile.window):
            digest.update(repr(tile.window).encode() + side[tile].tobytes())
    assert alone.data_hash == digest.hexdigest() != both.data_hash
    moved = shutil.copytree(second[1], tmp_path / "c.ome.zarr")
    assert Finetuner(request_for(further=((second[0], str(moved)),)))._key == both._key
    labels = LabelPyramid.open(moved, mode="r+")
    labels.write(60, 60, np.ones((20, 20), np.uint8))
    assert Finetuner(request_for(further=((second[0], str(moved)),)))._key != both._key
    reloaded = FinetuneRequest(**request_for(further=(second,)).model_dump(mode="json"))
    assert reloaded == request_for(further=(second,))
    assert travelling(reloaded).further == (second,)


def test_a_run_over_two_images_resumes_and_names_both(request_for, second, corrected):
    request = request_for(further=(second,))
    seen = []
    with pytest.raises(Cancelled):
        finetune(request, watch=seen.append, cancelled=lambda: bool(seen) and seen[-1].phase == "training")
    remember(request)
    assert state_path(request.out).is_file()
    for image, _ in request.pairs:
        (cut,) = find_cut([Path(request.out).parent], image)
        assert (cut.request, cut.saved) == (request, True)
    assert Finetuner(request).learner.step > 0
    result = finetune(request)
    if not result.kept:
        fingerprints = [image["fingerprint"] for image in read_card(candidate_path(request.out)).learned_images]
        for fingerprint in fingerprints:
            assert find_waiting([Path(request.out).parent], fingerprint, ["x.png"])
        check_waiting(request.out, *fingerprints)
        with pytest.raises(OutputError, match=r"learned from another image \(second\)"):
            check_waiting(request.out, fingerprints[0])
        result = finetune(request, keep_anyway=True)
    card = read_card(request.out)
    assert [image["name"] for image in card.learned_images] == ["new", "second"]
    assert result.card.after["held_out"].tiles == len(Finetuner(request_for("x", further=(second,))).sets.held_out)
    (eldest,) = [kin for kin in lineage(request.out) if kin.children]
    assert "; learned from new, second" in eldest.children[0].story()


def test_what_does_not_go_together_is_one_sentence(request_for, second, corrected, tmp_path):
    again = tmp_path / "again.png"
    shutil.copy(corrected.folder / "new.png", again)
    with pytest.raises(InputError, match=r"again\.png: is the same image as .*new\.png; name it once"):
        Finetuner(request_for(further=((str(again), request_for().corrections),)))
    with pytest.raises(InputError, match=r"second\.corrections.*: is 192 x 320 px where its image is 256 x 512"):
        Finetuner(request_for(image=second[0], corrections=second[1], further=((request_for().image, second[1]),)))
    with pytest.raises(ConfigError, match="a ground truth is of one image"):
        finetune_request(**request_for(further=(second,)).model_dump(exclude={"truth"}), truth="t.png")
