import pickle
import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from datamodules.decoding import LostImageError, center_view, read_pixels, to_unit, why_unreadable
from datamodules.samples import FilesBelow, Samples, pack_names


def problems(*paths):
    samples = Samples(
        np.arange(len(paths)),
        np.zeros(len(paths), np.int64),
        pack_names([path.name for path in paths]),
        FilesBelow(paths[0].parent),
    )
    return why_unreadable(samples, range(len(paths)))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "RGB", "I;16"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    grey = np.tile(np.linspace(0, 255, 14).astype(np.uint8)[:, None], (1, 9))
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    path = tmp_path / ("image.tif" if mode in ("CMYK", "LA") else "image.png")
    image.save(path)
    assert_grey(path, grey if mode not in ("1", "P") else None)


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image.pgm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, name):
    grey = np.tile(np.linspace(0, 255, 14).astype(np.uint8)[:, None], (1, 9))
    sixteen = grey.astype(np.uint16) * 257
    if name == "image.pgm":  # Pillow writes it from version 11 on, but has read it for long
        (tmp_path / name).write_bytes(b"P5 9 14 65535\n" + sixteen.astype(">u2").tobytes())
    else:
        Image.fromarray(sixteen).save(tmp_path / name)
    assert_grey(tmp_path / name, grey)
    assert problems(tmp_path / name) == [None]


def assert_grey(path, grey):
    pixels = read_pixels(path)
    assert pixels.shape == (3, 14, 9)
    assert pixels.dtype == torch.uint8
    if grey is not None:
        for channel in pixels:
            np.testing.assert_allclose(channel, grey, atol=1)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("settings", [{"subsampling": 2}, {"subsampling": 0, "progressive": True}], ids=str)
def test_jpegs_are_decoded_as_pillow_does(tmp_path, mode, settings):
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(0).integers(0, 256, (bands, 8, 11), np.uint8)
    path = tmp_path / "a.jpg"
    Image.merge(mode, [Image.fromarray(band) for band in noise]).resize((61, 43)).save(path, **settings)
    expected = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_pixels(path), expected)
    np.testing.assert_array_equal(read_pixels(path.read_bytes()), expected)


def test_pixels_need_no_decoding():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(read_pixels(pixels), pixels.transpose(2, 0, 1))


def test_first_frame_of_an_animation_and_palettes_with_alpha(tmp_path):
    frames = [Image.new("RGB", (9, 14), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    red, green, blue = read_pixels(tmp_path / "a.gif")[:, 3, 3].tolist()
    assert red >= 254
    assert (green, blue) == (0, 0)
    palette = frames[0].convert("P")
    palette.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert read_pixels(tmp_path / "a.png").shape == (3, 14, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_32_bits_are_unreadable(tmp_path, dtype):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((14, 9), 70_000, dtype)).save(path)
    mode = {np.float32: "F", np.int32: "I"}[dtype]
    with pytest.raises(OSError, match=rf"32-bit pixels \(mode '{mode}'\) have no known range"):
        read_pixels(path)
    (problem,) = problems(path)
    assert "have no known range" in problem


def test_what_is_wrong_with_a_file_is_told(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.new("RGB", (300, 200), "red").save(whole)
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    text = tmp_path / "text.png"
    text.write_text("this is no image")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    found = problems(whole, torn, text, tmp_path / "gone.png", folder)
    assert found[0] is None
    assert "truncated" in found[1]
    assert found[2:] == ["not an image file", "No such file or directory", "Is a directory"]
    for path in (torn, text, tmp_path / "gone.png"):
        with pytest.raises(OSError, match=r"truncated|cannot identify|No such file"):
            read_pixels(path)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_decompression_bombs_are_refused(tmp_path, side):
    path = tmp_path / "bomb.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        bits = Image.frombytes("1", (side, side), bytes(side // 8 * side))
        bits.save(path)
    assert 3 * side * side > 1000 * path.stat().st_size, "small on disk"
    (problem,) = problems(path)
    assert "89478485" in problem
    assert "are decoded" in problem


def reference(pixels, resize, crop, resample):
    """Pillow's resizing, then the center."""
    image = Image.fromarray(pixels)
    short = min(image.size)
    width, height = (int(resize * side / short) for side in image.size)
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    resized = image.resize((width, height), resample)
    return np.asarray(resized.crop((left, top, left + crop, top + crop))).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(50, 71), (71, 50), (13, 17), (30, 300), (300, 30)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_center_is_pillows_to_two_levels(size, mode):
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    smooth = np.array(Image.fromarray(noise).resize(size[::-1], Image.Resampling.BOX))
    view = center_view(read_pixels(smooth), 32, 28, mode)
    expected = reference(smooth, 32, 28, Image.Resampling[mode.upper()])
    assert view.shape == (3, 28, 28)
    difference = np.abs(view.numpy().astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (20, 20_000), (20_000, 20), (1, 60_000)])
def test_sizes_that_no_camera_makes(tmp_path, size):
    """An image of 20 x 20,000 pixels, resized to 256 rows, would be 196 MB; all but its middle is far outside."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    assert problems(path) == [None]
    view = center_view(read_pixels(path), 256, 224, "bicubic")
    assert view.shape == (3, 224, 224)
    if min(size) > 1:  # the middle: 224 of 256 of the short side, and as much of the long one
        rows, cols = (slice(round(side / 2 - min(size) / 2), round(side / 2 + min(size) / 2)) for side in size)
        expected = reference(pixels[rows, cols], 256, 224, Image.Resampling.BICUBIC)
        inner = slice(60, -60)  # away from the edge of the reference's own square
        assert np.abs(view[:, inner, inner].numpy().astype(int) - expected[:, inner, inner]).max() <= 2


def test_what_is_resized_is_bounded(monkeypatch):
    sizes = []
    from torchvision.transforms.v2 import functional

    original = functional.resize
    monkeypatch.setattr(functional, "resize", lambda *a, **k: sizes.append(original(*a, **k)) or sizes[-1])
    center_view(torch.zeros(3, 20, 20_000, dtype=torch.uint8), 256, 224, "bicubic")
    assert sizes[0].numel() == 3 * 256 * 2560


def test_pixels_become_float_in_unit_range():
    unit = to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, torch.tensor([0.0, 0.2, 1.0]))


class Vanished(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, position):
        try:
            raise FileNotFoundError("no such file")
        except OSError as error:
            raise LostImageError(f"image 'a.png' is gone ({error})") from error


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_lost_image_is_told_without_a_workers_traceback(num_workers):
    with pytest.raises(OSError, match=r"^image 'a\.png' is gone \(no such file\)$"):
        list(DataLoader(Vanished(), num_workers=num_workers))
    error = pickle.loads(pickle.dumps(LostImageError("image is gone")))
    assert str(error) == "image is gone"


def test_bytes_that_are_no_image_are_an_oserror():
    buffer = BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "PNG")
    for content in (b"", b"\xff\xd8\xff torn", buffer.getvalue()[:40]):
        with pytest.raises(OSError, match=r"cannot identify|truncated"):
            read_pixels(content)
