"""Images at an address open as they do from disk, no more is fetched than needed, and failures are one sentence."""

from __future__ import annotations

import gzip
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from PIL import Image
from rasterio.transform import from_origin

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats import remote
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.open import open_image

Serve = Callable[[Path], Any]

RGB = np.random.default_rng(0).integers(0, 256, (201, 302, 3)).astype(np.uint8)


def write_zarr(path: Path, version: str, shards: tuple[int, ...] | None, *, consolidated: bool) -> None:
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    for index, level in enumerate((RGB, halve(RGB))):
        group.create_array(str(index), data=level.transpose(2, 0, 1), chunks=(3, 64, 64), shards=shards)
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [1, 2**i, 2**i]}]} for i in range(2)
    ]
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
    group.update_attributes(
        {"multiscales": multiscales} if version == "0.4" else {"ome": {"version": version, "multiscales": multiscales}}
    )
    if consolidated:
        zarr.consolidate_metadata(path)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", (3, 128, 128))])
def test_ome_zarr(
    tmp_path: Path, serve: Serve, version: str, shards: tuple[int, ...] | None, ranges: bool, consolidated: bool
) -> None:
    """Of both versions, in shards or not, also from a server that sends shards only whole; like the folder itself."""
    write_zarr(tmp_path / "i.ome.zarr", version, shards, consolidated=consolidated)
    server = serve(tmp_path)
    server.ranges = ranges
    for location in (str(tmp_path / "i.ome.zarr"), f"{server.url}/i.ome.zarr", f"{server.url}/i.ome.zarr/"):
        pyramid = open_image(location)
        assert pyramid.path == location
        assert pyramid.name == "i"
        assert pyramid.factors == [(1, 1), (2, 2)]
        assert np.array_equal(pyramid.levels[0][...], RGB)
        assert np.array_equal(pyramid.read((10, 20, 90, 130), 1), halve(RGB)[10:90, 20:130])


def test_only_what_is_needed_is_asked_for(tmp_path: Path, serve: Serve) -> None:
    write_zarr(tmp_path / "i.zarr", "0.5", None, consolidated=False)
    server = serve(tmp_path)
    pyramid = open_image(f"{server.url}/i.zarr")
    assert not [path for path in server.requests if path.endswith("/")], "no folder is listed"
    assert not [path for path in server.requests if "/c/" in path], "no pixels yet"
    server.requests.clear()
    pyramid.read((70, 10, 120, 60))
    assert server.requests == ["/i.zarr/0/c/0/1/0"]


def test_of_a_shard_one_chunk_is_fetched(tmp_path: Path, serve: Serve) -> None:
    write_zarr(tmp_path / "i.zarr", "0.5", (3, 512, 512), consolidated=False)
    server = serve(tmp_path)
    pyramid = open_image(f"{server.url}/i.zarr")
    server.sent = 0
    assert np.array_equal(pyramid.read((70, 10, 120, 60)), RGB[70:120, 10:60])
    assert server.sent < 2 * 3 * 64 * 64


def test_our_own_conversion_of_a_collection_and_georeference(tmp_path: Path, serve: Serve) -> None:
    source = pyramid_from_array(RGB, georeference=Georeference("EPSG:32633", (2.0, 0.0, 5.0, 0.0, -2.0, 6.0)))
    zarr.create_group(tmp_path / "b.zarr", attributes={"ome": {"bioformats2raw.layout": 3}})
    convert(source, tmp_path / "b.zarr" / "0")
    pyramid = open_image(f"{serve(tmp_path).url}/b.zarr")
    assert pyramid.georeference == source.georeference
    assert np.array_equal(pyramid.levels[0][...], RGB)


@pytest.mark.parametrize(
    "options", [{"compression": "lzw", "rowsperstrip": 16}, {}, {"bigtiff": True, "byteorder": ">"}]
)
def test_strips(tmp_path: Path, serve: Serve, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a scan.tif", RGB, photometric="rgb", **options)
    pyramid = open_image(f"{serve(tmp_path).url}/a%20scan.tif")
    assert pyramid.name == "a scan"
    assert np.array_equal(pyramid.levels[0][...], RGB)


def write_cog(path: Path, image: np.ndarray, crs: str = "EPSG:32633") -> None:
    height, width, bands = image.shape
    location: dict[str, Any] = {"crs": crs, "transform": from_origin(500000, 5000000, 2, 2)}
    options = {"driver": "COG", "compress": "deflate", "blocksize": 128, "overview_resampling": "average"}
    with rasterio.open(
        path, "w", height=height, width=width, count=bands, dtype=image.dtype, **options, **location
    ) as file:
        file.write(image.transpose(2, 0, 1))


LAEA = "+proj=laea +lat_0=52 +lon_0=10 +x_0=7 +y_0=3 +datum=WGS84 +units=m"


@pytest.mark.parametrize("crs", ["EPSG:32633", LAEA])
def test_cog(tmp_path: Path, serve: Serve, crs: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1200, 900, 3)).astype(np.uint8)
    write_cog(tmp_path / "c.tif", image, crs)
    server = serve(tmp_path)
    local, remote = open_image(tmp_path / "c.tif"), open_image(f"{server.url}/c.tif?key=1")
    assert server.sent < (tmp_path / "c.tif").stat().st_size / 5
    assert remote.name == "c"
    assert [level.shape for level in remote.levels] == [level.shape for level in local.levels]
    assert remote.native_levels == len(remote.levels) > 1
    assert remote.georeference == local.georeference is not None
    assert (remote.pixel_size, remote.unit) == ((2, 2), "meter")
    assert np.array_equal(remote.read((300, 200, 500, 400)), image[300:500, 200:400])
    for ours, theirs in zip(remote.levels, local.levels, strict=True):
        assert np.array_equal(ours[...], theirs[...])


