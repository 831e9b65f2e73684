"""Reports of maps: their figures are NumPy's, the page needs nothing else, and what is not known is said."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import FinalMap, find_final_map
from fctl_napari.evaluation.points.checked_points import CheckedPoints, draw_sample, points_path
from fctl_napari.evaluation.points.point_sample import count_classes
from fctl_napari.exceptions import OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image
from fctl_napari.map_report import pdf, picture
from fctl_napari.map_report.counts import count_map
from fctl_napari.map_report.files import save_report
from fctl_napari.map_report.page import html_page
from fctl_napari.map_report.report import MapReport, Section, make_report
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

NAMES = ("red", "<green> & $x^2$", "blue")
TABLE = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)), ClassInfo(name="red", color=(255, 0, 0))))
LABELS = np.full((90, 120), 2, np.uint8)
LABELS[:30] = 1
LABELS[80:] = 0
CONFIDENCE = np.full((90, 120), 230, np.uint8)
CONFIDENCE[60:70, 10:60] = 100
FINAL = LABELS.copy()
FINAL[40:60, 30:70] = 4  # kelp
UTM = Georeference("EPSG:32633", (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0))


class Page(HTMLParser):
    """Words, tables and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


class Truth:
    """A ground truth in memory."""

    class_names = None
    shape = LABELS.shape

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
        y0, x0, y1, x1 = window
        return self.values[y0:y1, x0:x1]


@pytest.fixture
def store(
    tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]
) -> Segmentation:
    Image.fromarray(make_rgb(90, 120)).save(tmp_path / "scene.png")
    image = open_image(tmp_path / "scene.png")
    image.georeference = UTM
    return make_segmentation(LABELS, names=NAMES, path=tmp_path / "land.ome.zarr", image=image, confidence=CONFIDENCE)


@pytest.fixture
def final(store: Segmentation, tmp_path: Path) -> FinalMap:
    image = open_image(tmp_path / "scene.png")
    with Corrections.open_or_create(tmp_path / "scene.corrections.ome.zarr", image, TABLE) as corrections:
        corrections.write(40, 30, np.full((20, 40), 1, np.uint8), author="ann")
        corrections.write(0, 0, np.full((10, 20), 2, np.uint8), author="ann")
        corrections.write(70, 0, np.full((5, 10), 255, np.uint8), author="bob")
    found = find_final_map(store)
    assert found is not None
    return found


def section(report: MapReport, title: str) -> Section:
    return next(one for one in report.sections if one.title == title)


def test_counts_are_those_of_numpy(store: Segmentation, final: FinalMap) -> None:
    counts = count_map(final)
    np.testing.assert_array_equal(counts.pixels, np.bincount(FINAL.ravel(), minlength=5)[1:])
    assert counts.without_class == 10 * 120
    assert counts.by_provenance[:, 1:].sum(0).tolist() == [9600 - 800 - 200 - 50, 800, 200, 50]
    assert counts.by_provenance[4, 2] == 800
    judged = (LABELS > 0) & (FINAL < 4)
    judged[:10, :20] = False
    assert counts.share_below(0.5) == pytest.approx((CONFIDENCE[judged] < 127.5).mean())
    assert count_map(store).by_provenance[:, 2:].sum() == 0


def test_figures_of_the_page_are_those_of_numpy(final: FinalMap) -> None:
    page = Page(html_page(make_report(final)))
    assert ["kelp", "800", f"{100 * 800 / 9600:.2f} %", "8.00"] in page.rows
    assert [NAMES[1], "5,200", f"{100 * 5200 / 9600:.2f} %", "52.00"] in page.rows  # px of 10 m
    assert ["class", "px", "share", "hectares"] in page.rows
    assert ["kelp", "0", "800", "0", "0"] in page.rows
    assert ["red", "3,400", "0", "200", "0"] in page.rows
    assert "People decided 1,000 px (10.42 % of the map): 800 px got another class" in page.words
    assert "They were not sure of 50 px" in page.words
    assert [NAMES[1], "500", f"{100 / 255:.2f}", "60 10 70 60"] in page.rows
    assert "The accuracy of this map is unknown" in page.words
    assert "1,200 px have none" in page.words
    fingerprint = final.facts["image"]["fingerprint"]
    assert ["fingerprint", fingerprint] in page.rows
    assert ["CRS", "EPSG:32633"] in page.rows
    assert "The prediction with corrections over scene.png. CRS: EPSG:32633." in page.words


def test_the_page_needs_nothing_else(final: FinalMap) -> None:
    text = html_page(make_report(final))
    page = Page(text)
    assert page.open == ["html"] or not page.open
    assert len(page.references) == 1
    assert page.references[0].startswith("data:image/png;base64,")
    for word in ("<script", "@import", "url(", "<link", "http:", "https:"):
        assert word not in text


