from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from datamodules.sources.folder import list_folder
from datamodules.subsets import draw_per_class, only_classes, only_listed, split_off_validation


def names(samples):
    return [samples.name(position) for position in range(len(samples))]


def identities(samples):
    return dict(zip(names(samples), samples.ids.tolist(), strict=True))


@pytest.fixture
def source(make_tree):
    """Images by class: ant 5, bee 8, cat 1 to train; 3 of each to validate."""
    root = make_tree({"train": 8, "val": 3})
    for name, last in (("ant", 5), ("cat", 1)):
        for number in range(last, 8):
            (root / "train" / name / f"{number:03d}.png").unlink()
    return list_folder(root)


def alone(source):
    return replace(source, splits={"train": source.splits["train"]})


def test_validation_is_split_off_by_class(source):
    whole = source.splits["train"]
    splits = split_off_validation(alone(source), 0.3, seed=0).splits
    assert list(splits) == ["train", "val"]
    assert np.bincount(splits["val"].labels).tolist() == [2, 2], "round(1.5), round(2.4), none of one"
    assert np.bincount(splits["train"].labels).tolist() == [3, 6, 1]
    assert identities(splits["train"]) | identities(splits["val"]) == identities(whole), "ids are those of the whole"
    assert all((np.diff(part.ids) > 0).all() for part in splits.values())


@pytest.mark.parametrize(("share", "counts"), [(0.01, [1, 1]), (0.99, [4, 7])])
def test_no_split_is_left_without_a_class(source, share, counts):
    splits = split_off_validation(alone(source), share, seed=0).splits
    assert np.bincount(splits["val"].labels).tolist() == counts
    assert set(splits["train"].labels.tolist()) == {0, 1, 2}


def test_the_split_depends_on_seed_and_class_alone(source):
    def val(seed, data):
        return set(names(split_off_validation(data, 0.5, seed).splits["val"]))

    assert val(0, alone(source)) == val(0, alone(source)) != val(1, alone(source))
    bees = only_classes(alone(source), ["bee"])
    assert val(0, bees) == {name for name in val(0, alone(source)) if "bee" in name}


def test_a_source_with_validation_images_is_left_alone(source):
    assert split_off_validation(source, 0.5, 0) is source
    test = replace(source, splits={"test": source.splits["train"]})
    assert split_off_validation(test, 0.5, 0) is test


def test_some_classes_keep_ids_and_count_labels_anew(source):
    part = only_classes(source, ["cat", "Ant"])
    assert part.classes == ["ant", "cat"], "in the source's order"
    assert part.splits["train"].ids.tolist() == [0, 1, 2, 3, 4, 13]
    assert part.splits["train"].labels.tolist() == [0] * 5 + [1]
    assert names(part.splits["val"])[3:] == [f"val/cat/{k:03d}.png" for k in range(3)]
    with pytest.raises(ValueError, match=r"no class is called 'cta'; did you mean 'cat'"):
        only_classes(source, ["cta"])


def test_wnids_are_subset_with_their_classes(source):
    source = replace(source, wnids=["n01440764", "n01443537", "n01484850"])
    part = only_classes(source, ["goldfish", "great_white_shark"])
    assert part.classes == ["bee", "cat"]
    assert part.wnids == ["n01443537", "n01484850"]


def test_a_listing_takes_paths_and_ids(source, tmp_path):
    listing = tmp_path / "ids.txt"
    listing.write_text("# mine\n\nval/7\nant/002.png\n./train/bee/001.png\nval/ant/000.png\nval/0\n")
    with pytest.raises(ValueError, match=r"'ant/002\.png' fits 'train/ant/002\.png' and 'val/ant/002\.png'|fit"):
        only_listed(replace(source, splits={"train": source.splits["train"]}), listing)
    part = only_listed(source, listing)
    assert names(part.splits["train"]) == ["train/ant/002.png", "train/bee/001.png"]
    assert names(part.splits["val"]) == ["val/ant/000.png", "val/ant/002.png", "val/cat/001.png"]
    assert part.splits["val"].ids.tolist() == [0, 2, 7]
    assert part.classes == source.classes


