from __future__ import annotations

import pytest

from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.finetuning.candidates import candidate_path, request_path, roll_back, state_path, traces
from fctl_napari.finetuning.request import finetune_request
from fctl_napari.finetuning.unfinished import check_waiting, find_cut, find_waiting, open_waiting, remember
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def request_of(tmp_path):
    """``request_of(name)``: a request whose checkpoint stands in the test's folder."""

    def make(name="new"):
        return finetune_request(
            image="/scene.png",
            checkpoint="earth",
            corrections="/c.ome.zarr",
            out=str(tmp_path / f"{name}.safetensors"),
            parts=("decoder", "mcf"),
            seconds=3.5,
        )

    return make


def wait_for_gate(request, tiny_checkpoint, image="scene.png", told=None):
    """Leave a candidate with a card as fine-tuning writes it."""
    model, card = load_checkpoint(tiny_checkpoint)
    provenance = {
        "parent": {"name": "tiny", "hash": "0" * 64},
        "finetuning": {"settings": {"image": image}, "keep": False, "verdict": ["No.", "Not at all."]} | (told or {}),
    }
    card = card.model_copy(update={"provenance": provenance, "figures": {"finetuning": {"before": {}, "after": {}}}})
    save_checkpoint(candidate_path(request.out), model, card)


def test_a_cut_run_is_found_with_all_that_was_asked(tmp_path, request_of):
    request = request_of()
    remember(request)
    (cut,) = find_cut([tmp_path, tmp_path], "/scene.png")
    assert (cut.request, cut.saved) == (request, False)
    state_path(request.out).write_bytes(b"state")
    assert find_cut([tmp_path], "/scene.png")[0].saved
    assert find_cut([tmp_path], "/other.png") == []
    (tmp_path / ".damaged.finetune.json").write_text("{")
    request_path(tmp_path / "moved.safetensors").write_text(request_path(request.out).read_text())
    assert len(find_cut([tmp_path], "/scene.png")) == 1
    roll_back(request.out)
    assert not any(location.exists() for location in traces(request.out))
    assert find_cut([tmp_path], "/scene.png") == []


def test_what_waits_is_found_and_is_no_cut_run(tmp_path, request_of, tiny_checkpoint):
    request = request_of()
    remember(request)
    wait_for_gate(request, tiny_checkpoint)
    wait_for_gate(request_of("others"), tiny_checkpoint, image="other.png")
    (waiting,) = find_waiting([tmp_path], "px1-0", ["scene.png", "scene.pyramid.ome.zarr"])
    assert (str(waiting.out), waiting.path) == (request.out, candidate_path(request.out))
    assert waiting.parent == "0" * 64
    assert (waiting.gate_result.keep, waiting.gate_result.reasons) == (False, ("No.", "Not at all."))
    assert waiting.figures == {"before": {}, "after": {}}
    assert find_cut([tmp_path], "/scene.png") == []


def test_what_was_not_fine_tuned_does_not_wait(tmp_path, request_of, tiny_checkpoint):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        open_waiting(request_of().out)
    model, card = load_checkpoint(tiny_checkpoint)
    save_checkpoint(candidate_path(request_of().out), model, card)
    with pytest.raises(CheckpointError, match="not made by fine-tuning"):
        open_waiting(request_of().out)
    assert find_waiting([tmp_path], "px1-0", ["scene.png"]) == []


def test_what_waits_belongs_to_an_image_by_its_pixels(tmp_path, request_of, tiny_checkpoint):
    image = {"name": "scene", "fingerprint": "px1-a"}
    wait_for_gate(request_of(), tiny_checkpoint, image="renamed.png", told={"image": image})
    (waiting,) = find_waiting([tmp_path], "px1-a", ["another.png"])
    assert find_waiting([tmp_path], "px1-b", ["renamed.png"]) == []
    check_waiting(waiting.out, "px1-a")
    check_waiting(tmp_path / "free.safetensors", "px1-b")
    with pytest.raises(OutputError, match=r"learned from another image \(scene\) waits beside it"):
        check_waiting(waiting.out, "px1-b")
