"""From an image file to pixels: what each kind of file has to become."""

from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hwnas.data.images import decode
from hwnas.data.pixels import fit, formats, read_pixels
from hwnas.errors import DataError

RAMP = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)  # v/257 is 0, 1, 2, …, 255
EIGHT = np.arange(256, dtype=np.uint8).reshape(16, 16)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> io.BytesIO:
    """A PNG as its specification has it, where pillow doesn't write such files."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    inner = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in inner))


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
def test_16_bit_grey_is_v_over_257(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"ramp.{ending}"
    Image.fromarray(RAMP).save(path)
    np.testing.assert_array_equal(read_pixels(path, 16), np.repeat(EIGHT[:, :, None], 3, axis=2))


def test_16_bit_grey_is_rounded_and_resized_as_8_bit_grey(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (40, 30), dtype=np.uint16)
    expected = np.rint(values[:30, :] / 257)
    assert (fit(Image.fromarray(values[:30]), 30)[:, :, 0] == expected).all()
    deep, shallow = fit(Image.fromarray(values), 12), fit(Image.fromarray(np.rint(values / 257).astype(np.uint8)), 12)
    assert np.abs(deep.astype(int) - shallow).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_all_16_bit_modes(mode: str) -> None:
    assert (fit(Image.new(mode, (4, 4), 257 * 77), 4) == 77).all()


@pytest.mark.parametrize(
    "pixels", [RAMP.astype(np.int32) - 1, RAMP.astype(np.int32) * 2, EIGHT.astype(np.float32)], ids=["<0", "large", "F"]
)
def test_pixels_whose_white_nobody_knows(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "odd.tiff")
    with pytest.raises(DataError, match=r"odd\.tiff: its pixels .* nobody knows which is white; store 8 or 16 bits"):
        decode(tmp_path / "odd.tiff", lambda: "odd.tiff", 16)


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(orientation: int, ending: str, tmp_path: Path) -> None:
    """Not square, so that a wrong turn is cropped elsewhere; the oracle is pillow's own."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    noise(21, 34).save(path, exif=exif, **options)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert upright.size == ((34, 21) if orientation > 4 else (21, 34))
    plain = Image.fromarray(np.asarray(upright))  # without tags
    np.testing.assert_array_equal(read_pixels(path, 16), fit(plain, 16))


def test_damaged_metadata_turns_nothing(tmp_path: Path) -> None:
    noise(16, 16).save(tmp_path / "odd.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 20)
    assert (read_pixels(tmp_path / "odd.png", 16) == np.asarray(noise(16, 16))).all()


def _palette() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.info["transparency"] = 0
    return image


def _rgba() -> Image.Image:
    red, blue, grey = [255, 0, 0, 0], [0, 0, 255, 255], [9, 9, 9, 0]
    return Image.fromarray(np.array([[red, blue], [blue, grey]], np.uint8))


def _colour_key() -> Image.Image:
    key, blue = b"\1\2\3", b"\0\0\xff"
    return Image.open(png(2, 2, 8, 2, b"\0" + key + blue + b"\0" + blue + key, (b"tRNS", b"\0\1\0\2\0\3")))


TRANSPARENT = {"RGBA": _rgba, "palette": _palette, "colour key": _colour_key}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_hidden_colours_are_not_seen(kind: str) -> None:
    white, blue = [255, 255, 255], [0, 0, 255]
    assert fit(TRANSPARENT[kind](), 2).tolist() == [[white, blue], [blue, white]]


def test_16_bit_grey_with_a_transparent_value() -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RAMP)
    expected = np.where(EIGHT == 2, 255, EIGHT)
    assert (read_pixels(png(16, 16, 16, 0, rows, (b"tRNS", struct.pack(">H", 514))), 16)[:, :, 1] == expected).all()


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    grey = Image.merge("LA", [Image.fromarray(EIGHT), Image.new("L", (16, 16), 51)])  # a fifth
    np.testing.assert_allclose(fit(grey, 16)[:, :, 0], 255 - (255 - EIGHT) / 5, atol=0.51 + 1e-9)


