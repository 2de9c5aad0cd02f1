import numpy as np
import pytest
from PIL import Image

from datamodules.files import ImageFile, find_images, read_rgb, without_corrupt


def test_ids_are_positions_and_labels_follow_sorted_names(make_tree):
    root = make_tree({"train": 2, "val": 1})
    (root / "val" / "ant" / "000.png").unlink()  # a class that is absent from a split keeps its label
    splits, classes, _ = find_images(root)
    assert classes == ["ant", "bee", "cat"]
    assert [file.id for file in splits["train"]] == list(range(6))
    assert [file.label for file in splits["train"]] == [0, 0, 1, 1, 2, 2]
    assert [(file.id, file.label) for file in splits["val"]] == [(0, 1), (1, 2)]


def test_missing_and_empty_folders_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' is not a folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no train/, val/ or test/ folder \(it holds: nothing\)"):
        find_images(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="holds no class folders"):
        find_images(tmp_path)
    (tmp_path / "train" / "ant").mkdir()
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"holds 1 class folders but no images: files must end in \.jpg"):
        find_images(tmp_path)


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
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
    assert_grey(tmp_path / name, grey)
    assert without_corrupt([ImageFile(0, tmp_path / name, 0)], "error")[1] == []


def assert_grey(path, grey):
    rgb = read_rgb(path)
    assert rgb.mode == "RGB"
    assert rgb.size == (9, 14)
    if grey is not None:
        np.testing.assert_allclose(np.asarray(rgb)[..., 0], grey, atol=1)


def test_first_frame_of_an_animation_and_palettes_with_alpha(tmp_path):
    frames = [Image.new("RGB", (9, 14), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    red, green, blue = read_rgb(tmp_path / "a.gif").getpixel((3, 3))
    assert red >= 254
    assert (green, blue) == (0, 0)
    palette = frames[0].convert("P")
    palette.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert read_rgb(tmp_path / "a.png").mode == "RGB"


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_32_bits_are_unreadable(tmp_path, dtype):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((14, 9), 70_000, dtype)).save(path)
    mode = {np.float32: "F", np.int32: "I"}[dtype]
    with pytest.raises(OSError, match=rf"32-bit pixels \(mode '{mode}'\) have no known range"):
        read_rgb(path)
    with pytest.raises(ValueError, match=r"1 of 1 images cannot be read, .*have no known range"):
        without_corrupt([ImageFile(0, path, 0)], "error")


def test_files_that_are_not_named_like_images_are_listed(make_tree):
    root = make_tree({"train": 1, "val": 1})
    for name in ("b.heic", "a.PNG", "a.txt", ".DS_Store"):
        (root / "train" / "bee" / name).write_bytes(b"")
    splits, _, left_out = find_images(root)
    assert [path.name for path in left_out["train"]] == ["a.txt", "b.heic"]
    assert left_out["val"] == []
    assert "a.PNG" in [file.path.name for file in splits["train"]]


@pytest.fixture
def broken_tree(make_tree):
    """A tree of 6 images whose numbers 1 and 4 cannot be read."""
    root = make_tree({"train": 2})
    whole = root / "train" / "ant" / "001.png"
    jpeg = whole.with_suffix(".jpg")
    Image.open(whole).resize((300, 200)).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size // 2])
    whole.unlink()
    (root / "train" / "cat" / "000.png").write_text("this is no image")
    return root


def test_corrupt_files_are_parted_with_path_and_reason(broken_tree):
    files = find_images(broken_tree)[0]["train"]
    good, corrupt = without_corrupt(files, "skip")
    assert [file.id for file in good] == [0, 2, 3, 5], "ids do not move when files are skipped"
    assert [item.path.name for item in corrupt] == ["001.jpg", "000.png"]
    assert "truncated" in corrupt[0].reason
    assert corrupt[1].reason == "not an image file"


def test_corrupt_files_fail_on_request_and_when_nothing_is_left(broken_tree):
    files = find_images(broken_tree)[0]["train"]
    with pytest.raises(ValueError, match=r"2 of 6 images cannot be read, the first is .*001\.jpg"):
        without_corrupt(files, "error")
    with pytest.raises(ValueError, match="none of the 1 files can be read as an image"):
        without_corrupt([files[4]], "skip")
    with pytest.raises(OSError, match="truncated"):
        read_rgb(files[1].path)
