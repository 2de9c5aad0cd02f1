import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.thumbnails import thumbnails
from datamodules import ImageData
from tests.callbacks.conftest import make_data


def test_images_by_id_as_the_maps_saw_them(make_tree):
    data = make_data(make_tree({"train": 1, "val": 3}), per_class=2)
    data.setup("validate")
    dataset = data.val_dataloader().dataset
    ids = dataset.samples.ids.tolist()
    assert ids != list(range(len(ids))), "a subset: ids are no positions"
    found = thumbnails(dataset, [ids[4], ids[1]], 10)
    assert set(found) == {ids[4], ids[1]}
    for number, picture in found.items():
        assert picture.shape == (10, 10, 3)
        assert picture.dtype == np.uint8
        seen = dataset[ids.index(number)]["image"].numpy()
        np.testing.assert_allclose(picture.mean((0, 1)), seen.mean((1, 2)), atol=2)
        assert picture.mean((0, 1)).argmax() == dataset[ids.index(number)]["label"], "each class has a hue"


def test_views_are_numbered_by_position():
    data = ImageData(views=4, crop=32, resize=32, num_workers=0)
    data.setup("validate")
    dataset = data.val_dataloader().dataset
    found = thumbnails(dataset, [3], 16)
    expected = np.asarray(Image.fromarray(dataset[3]["image"].permute(1, 2, 0).numpy()).resize((16, 16), 2), float)
    assert np.abs(found[3] - expected).mean() < 3


def test_a_lost_image_is_left_out_with_a_warning(make_tree):
    root = make_tree({"train": 1, "val": 2})
    data = make_data(root)
    data.setup("validate")
    dataset = data.val_dataloader().dataset
    (root / "val" / "bee" / "000.png").unlink()
    with pytest.warns(UserWarning, match="leave out 1 images that cannot be read any more, id 2 first"):
        assert set(thumbnails(dataset, range(6), 8)) == {0, 1, 3, 4, 5}


def test_codes_have_no_images():
    assert thumbnails(torch.utils.data.TensorDataset(torch.rand(3, 4)), [0, 1], 8) == {}