def test_a_conversion_of_what_is_elsewhere(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "there").mkdir()
    write_zarr(tmp_path / "there" / "i.zarr", "0.4", None, consolidated=False)
    url = f"{serve(tmp_path / 'there').url}/i.zarr"
    out = convert(open_image(url), tmp_path / "here.ome.zarr")
    assert np.array_equal(open_image(out).levels[0][...], RGB)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert convert(open_image(url), out) == out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RETRY_SECONDS", (0.01, 0.01))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def refused(server: Any, folder: Path) -> dict[str, str]:
    """Addresses that cannot be used, and why."""
    (folder / "text.tif").write_text("no image")
    (folder / "page.zarr").mkdir()
    (folder / "page.zarr" / "zarr.json").write_text("<html>Sign in</html>")
    zarr.create_array(folder / "array.zarr", shape=(4, 4), dtype="u1")
    zarr.create_group(folder / "group.zarr")
    Image.fromarray(RGB).save(folder / "i.png")
    np.save(folder / "i.npy", RGB)
    tifffile.imwrite(folder / "one piece.tif", np.zeros((4200, 4200), np.uint8))
    tifffile.imwrite(folder / "cut.tif", RGB, tile=(64, 64))
    (folder / "cut.tif").write_bytes((folder / "cut.tif").read_bytes()[:100000])
    return {
        f"{server.url}/none.ome.zarr": "there is nothing at this address",
        f"{server.url}/text.tif": "not an image",
        f"{server.url}/page.zarr": "metadata cannot be read",
        f"{server.url}/array.zarr": "a single array",
        f"{server.url}/group.zarr": "no multiscales",
        f"{server.url}/i.png": "fetch it",
        f"{server.url}/i.npy": "fetch it",
        f"{server.url}/one piece.tif": "pieces too large",
        f"{server.url}/cut.tif": "truncated",
        f"http://127.0.0.1:{free_port()}/i.zarr": "cannot be reached",
        f"http://127.0.0.1:{free_port()}/i.tif?key=1": "cannot be reached",
        f"{server.url}/none.tif?key=1": "there is nothing at this address",
        "http:///i.zarr": "cannot be reached",
        "s3://bucket/i.zarr": "only http:// and https://",
    }


@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path)
    for url, message in refused(server, tmp_path).items():
        with pytest.raises(InputError, match=message) as raised:
            open_image(url)
        assert str(raised.value).startswith(url)
        assert "\n" not in str(raised.value)


def test_s3_says_forbidden_where_there_is_nothing(tmp_path: Path, serve: Serve) -> None:
    write_zarr(tmp_path / "i.zarr", "0.4", None, consolidated=False)
    server = serve(tmp_path)
    server.missing = 403
    pyramid = open_image(f"{server.url}/i.zarr")
    assert np.array_equal(pyramid.levels[0][...], RGB)
    # A chunk that may not be read is no black square.
    (tmp_path / "i.zarr" / "0" / "0" / "0" / "0").unlink(missing_ok=True)
    (tmp_path / "i.zarr" / "0" / "0.0.0").unlink(missing_ok=True)
    with pytest.raises(InputError, match="HTTP 403"):
        pyramid.read((0, 0, 10, 10))
    with pytest.raises(InputError, match="HTTP 403"):
        open_image(f"{server.url}/none.tif?key=expired")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["i.zarr", "i.tif"])
def test_a_hiccup_of_the_server_is_outlived_and_a_failure_is_said(tmp_path: Path, serve: Serve, name: str) -> None:
    write_zarr(tmp_path / "i.zarr", "0.5", None, consolidated=False)
    tifffile.imwrite(tmp_path / "i.tif", np.tile(RGB, (3, 3, 1)), tile=(256, 256), photometric="rgb")
    server = serve(tmp_path)
    pyramid = open_image(f"{server.url}/{name}")
    server.statuses = [503]
    assert np.array_equal(pyramid.read((0, 0, 50, 50)), RGB[:50, :50])
    server.statuses = [500] * 3
    with pytest.raises(InputError, match="HTTP 500") as raised:
        pyramid.read((130, 200, 180, 250))
    assert str(raised.value).startswith(server.url)