def test_no_hidden_colour_bleeds_into_its_neighbours() -> None:
    """White and transparent red, made smaller: nothing of it is red."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[::2, :, :] = 255
    pixels[1::2, :, 0] = 255
    assert (fit(Image.fromarray(pixels), 16) == 255).all()


@pytest.mark.parametrize("ending", ["gif", "tiff", "bmp", "tga", "ppm", "webp", "pcx", "png"])
def test_whatever_pillow_reads_is_read_and_of_many_frames_the_first(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((10, 200, 30), (200, 10, 30))]
    many = {"save_all": True, "append_images": frames[1:]} if ending in ("gif", "tiff", "webp", "png") else {}
    frames[0].save(tmp_path / f"a.{ending}", **many)
    assert np.abs(read_pixels(tmp_path / f"a.{ending}", 16).astype(int) - [10, 200, 30]).max() <= 2


def test_what_runs_other_programs_is_not_read(tmp_path: Path) -> None:
    """PostScript under another name: pillow would start Ghostscript."""
    assert not {"EPS", "WMF"} & set(formats())
    noise(8, 8).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match="not an image that pillow knows"):
        decode(tmp_path / "a.png", lambda: "a.png", 16)


@pytest.mark.parametrize(("width", "height"), [(1, 60_000), (60_000, 1), (1, 59_999)])
def test_a_line_of_pixels_takes_little_memory(width: int, height: int, tmp_path: Path) -> None:
    """9 GB, were all of it resized: its centre is what counts, here between green and blue or within green."""
    pixels = np.zeros((max(width, height), 3), np.uint8)
    middle = len(pixels) // 2
    pixels[middle - len(pixels) % 2 : middle + 1, 1] = 255
    Image.fromarray(pixels.reshape(height, width, 3)).save(tmp_path / "line.png")
    if max(width, height) % 2 == 0:
        pixels[middle:, 1] = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = decode(tmp_path / "line.png", str, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # in kB
    along = found[:, 0, 1] if height > 1 else found[0, :, 1]
    short = np.asarray(Image.open(tmp_path / "line.png")).reshape(-1, 3)[middle - 3 : middle + 3 + len(pixels) % 2]
    whole = Image.fromarray(short[None]).resize((len(short) * 224, 224), Image.Resampling.BILINEAR)
    first = (whole.width - 224) // 2
    assert (along == np.asarray(whole)[0, first : first + 224, 1]).all()


@pytest.mark.parametrize("size", [(240, 30), (31, 247), (60, 20)])
def test_images_that_arent_much_longer_than_wide_are_as_pillow_resizes_them(size: tuple[int, int]) -> None:
    image = noise(*size)
    scale = 16 / min(size)
    width, height = (max(16, round(side * scale)) for side in size)
    whole = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_array_equal(fit(image, 16), whole[top : top + 16, left : left + 16])


def _too_large(path: Path) -> None:
    path.write_bytes(png(10_000, 9_000, 8, 2, b"").getvalue())


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "not a plain file"),
    "device": (lambda p: p.symlink_to("/dev/zero"), "not a plain file"),
    "folder": (Path.mkdir, "not a plain file"),
    "link to nothing": (lambda p: p.symlink_to("nothing"), "No such file"),
    "many pixels": (_too_large, r"10000 × 9000 pixels are more than 89,478,485"),
    "empty": (Path.touch, "not an image that pillow knows"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_image_is_one_line(case: str, tmp_path: Path) -> None:
    make, words = ODD[case]
    make(tmp_path / "odd.png")
    with pytest.raises(DataError, match=f"can't decode odd: {words}") as caught:
        decode(tmp_path / "odd.png", lambda: "odd", 16)
    assert "\n" not in str(caught.value)


def test_an_image_for_which_there_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(4, 4).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "resize", lambda *_: bytearray(2**62))
    with pytest.raises(DataError, match="can't decode a: there isn't enough memory for it"):
        decode(tmp_path / "a.png", lambda: "a", 16)


def test_damaged_files_of_every_kind_are_one_line(tmp_path: Path) -> None:
    """Bytes of valid files replaced, removed or put twice: pixels, or a line that names the file."""
    rng = np.random.default_rng(0)
    told = []
    for ending in ("png", "jpg", "gif", "tiff", "webp", "bmp", "tga", "ppm", "jp2", "ico", "dds", "qoi", "pcx", "sgi"):
        buffer = io.BytesIO()
        noise(24, 18).save(buffer, Image.registered_extensions()[f".{ending}"])
        whole = buffer.getvalue()
        for _ in range(12):
            data = bytearray(whole)
            for place in rng.integers(0, min(len(data), 200), rng.integers(1, 5)):
                data[place] = rng.integers(256)
            if rng.random() < 0.3:
                del data[rng.integers(len(data)) :]
            try:
                assert decode(io.BytesIO(bytes(data)), lambda: "name", 16).shape == (16, 16, 3)
            except DataError as error:
                told.append(str(error))
    assert len(told) > 30
    assert all(line.startswith("can't decode name: ") and "\n" not in line for line in told)
