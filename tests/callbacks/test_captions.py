import numpy as np

from callbacks.captions import captioned

PICTURE = np.random.default_rng(0).integers(0, 200, (36, 48, 3), np.uint8)


def test_the_picture_is_whole_below_its_title():
    sheet = captioned(PICTURE, "a title", "a note")
    assert sheet.shape == (18 + 4 + 9 * 36 + 4 + 18, 9 * 48, 3), "9 x 48 is the first multiple above 420"
    assert sheet.dtype == np.uint8
    assert np.array_equal(sheet[22:][: 9 * 36 : 9, ::9], PICTURE)
    for words in (sheet[:18], sheet[-18:]):
        assert words[:, :100].min() < 100 < 250 < words[:, 200:].min(), "words at the left, white at the right"


def test_a_long_title_takes_more_lines():
    sheet = captioned(PICTURE, "word " * 60, "a note")
    assert len(sheet) == 6 * 18 + 4 + 9 * 36 + 4 + 18
    assert (sheet[: 6 * 18, -4:] == 255).all(), "none is cut off"


def test_what_colours_mean():
    plain = captioned(PICTURE, "a title", "a note")
    dense = captioned(PICTURE, "a title", "a note", ends=("none", "all"))
    assert np.array_equal(dense[: len(plain)], plain)
    bar = dense[len(plain) + 8]
    assert tuple(bar[0]) == (68, 1, 84), "viridis from its dark end"
    assert tuple(bar[-1]) == (253, 231, 37)
    keys = [("red", np.array([1.0, 0, 0])), ("green", np.array([0, 1.0, 0])), ("blue", np.array([0, 0, 1.0]))]
    keyed = captioned(PICTURE, "a title", "a note", keys=keys)
    assert len(keyed) == len(plain) + 2 * 18
    patches = keyed[len(plain) + 8], keyed[len(plain) + 18 + 8]
    assert [tuple(row[at]) for row, at in ((patches[0], 4), (patches[0], 220), (patches[1], 4))] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]


def test_a_wide_picture_keeps_its_pixels():
    wide = np.tile(PICTURE, (1, 10, 1))
    assert captioned(wide, "a title", "a note").shape[1] == 480