class Unusual(BaseHTTPRequestHandler):
    """Answers as some servers do that hand out files: by the first part of the path."""

    protocol_version = "HTTP/1.1"
    folder: Path
    broken = ""
    """A file that is not there."""

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, head: bool = False) -> None:
        parts = urlsplit(self.path)
        _, mode, name = parts.path.split("/", 2)
        file = self.folder / name
        refused = {"nohead": 405, "presigned": 403}.get(mode) if head else None
        if refused or (mode == "token" and "sig=a%2Fb" not in parts.query):
            self.reply(refused or 403, b"")
        elif mode == "redirect":
            self.reply(302, b"", Location=f"/nohead/{name}")
        elif not file.is_file() or name == self.broken:
            self.reply(*((200, b"<!DOCTYPE html><html>") if mode == "page" else (404, b"")))
        elif mode == "gzip" and file.suffix == ".json":
            self.reply(200, gzip.compress(file.read_bytes()), Content_Encoding="gzip")
        else:
            data, size = file.read_bytes(), file.stat().st_size
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            first, last = asked.groups() if asked and not head else ("0", "")
            lo, hi = (int(first), int(last or size - 1)) if first else (size - int(last), size - 1)
            ranged = {"Content_Range": f"bytes {lo}-{hi}/{size}"} if asked else {}
            self.reply(206 if asked else 200, b"" if head else data[lo : hi + 1], **ranged)

    def reply(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content_Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with ``v3.zarr``, ``v2.zarr`` and ``c.tif``."""
    folder = tmp_path_factory.mktemp("served")
    write_zarr(folder / "v3.zarr", "0.5", None, consolidated=False)
    write_zarr(folder / "v2.zarr", "0.4", None, consolidated=False)
    write_cog(folder / "c.tif", np.tile(RGB, (3, 2, 1)))
    Unusual.folder = folder
    with ThreadingHTTPServer(("127.0.0.1", 0), Unusual) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("mode", ["nohead", "presigned", "token", "redirect", "gzip", "page"])
@pytest.mark.parametrize("name", ["v3.zarr", "v2.zarr", "c.tif"])
def test_servers_that_answer_in_other_ways(unusual: str, mode: str, name: str) -> None:
    image = open_image(f"{unusual}/{mode}/{name}" + ("?sig=a%2Fb" if mode == "token" else ""))
    assert np.array_equal(image.levels[0][...], np.tile(RGB, (3, 2, 1)) if name == "c.tif" else RGB)
    assert image.name == Path(name).stem


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("token/v3.zarr", "HTTP 403"),
        ("token/c.tif?sig=other", "HTTP 403"),
        ("nohead/none.tif", "there is nothing at this address"),
        ("nohead/none.zarr?sig=1", "there is nothing at this address"),
        ("page/none.zarr", "answers with a web page"),
        ("page/none.tif", "answers with a web page"),
        ("page/none.tif?sig=1", "answers with a web page"),
    ],
)
def test_the_true_reason_is_said(unusual: str, address: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        open_image(f"{unusual}/{address}")
    assert str(raised.value).startswith(f"{unusual}/{address}: ")
    assert "\n" not in str(raised.value)


def test_a_web_page_is_no_chunk(unusual: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where missing keys are answered so, the chunk is missing; where all are, one has to sign in."""
    image = open_image(f"{unusual}/page/v3.zarr")
    monkeypatch.setattr(Unusual, "broken", "v3.zarr/0/c/0/0/0")
    assert not image.read((0, 0, 64, 64)).any()
    monkeypatch.setattr(Unusual, "folder", Path("/nowhere"))
    with pytest.raises(InputError, match=r"web page where 0/c/0/0/0 should be"):
        image.read((0, 0, 64, 64))


def test_a_server_that_sends_files_only_whole(tmp_path: Path, serve: Serve) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.tile(RGB, (3, 3, 1)), tile=(64, 64), photometric="rgb")
    server = serve(tmp_path)
    server.ranges = False
    with pytest.raises(InputError, match="only whole"):
        open_image(f"{server.url}/i.tif")


def test_without_the_packages_it_says_what_to_install() -> None:
    script = """
        import sys
        sys.modules["fsspec"] = None
        from fctl_napari.exceptions import InputError
        from fctl_napari.imagery.open import open_image
        try:
            open_image("http://127.0.0.1/i.zarr")
        except InputError as error:
            print(error)
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True)
    assert "fctl-napari[remote]" in said.stdout
    assert said.stdout.count("\n") == 1
