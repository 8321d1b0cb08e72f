"""Pictures: pixels are those of Pillow and NumPy, what is converted is named, what is unclear is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import UserError
from pipeline.images.pictures import all_faults, decode_picture, refuse

RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
GRAY = RGB[:, :, 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (6, 5), np.uint16)
DEEP[0, :4] = 0, 65535, 128, 129  # 129 / 257 is above one half


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def png_of_16_bits(values):
    """A PNG of 16 bits a value, which Pillow does not write in colour: uint16, (H, W, C)."""
    height, width, channels = values.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_eight_bits_are_as_they_are(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode_picture("a", encoded(RGB, kind, **options))
    assert torch.equal(picture.pixels, torch.from_numpy(RGB.transpose(2, 0, 1).copy()))
    assert (picture.changes, picture.fault) == ((), "")
    if kind != "WEBP":  # which has no gray
        picture = decode_picture("a", encoded(GRAY, kind))
        assert torch.equal(picture.pixels, torch.from_numpy(GRAY[None].copy()))
        assert picture.changes == ()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "RGBA", "PA"])
def test_other_colours_are_pillows_rgb_as_in_torch_fidelity_and_pytorch_fid(mode):
    image = Image.fromarray(RGB).convert("P").convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(GRAY))
    data = encoded(image, "TIFF")
    theirs = np.array(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
    picture = decode_picture("a", data)
    np.testing.assert_array_equal(picture.pixels, theirs)
    says = {"RGBA": ("alpha dropped",), "PA": ("alpha dropped", "palette to RGB"), "P": ("palette to RGB",)}
    assert picture.changes == says.get(mode, (f"{mode} to RGB",))


def test_gray_with_alpha_is_its_gray():
    image = Image.fromarray(GRAY).convert("LA")
    image.putalpha(Image.fromarray(RGB[:, :, 1]))
    picture = decode_picture("a", encoded(image, "PNG"))
    np.testing.assert_array_equal(picture.pixels, GRAY[None])
    assert picture.changes == ("alpha dropped",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_of_gray_are_scaled_to_the_nearest(kind):
    picture = decode_picture("a", encoded(DEEP, kind))
    assert picture.pixels.shape == (1, 6, 5)
    np.testing.assert_array_equal(picture.pixels[0], np.rint(DEEP / 65535 * 255).astype(np.uint8))
    assert picture.changes == ("16 bits to 8",)


@pytest.mark.parametrize(("channels", "shape"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_sixteen_bits_of_eight_are_the_eight(channels, shape):
    """As other tools write them, times 257; of colour, Pillow keeps the upper byte, which is the same there."""
    values = np.repeat(GRAY[:, :, None], channels, 2) if channels == 2 else RGB[:, :, [0, 1, 2, 0][:channels]]
    picture = decode_picture("a", png_of_16_bits(values.astype(np.uint16) * 257))
    np.testing.assert_array_equal(picture.pixels, values[:, :, :shape].transpose(2, 0, 1))
    assert picture.changes == ("16 bits to 8",) + (("alpha dropped",) if channels in (2, 4) else ())


def test_what_is_not_applied_is_named():
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = decode_picture("a", encoded(RGB, "PNG", exif=turned))
    np.testing.assert_array_equal(picture.pixels, RGB.transpose(2, 0, 1))
    assert picture.changes == ("EXIF rotation not applied",)
    pages = {"save_all": True, "append_images": [Image.fromarray(255 - RGB)]}
    picture = decode_picture("a", encoded(RGB, "TIFF", **pages))
    np.testing.assert_array_equal(picture.pixels, RGB.transpose(2, 0, 1))
    assert picture.changes == ("first of several frames",)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (encoded(DEEP.astype(np.float32), "TIFF"), "has floats, whose range is unknown"),
        (encoded(DEEP.astype(np.int32), "TIFF"), "has integers of another size than 8 or 16 bits (I;32S)"),
        (
            encoded(Image.frombytes("LAB", (5, 6), RGB.tobytes()), "TIFF"),
            "is no image: ValueError: conversion from LAB",
        ),
        (b"PAR1", "is no image: UnidentifiedImageError"),
        (encoded(RGB, "PNG")[:-40], "is no image: "),
    ],
)
def test_what_cannot_be_read_is_a_fault_and_no_pixels(data, says):
    picture = decode_picture("a.x", data)
    assert picture.pixels is None
    assert picture.misfit(None).startswith(f"a.x {says}")


def test_the_first_ten_faults_and_their_number_are_one_line():
    pictures = [decode_picture(f"{i}", encoded(GRAY if i % 2 else RGB, "PNG")) for i in range(30)]
    faults = all_faults([*pictures, decode_picture("30", b"")], (3, 6, 5))
    with pytest.raises(UserError) as error:
        refuse("--reference x", faults, 31)
    assert str(error.value).startswith("--reference x: 16 of 31 images cannot be used: 1 is gray 6×5; 3 is gray 6×5; ")
    assert str(error.value).endswith("; 19 is gray 6×5; …")
    assert "\n" not in str(error.value)
    refuse("--reference x", [], 31)
