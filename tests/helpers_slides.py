"""Small slides of several makers, written by tifffile, Pillow and pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

HEIGHT, WIDTH = 300, 420
APERIO = "Aperio Image Library v12\n420x300 [0,0 420x300] (128x128) J2K|AppMag = 20|MPP = 0.25|Left = 1"


def scan() -> np.ndarray:
    """Return the pixels of a slide, RGB."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([y // 2, x // 2, 255 - (x + y) // 3], -1).astype(np.uint8)


def write_svs(path: Path, **tags: Any) -> np.ndarray:
    """Write a slide as Aperio's: scan, thumbnail, a level, label, macro. Returns the scan's pixels."""
    pixels = scan()
    tile = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, description=APERIO, **tile, **tags)
        file.write(pixels[::4, ::4], description=f"{APERIO} 420x300 -> 105x75 -|MPP = 0.25", metadata=None)
        file.write(pixels[::2, ::2], description=APERIO, **tile, **tags)
        for name, subfile, size in (("label", 1, (30, 40)), ("macro", 9, (64, 96))):
            picture = np.full((*size, 3), 90 + subfile, np.uint8)
            text = f"Aperio Image Library v12\n{name} {size[1]}x{size[0]}"
            file.write(picture, description=text, subfiletype=subfile, metadata=None)
    return pixels


def write_jpeg2000(path: Path, compression: int, tiles: list[bytes], **tags: Any) -> None:
    """Write a slide of one level with tiles of 128 px that are encoded already."""
    shape = (HEIGHT // 128 * 128, WIDTH // 128 * 128, 3)
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=shape,
        dtype=np.uint8,
        tile=(128, 128),
        compression=compression,
        description=APERIO,
        metadata=None,
        **tags,
    )


