"""ONNX files and settings that do not fit are refused in one sentence that names file, fault and remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from helpers_commands import Fctl
from helpers_onnx import deepness, network
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file

from fctl_napari.exceptions import CheckpointError, ConfigError, FctlError, OutputError
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_header
from fctl_napari.model.onnx_files.read import import_onnx

NAMES = ("water", "land", "road")
Write = Callable[[Path], object]


def model(nodes: list[Any], inputs: list[Any], outputs: list[Any], path: Path, *weights: Any) -> None:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)


def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def of_channels_last(path: Path) -> None:
    model([node("Identity", "x", "y")], [value("x", 1, 64, 64, 3)], [value("y", 1, 64, 64, 3)], path)


def of_two_inputs(path: Path) -> None:
    inputs = [value("tile", 1, 3, 64, 64), value("window", 1, 3, 64, 64)]
    model([node("Add", "tile window", "y")], inputs, [value("y", 1, 3, 64, 64)], path)


def of_two_outputs(path: Path) -> None:
    outputs = [value(name, 1, 3, 64, 64) for name in ("out", "aux")]
    model([node("Relu", "x", "out"), node("Abs", "x", "aux")], [value("x", 1, 3, 64, 64)], outputs, path)


def of_text(path: Path) -> None:
    made = value("x", 1, 3, 64, 64, kind=TensorProto.STRING)
    model([node("Identity", "x", "y")], [made], [value("y", 1, 3, 64, 64, kind=TensorProto.STRING)], path)


def of_one_vector(path: Path) -> None:
    model([node("Flatten", "x", "y")], [value("x", 1, 3, 64, 64)], [value("y", 1, 12288)], path)


def of_nothing_finite(path: Path) -> None:
    nodes = [node("Sub", "x x", "zero"), node("Div", "x zero", "y")]
    model(nodes, [value("x", 1, 3, 64, 64)], [value("y", 1, 3, 64, 64)], path)


def of_unknown_operator(path: Path) -> None:
    nodes = [node("Fancy", "x", "y", domain="my.operators")]
    graph = helper.make_graph(nodes, "g", [value("x", 1, 3, 64, 64)], [value("y", 1, 3, 64, 64)])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("my.operators", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)


def of_other_files(path: Path) -> None:
    network(path)
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def of_other_files_deep_inside(path: Path) -> None:
    """A constant in a branch, which only an attribute of a node holds."""
    constant = numpy_helper.from_array(np.zeros((1, 3, 64, 64), np.float32), "c")
    branches = []
    for operator in ("then", "else"):
        made = node("Constant", "", f"{operator}_out", value=constant)
        branches.append(helper.make_graph([made], operator, [], [value(f"{operator}_out", 1, 3, 64, 64)]))
    tensor = branches[0].node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    yes = numpy_helper.from_array(np.array(True), "yes")
    nodes = [node("If", "yes", "zero", then_branch=branches[0], else_branch=branches[1]), node("Add", "x zero", "y")]
    model(nodes, [value("x", 1, 3, 64, 64)], [value("y", 1, 3, 64, 64)], path, yes)


def of_a_later_opset(path: Path) -> None:
    network(path)
    made = onnx.load(path)
    made.opset_import[0].version = 99
    onnx.save(made, path)


def cut_short(path: Path) -> None:
    network(path)
    path.write_bytes(path.read_bytes()[:-40])


FILES: dict[str, tuple[Write, str]] = {
    "no file": (lambda path: None, "there is no such file; check the path"),
    "no ONNX": (lambda path: path.write_bytes(b"<html>not found</html>"), "is not an ONNX file, or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "holds no network; export or download it again"),
    "cut short": (cut_short, "is not an ONNX file, or damaged; export or download it again"),
    "channels last": (of_channels_last, "its input has the shape (1, 64, 64, 3); export it with (batch, bands, height"),
    "two inputs": (of_two_inputs, "has 2 inputs (tile, window); export it with the tile alone"),
    "two outputs": (of_two_outputs, "has 2 outputs (out, aux); export it with the classes alone"),
    "text": (of_text, "its input is a tensor(string); export it with an input of float32, float16 or uint8"),
    "a vector": (of_one_vector, "its output for 1 tile has the shape (1, 12288); export it with"),
    "not finite": (of_nothing_finite, "gives values that are not finite for plain noise; check mean and std"),
    "unknown operator": (of_unknown_operator, "onnxruntime cannot run it"),
    "later opset": (of_a_later_opset, "Opset 99"),
    "other files": (of_other_files, "its weights lie in other files, which are not read; save it in one file"),
    "other files, inside": (of_other_files_deep_inside, "its weights lie in other files, which are not read"),
    "fixed, tiny": (lambda path: network(path, size=16), "square tiles of 32 to 4096 px"),
    "detector": (
        lambda path: network(path, metadata={"model_type": '"Detector"'}),
        "is a Detector by its metadata; only networks that segment can be imported",
    ),
    "no classes": (network, "says nothing of its 3 classes; state their names in a file for --settings"),
    "no indices": (lambda path: network(path, head="index"), "says nothing of its classes; state their names"),
    "too few names": (
        lambda path: network(path, metadata=deepness("a", "b")),
        "predicts 3 classes, and 2 names are stated; state classes in a file for --settings",
    ),
    "one name": (lambda path: network(path, metadata=deepness("a")), "predicts 3 classes, and 1 name is stated"),
    "names with a gap": (
        lambda path: network(path, metadata={"class_names": {"0": "a", "2": "b", "3": "c"}}),
        "its metadata class_names does not name the classes 0, 1, 2, ...",
    ),
    "equal names": (lambda path: network(path, metadata=deepness("a", "a", "b")), "class names must differ"),
    "code for names": (
        lambda path: network(path, metadata={"class_names": "__import__('os').getcwd()"}),
        "its metadata class_names is \"__import__('os').getcwd()\", which is not JSON; mend it, or state classes",
    ),
    "no resolution": (
        lambda path: network(path, metadata=deepness(*NAMES, resolution="fine")),
        "its metadata resolution is 'fine', which is not JSON; mend it, or state pixel_size in a file for --settings",
    ),
    "resolution of a list": (
        lambda path: network(path, metadata=deepness(*NAMES, resolution=[1])),
        "its metadata resolution is no number; mend it, or state pixel_size",
    ),
    "resolution of 0": (
        lambda path: network(path, metadata=deepness(*NAMES, resolution=0)),
        "its metadata resolution: cannot be 0.0; give a number greater than 0.0, or state pixel_size",
    ),
    "deviation of 0": (
        lambda path: network(path, metadata=deepness(*NAMES, standardization_std=[0.2, 0, 0.2])),
        "its metadata standardization_std: cannot be 0; give a number greater than 0.0, or state std",
    ),
    "two means": (
        lambda path: network(path, metadata=deepness(*NAMES, standardization_mean=[0.2, 0.1])),
        "takes 3 bands, and mean has 2 values; state mean in a file for --settings with one for each band",
    ),
    "another tile": (
        lambda path: network(path, metadata=deepness(*NAMES, tile_size=128)),
        "takes tiles of 64 px, and 128 px are stated; state tile_size = 64",
    ),
    "four bands": (
        lambda path: network(path, bands=4, metadata=deepness(*NAMES)),
        "takes 4 bands; name them in a file for --settings, bands = [...]",
    ),
    "bytes, normalized": (
        lambda path: network(path, kind=TensorProto.UINT8, metadata=deepness(*NAMES, standardization_mean=[0, 0, 0])),
        "takes values of 0..255 as bytes, which cannot be normalized",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_file(tmp_path: Path, fctl: Fctl, what: str) -> None:
    write, expected = FILES[what]
    path = tmp_path / "net.onnx"
    write(path)
    sentence = fctl("model", "import", path, "--out", tmp_path / "new.safetensors").sentence()
    assert f"{path}: " in sentence
    assert expected in sentence
    assert not (tmp_path / "new.safetensors").exists()
    assert not list(tmp_path.glob(".*"))


SETTINGS = {
    "clases = ['a']": "clases: there is no such setting; check the name",
    "classes = ['a', ": "is not a TOML file",
    "classes = [{name = 'a', color = [0, 0, 300]}, 'b', 'c']": "classes.0.color.2: cannot be 300; give a number",
    "classes = ['a', 'b', 'c']\nvalue_scale = 2": "value_scale: cannot be 2; give 1 or 255",
    "classes = ['a', 'b', 'c']\nmean = [nan]": "mean.0: cannot be nan; give a finite number",
    "classes = ['a', 'b', 'c']\npixel_size = -1": "pixel_size: cannot be -1; give a number greater than 0",
    "classes = ['a', 'b', 'c']\nbands = ['gray']": "takes 3 bands, and 1 are stated; mend bands",
    "classes = ['a', 'b', 'c']\nbands = ['a', 'a', 'b']": "each band may stand once",
    "classes = ['a', 'b', 'c']\nbands = [{name = 'a', mean = 2}]": "the band 'a' has a mean or std of its own",
    "classes = ['a', 'b', 'c']\nbands = ['a', 'b', {name = 'c', value_range = [0, 9]}]": "some bands have a",
    "classes = ['a', 'b', 'c']\noutput = 'scores'": "output: cannot be 'scores'; give 'logits', 'probabilities' or",
    "classes = ['a', 'b', 'c']\noutput = 'classes'": "gives 3 channels where indices of classes are one",
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings(tmp_path: Path, fctl: Fctl, text: str) -> None:
    path, settings = network(tmp_path / "net.onnx"), tmp_path / "net.toml"
    settings.write_text(text)
    command = "model", "import", path, "--settings", settings, "--out", tmp_path / "new.safetensors"
    sentence = fctl(*command).sentence()
    assert SETTINGS[text] in sentence
    assert not (tmp_path / "new.safetensors").exists()


def test_arguments(tmp_path: Path, fctl: Fctl) -> None:
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES))
    out = tmp_path / "new.safetensors"
    assert "no such settings file" in fctl("model", "import", path, "--settings", "no.toml", "--out", out).sentence()
    sentence = fctl("model", "import", tmp_path, "--settings", "no.toml", "--out", out).sentence()
    assert "is for an ONNX file" in sentence
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists, and checkpoints are not overwritten"):
        import_onnx(path, out)
    assert out.read_bytes() == b"mine"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "new.safetensors")
    monkeypatch.setitem(sys.modules, package, None)
    sentence = f"running an ONNX network needs the package '{package}'; pip install fctl-napari\\[onnx-run\\]"
    with pytest.raises(ConfigError, match=f"net.onnx: {sentence}"):
        import_onnx(path, tmp_path / "other.safetensors")
    network_of_it, _ = load_checkpoint(checkpoint)
    with pytest.raises(ConfigError, match=rf"new.safetensors: {sentence}"):
        network_of_it(torch.zeros((1, 3, 64, 64), dtype=torch.uint8), {}, {})


@pytest.mark.parametrize("what", ["external", "cut short", "floats"])
def test_damaged_checkpoint(tmp_path: Path, what: str) -> None:
    """Whoever made the file: it is checked again when it is run."""
    checkpoint = import_onnx(network(tmp_path / "net.onnx", metadata=deepness(*NAMES)), tmp_path / "new.safetensors")
    header, graph = read_header(checkpoint), load_file(checkpoint)["graph"].clone()
    if what == "external":
        of_other_files(tmp_path / "other.onnx")
        graph = torch.frombuffer(bytearray((tmp_path / "other.onnx").read_bytes()), dtype=torch.uint8)
    elif what == "cut short":
        graph = graph[:-40].clone()
    else:
        graph = graph.float()
    save_file({"graph": graph}, checkpoint, header["__metadata__"])
    with pytest.raises(CheckpointError, match=r"new\.safetensors: (its weights|is not an ONNX file)") as refused:
        load_checkpoint(checkpoint)[0](torch.zeros((1, 3, 64, 64), dtype=torch.uint8), {}, {})
    assert isinstance(refused.value, FctlError)
