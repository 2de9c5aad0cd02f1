import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from callbacks.projector import HEADER, add_prototypes
from measures import principal_coordinates
from tests.callbacks.laid_out import table


def written(folder):
    (place,) = folder.glob("*/*/tensors.tsv")
    metadata = pd.read_csv(place.parent / "metadata.tsv", sep="\t", keep_default_na=False)
    return np.loadtxt(place), metadata, place.parent / "sprite.png"


def test_prototypes_with_what_is_known_of_each_unit(tmp_path):
    prototypes = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    hits = table((0, 1, 2, 3), (1, 1, 2, 1), (2, 0, 0, 4))
    nearest = np.full(12, -1)
    nearest[[0, 6]] = [40, 41]
    sprites = {40: np.full((64, 64, 3), (255, 0, 0), np.uint8), 41: np.full((64, 64, 3), (0, 0, 255), np.uint8)}
    with SummaryWriter(str(tmp_path)) as writer:
        add_prototypes(
            writer, "validate/prototypes/CL1", prototypes, hits, ["ant", "bee\t2", "cat"], nearest, sprites, 7
        )
    scores, metadata, sprite = written(tmp_path)
    np.testing.assert_allclose(scores, principal_coordinates(prototypes, 5), atol=1e-5)
    assert list(metadata.columns) == HEADER
    assert metadata.iloc[6].tolist() == [6, 1, 2, 4, "ant", "0.75"]
    assert metadata.iloc[0].tolist() == [0, 0, 0, 4, "cat", "1.00"]
    assert metadata.iloc[5].tolist() == [5, 1, 1, 0, "no image", ""]
    picture = np.asarray(Image.open(sprite).convert("RGB")).astype(int)
    assert picture.shape == (128, 128, 3), "4 x 4 sprites of 32 pixels for 12 units"
    assert tuple(picture[16, 16]) == (255, 0, 0)
    assert tuple(picture[32 + 16, 64 + 16]) == (0, 0, 255), "unit 6 is in the second row of four"
    assert tuple(picture[16, 32 + 16]) == (225, 225, 225)
    assert "validate/prototypes/CL1" in (tmp_path / "projector_config.pbtxt").read_text()


def test_without_images_and_with_values_that_are_not_finite(tmp_path):
    prototypes = torch.full((6, 2), torch.nan)
    with SummaryWriter(str(tmp_path)) as writer:
        add_prototypes(writer, "tag", prototypes, np.zeros((1, 2, 3), int), ["ant"], np.full(6, -1), {}, 0)
    scores, metadata, sprite = written(tmp_path)
    assert (scores == 0).all()
    assert set(metadata["class"]) == {"no image"}
    assert not sprite.exists()