def tiles_of(pixels: np.ndarray) -> list[np.ndarray]:
    """Cut the whole tiles of 128 px out of a picture."""
    rows, columns = (side // 128 for side in pixels.shape[:2])
    return [
        np.ascontiguousarray(pixels[r * 128 : r * 128 + 128, c * 128 : c * 128 + 128])
        for r in range(rows)
        for c in range(columns)
    ]


def ycbcr(pixels: np.ndarray) -> np.ndarray:
    """Return colors as brightness and two color differences, as JPEG has them."""
    r, g, b = np.moveaxis(pixels.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.rint(np.stack([y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402], -1)).clip(0, 255).astype(np.uint8)


def jpeg2000(pixels: np.ndarray) -> bytes:
    """Encode a tile without loss and without another transform of its colors."""
    return imagecodecs.jpeg2k_encode(pixels, reversible=True, level=0, mct=False, codecformat="j2k")


def subsampled_jpeg2000(pixels: np.ndarray, folder: Path) -> bytes:
    """Encode a tile with its color differences at half of the resolution."""
    import rasterio
    from rasterio.shutil import copy

    plain, coded = folder / "plain.tif", folder / "tile.j2k"
    tifffile.imwrite(plain, pixels, photometric="rgb", metadata=None)
    options = {"CODEC": "J2K", "QUALITY": "100", "YCC": "NO", "YCBCR420": "YES", "RESOLUTIONS": "3"}
    with rasterio.Env():
        copy(plain, coded, driver="JP2OpenJPEG", **options)
    return coded.read_bytes()


def write_vms(folder: Path) -> tuple[Path, np.ndarray]:
    """Write a slide as Hamamatsu's: an index beside JPEG files. Returns its path and the scan's pixels."""
    from PIL import Image

    pixels = np.asarray(Image.fromarray(scan()).resize((448, 320)))
    for name, picture in (("scan", pixels), ("map", pixels[::4, ::4]), ("macro", pixels[::5, ::5])):
        Image.fromarray(picture).save(folder / f"{name}.jpg", quality=100, subsampling=0, restart_marker_blocks=7)
    lines = {
        "NoLayers": 1, "NoJpegColumns": 1, "NoJpegRows": 1, "ImageFile": "scan.jpg", "MapFile": "map.jpg",
        "MacroImage": "macro.jpg", "PhysicalWidth": 448 * 500, "PhysicalHeight": 320 * 500, "SourceLens": 20,
    }  # fmt: skip
    text = "\n".join(f"{key}={value}" for key, value in lines.items())
    (folder / "slide.vms").write_text(f"[Virtual Microscope Specimen]\n{text}\n")
    return folder / "slide.vms", np.asarray(Image.open(folder / "scan.jpg"))


SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"


def write_dicom(folder: Path, name: str = "a", series: str = "1.2.3.4") -> np.ndarray:
    """Write a slide as DICOM: two levels and a label, uncompressed. Returns the pixels of the scan."""
    pixels = scan()
    flavors = {"VOLUME": (pixels, 0.00025), "LABEL": (np.full((64, 64, 3), 90, np.uint8), None)}
    for flavor, (picture, spacing) in flavors.items():
        _write_instance(folder / f"{name}-{flavor.lower()}.dcm", series, picture, flavor, spacing)
    _write_instance(folder / f"{name}-half.dcm", series, pixels[::2, ::2], "VOLUME", 0.0005, derived=True)
    return pixels


def _write_instance(
    path: Path, series: str, picture: np.ndarray, flavor: str, spacing: float | None, *, derived: bool = False
) -> None:
    """Write a level or a label in tiles of 64 px."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % 64), (0, -width % 64), (0, 0)))
    frames = [padded[y : y + 64, x : x + 64] for y in range(0, height, 64) for x in range(0, width, 64)]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SLIDE_CLASS
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", series, f"{series}.9"
    data.Modality, data.ContainerIdentifier, data.PatientID, data.PatientName = "SM", "c", "p", "n"
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.StudyID = ""
    data.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", flavor, "RESAMPLED" if derived else "NONE"]
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = height, width
    data.Rows = data.Columns = 64
    data.NumberOfFrames, data.SamplesPerPixel, data.PlanarConfiguration = len(frames), 3, 0
    data.PhotometricInterpretation, data.BitsAllocated, data.BitsStored, data.HighBit = "RGB", 8, 8, 7
    data.PixelRepresentation, data.DimensionOrganizationType, data.InstanceNumber = 0, "TILED_FULL", 1
    data.TotalPixelMatrixFocalPlanes, data.NumberOfOpticalPaths, data.FocusMethod = 1, 1, "AUTO"
    data.ExtendedDepthOfField, data.BurnedInAnnotation, data.SpecimenLabelInImage = "NO", "NO", "NO"
    data.LossyImageCompression, data.VolumetricProperties, data.ImageOrientationSlide = (
        "00",
        "VOLUME",
        [0, 1, 0, 1, 0, 0],
    )
    data.ImagedVolumeWidth, data.ImagedVolumeHeight, data.ImagedVolumeDepth = width * 0.001, height * 0.001, 0.001
    origin, path_item, groups, measures = Dataset(), Dataset(), Dataset(), Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0
    data.TotalPixelMatrixOriginSequence = [origin]
    path_item.OpticalPathIdentifier = "1"
    data.OpticalPathSequence = [path_item]
    if spacing is not None:
        measures.PixelSpacing, measures.SliceThickness = [spacing, spacing], 0.001
        groups.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [groups]
    data.PixelData = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    data.save_as(path, enforce_file_format=True)


def write_mirax(folder: Path) -> tuple[Path, np.ndarray]:
    """Write a slide as MIRAX, of 2 x 2 pictures of which the last is missing. Returns its path and all pixels."""
    import io
    import struct

    from PIL import Image

    side, pixels = 128, scan()[:256, :256]
    inner = folder / "slide"
    inner.mkdir()
    Image.fromarray(pixels[::8, ::8]).save(folder / "slide.mrxs", format="jpeg")
    entries, data, decoded = [], b"", np.empty_like(pixels)
    for index, (row, column) in enumerate((row, column) for row in range(2) for column in range(2)):
        place = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
        coded = io.BytesIO()
        Image.fromarray(pixels[place]).save(coded, format="jpeg", quality=95)
        decoded[place] = np.asarray(Image.open(coded))
        if index == 3:
            continue  # not scanned
        entries.append((index, len(data), len(coded.getvalue()), 0))
        data += coded.getvalue()
    (inner / "Data0000.dat").write_bytes(data)
    start = len("01.02ID") + 8
    records = [start + 4, 0, start + 12, len(entries), 0, *(number for entry in entries for number in entry)]
    pointers = struct.pack("<2i", start, 0)
    (inner / "Index.dat").write_bytes(b"01.02ID" + pointers + struct.pack(f"<{len(records)}i", *records))
    sections = {
        "GENERAL": "SLIDE_ID=ID\nIMAGENUMBER_X=2\nIMAGENUMBER_Y=2\nOBJECTIVE_MAGNIFICATION=20\n"
        "CameraImageDivisionsPerSide=1\nSLIDE_VERSION=01.02",
        "HIERARCHICAL": "HIER_COUNT=1\nNONHIER_COUNT=0\nINDEXFILE=Index.dat\nHIER_0_NAME=Slide zoom level\n"
        "HIER_0_COUNT=1\nHIER_0_VAL_0_SECTION=LEVEL",
        "DATAFILE": "FILE_COUNT=1\nFILE_0=Data0000.dat",
        "LEVEL": "OVERLAP_X=0\nOVERLAP_Y=0\nMICROMETER_PER_PIXEL_X=0.23\nMICROMETER_PER_PIXEL_Y=0.24\n"
        f"IMAGE_FORMAT=JPEG\nIMAGE_FILL_COLOR_BGR=16777215\nDIGITIZER_WIDTH={side}\nDIGITIZER_HEIGHT={side}\n"
        "IMAGE_CONCAT_FACTOR=0",
    }
    (inner / "Slidedat.ini").write_text("\n".join(f"[{name}]\n{text}" for name, text in sections.items()) + "\n")
    return folder / "slide.mrxs", decoded