def test_splits_that_a_listing_does_not_name_stay_whole(source, tmp_path):
    listing = tmp_path / "ids.txt"
    listing.write_text("val/bee/002.png\r\n")
    part = only_listed(source, listing)
    assert names(part.splits["val"]) == ["val/bee/002.png"]
    assert part.splits["train"] is source.splits["train"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("val/dog/000.png", r"1 of 1 lines fit no image, e\.g\. 'val/dog/000\.png': .*\(splits: train, val\)"),
        ("7", "fit no image, e.g. '7'"),
        ("val/9", "fit no image, e.g. 'val/9'"),
        ("000.png", r"'000\.png' fits 'train/ant/000\.png' and 'train/bee/000\.png': give more of the path"),
    ],
)
def test_lines_that_fit_none_or_several_are_refused(source, tmp_path, line, message):
    (tmp_path / "ids.txt").write_text(line)
    with pytest.raises(ValueError, match=message):
        only_listed(source, tmp_path / "ids.txt")


def draw(source, per_class, seed=0, **without):
    usable = {split: np.ones(len(samples), bool) for split, samples in source.splits.items()}
    for split, positions in without.items():
        usable[split][positions] = False
    drawn = draw_per_class(source, usable, per_class, seed)
    return {split: names(source.splits[split].take(positions)) for split, positions in drawn.items()}


def counts(source, drawn):
    return {
        split: [sum(f"/{name}/" in path for path in paths) for name in source.classes] for split, paths in drawn.items()
    }


def test_none_takes_all_that_is_usable(source):
    drawn = draw(source, None, train=[0, 13])
    assert len(drawn["train"]) == 12
    assert drawn["train"][0] == "train/ant/001.png"


def test_the_same_number_of_each_class(source):
    source = only_classes(source, ["ant", "bee"])
    drawn = draw(source, 3)
    assert counts(source, drawn) == {"train": [3, 3], "val": [3, 3]}
    assert drawn["train"] == sorted(drawn["train"])
    assert drawn == draw(source, 3) != draw(source, 3, seed=1)
    assert set(draw(source, 2)["train"]) < set(drawn["train"]), "fewer are part of more"


def test_numbers_may_differ_by_split(source):
    source = only_classes(source, ["ant", "bee"])
    assert counts(source, draw(source, {"train": 4})) == {"train": [4, 4], "val": [3, 3]}


def test_equal_takes_what_the_smaller_split_has(source):
    drawn = draw(source, "equal")
    assert counts(source, drawn) == {"train": [3, 3, 1], "val": [3, 3, 1]}
    assert counts(source, draw(source, "equal", val=[0, 1]))["train"] == [1, 3, 1]


def test_what_cannot_be_used_is_replaced_by_the_next(source):
    """Whenever it is found: then the draw does not depend on what was read before."""
    bees = only_classes(source, ["bee"])
    draws = [set(draw(bees, {"train": n})["train"]) for n in range(9)]
    order = [(more - fewer).pop() for fewer, more in pairwise(draws)]
    for position in range(8):
        lost = bees.splits["train"].name(position)
        rest = [name for name in order if name != lost]
        assert set(draw(bees, {"train": 3}, train=[position])["train"]) == set(rest[:3])


def test_a_class_with_too_few_is_named(source):
    message = r"asks for 6 train images of a class, but 2 of 3 classes have fewer, e\.g\. 'ant' has 5"
    with pytest.raises(ValueError, match=message):
        draw(source, {"train": 6})


def test_an_unknown_class_comes_with_those_that_there_are(source):
    with pytest.raises(ValueError, match=r"no class is called 'zz'; there are .*cat.*, give one of these"):
        only_classes(source, ["zz"])


def test_a_listing_that_is_no_text_is_named(source, tmp_path):
    path = tmp_path / "listing.bin"
    path.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"data\.ids '.*listing\.bin' is no text: give a text file"):
        only_listed(source, path)