def test_the_scale_is_that_of_the_ground(
    make_segmentation: Callable[..., Segmentation], make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    for georeference, words in ((UTM, "200 m"), (None, "20 px")):  # a quarter of 120 px of 10 m, or less
        image = pyramid_from_array(make_rgb(90, 120), georeference=georeference)
        store = make_segmentation(LABELS, path=tmp_path / f"{words}.ome.zarr", image=image)
        (axes,) = picture.map_figure(store, image).axes
        assert [text.get_text() for text in axes.texts] == [words]
        (bar,) = axes.lines
        assert np.ptp(bar.get_xdata()) == pytest.approx(20, rel=0.01)


def test_the_legend_names_the_classes_that_are_there(
    make_segmentation: Callable[..., Segmentation],
) -> None:
    names = ("_hidden", "$\\frac", "nowhere", "forest " * 20, "last")
    labels = np.repeat([1, 2, 4, 5], 30)[None].repeat(90, 0)
    figure = picture.map_figure(make_segmentation(labels, names=names), None)
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["_hidden", "$\\frac", f"{('forest ' * 20)[:39]}…", "last"]
    figure.canvas.draw()
    extent, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= extent.x0
    assert extent.x1 <= whole.x1


def test_a_pdf_has_pages(final: FinalMap, tmp_path: Path) -> None:
    report = make_report(final)
    save_report(report, tmp_path / "r.pdf")
    content = (tmp_path / "r.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page ") >= 1
    save_report(report, tmp_path / "r.html")
    assert "kelp" in (tmp_path / "r.html").read_text("utf-8")
    with pytest.raises(OutputError, match=r"r\.docx: reports are written as HTML or PDF"):
        save_report(report, tmp_path / "r.docx")
    assert sorted(one.name for one in tmp_path.glob("r.*")) == ["r.html", "r.pdf"]


def test_sections_are_parted_only_where_no_page_holds_them() -> None:
    block = [pdf._Line(""), *(pdf._Line(str(k)) for k in range(30))]
    long = [pdf._Line(""), *(pdf._Line(str(k)) for k in range(100))]
    pages = list(pdf._pages([block, block, block, long], 8.0))
    assert [line.text for page in pages for line in page if line.text] == [
        line.text for one in (block, block, block, long) for line in one if line.text
    ]
    whole = int((pdf.SIZE[1] - 2 * pdf.MARGIN) / pdf.LINE)
    assert [len(page) for page in pages][:2] == [30, 61]  # the first begins below the picture
    assert max(map(len, pages)) <= whole


def checked(source: FinalMap, true: np.ndarray, total: int = 100) -> CheckedPoints:
    counts = count_classes(source.labels, len(source.class_table.names))
    path = points_path(source.path)
    points = draw_sample(source, counts, path, final=True, total=total, least=20)
    names = source.class_table.names
    points = points.with_classes({one.id: names[true[one.y, one.x] - 1] for one in points.points}, "ann")
    points.write(path)
    return points


def test_checked_points_come_first_and_give_intervals(final: FinalMap) -> None:
    true = FINAL.copy()
    true[:15] = 2
    points = checked(final, true)
    wrong = np.mean([one.true == "red" for one in points.points if one.mapped == "red"])
    said = section(make_report(final, ground_truth=Truth(LABELS - np.uint8(1))), "Accuracy")
    assert any("By 100 checked points" in one for one in said.sentences)
    assert not any("Compared with" in one for one in said.sentences)
    row = dict(zip(said.header, next(row for row in said.rows if row[0] == "red"), strict=True))
    assert row["share"].startswith(f"{100 * 3600 / 9600 * wrong:.2f} ± ")
    assert row["hectares"].startswith(f"{36 * wrong:.2f} ± ")
    assert row["user's accuracy"].startswith(f"{100 * wrong:.2f} ± ")
    assert row["producer's accuracy"] == "100.00 ± 0.00 %"


def test_points_of_an_earlier_map_are_not_used_and_said(final: FinalMap, tmp_path: Path) -> None:
    checked(final, FINAL)
    with Corrections.open(tmp_path / "scene.corrections.ome.zarr", "r+") as corrections:
        corrections.write(5, 50, np.full((2, 2), 1, np.uint8), author="ann")
    changed = find_final_map(final.segmentation)
    assert changed is not None
    said = section(make_report(changed), "Accuracy").sentences
    assert any("Checked points cannot be used" in one and "before it was changed" in one for one in said)
    assert any("is unknown" in one for one in said)


def test_against_a_ground_truth(store: Segmentation) -> None:
    true = LABELS - np.uint8(1)
    true[:15] = 1
    said = section(make_report(store, ground_truth=Truth(true), ground_truth_name="truth.png"), "Accuracy")
    accuracy = (true == LABELS - np.uint8(1))[:80].mean()
    assert f"Compared with truth.png on 9,600 px: accuracy {100 * accuracy:.2f} %" in said.sentences[0]
    assert next(row for row in said.rows if row[0] == "red")[1] == "50.00 %"
    assert "mixed up" not in " ".join(said.sentences)
    moved = (LABELS % np.uint8(3)).astype(np.uint8)
    said = section(make_report(store, ground_truth=Truth(moved), ground_truth_name="truth.png"), "Accuracy")
    assert "Of truth.png: the classes of the ground truth seem to be mixed up" in said.sentences[-1]


def test_without_image_and_georeference(
    make_segmentation: Callable[..., Segmentation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "SIDE", 40)  # a level that is still too large is read in steps
    store = make_segmentation(LABELS)
    assert picture.coarse_labels(store, 40).shape[1] <= 40
    report = make_report(store)
    assert "without its image" in report.caption
    assert "Areas on the ground are unknown" in " ".join(section(report, "Areas").sentences)
    assert section(report, "What people checked").sentences == (
        "Nobody's corrections are part of this map: all of it is predicted.",
    )
    empty = make_segmentation(np.zeros((90, 120), np.uint8), path=tmp_path / "empty.ome.zarr")
    report = make_report(empty)
    assert section(report, "Doubts").sentences == ("No px has its class by the network alone.",)
    save_report(report, tmp_path / "e.pdf")
