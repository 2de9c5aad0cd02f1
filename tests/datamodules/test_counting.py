import pytest

from datamodules import ImageData
from datamodules.counting import count_images, decoding_rate
from tests.tiny import make_data


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, (15, 9, 6)),
        ({"per_class": 2}, (6, 6, 6)),
        ({"per_class": {"train": 4}}, (12, 9, 6)),
        ({"per_class": "equal"}, (9, 9, 6)),
        ({"attack_images": 4}, (15, 9, 4)),
        ({"classes": ["bee", "cat"]}, (10, 6, 4)),
    ],
)
def test_as_many_as_the_stages_take(make_tree, settings, counts):
    data = make_data(make_tree({"train": 5, "val": 3, "test": 2}), **settings)
    found = count_images(data)
    assert tuple(found[name] for name in ("train", "val", "attack")) == counts
    for stage in ("fit", "test"):
        data.setup(stage)
    datasets = [data.val_dataloader().dataset, data.test_dataloader().dataset]
    assert (len(data._datasets["train"]), *map(len, datasets)) == counts


def test_without_a_test_split_the_validation_images_are_attacked(make_tree):
    assert count_images(make_data(make_tree({"train": 5, "val": 3})))["attack"] == 9


def test_the_embedded_photographs_count_their_views():
    data = ImageData(views=8, attack_images=7)
    assert count_images(data) == {"train": 160, "val": 40, "attack": 7}


def test_no_image_is_opened_to_count(make_tree):
    tree = make_tree({"train": 2, "val": 1})
    for path in tree.rglob("*.png"):
        path.write_bytes(b"broken")
    assert count_images(make_data(tree)) == {"train": 6, "val": 3, "attack": 3}
    assert decoding_rate(make_data(tree)) == float("inf"), "nothing could be decoded, nothing is slow"


def test_a_rate_of_decoding(make_tree):
    tree = make_tree({"train": 4, "val": 1})
    (tree / "train" / "ant" / "000.png").write_bytes(b"broken")
    assert 10 < decoding_rate(make_data(tree), seconds=0.05) < 1e6
