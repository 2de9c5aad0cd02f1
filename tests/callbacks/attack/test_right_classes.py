from types import SimpleNamespace

import pytest
import torch

from callbacks.attack.right_classes import RightClasses
from datamodules.labels import LabelMap

KNOWN = LabelMap([4, 6, 1], 10, "ImageNet labels")
LABELS, PREDICTED = torch.tensor([2, 0, 0]), torch.tensor([7, 8, 9])


def find(weights="default", label_map=KNOWN):
    backbone = SimpleNamespace(num_classes=10)
    module = SimpleNamespace(hparams={"weights": weights}, extractor=SimpleNamespace(backbone=backbone))
    return RightClasses.find(module, SimpleNamespace(label_map=label_map))


def test_labels_count_in_the_numbering_of_the_backbone():
    right = find()
    assert right(LABELS, PREDICTED).tolist() == [1, 4, 4]
    assert (right.against, right.name, right.undefined) == ("labels", "ImageNet labels", "")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"weights": "none"}, "weights are random"),
        ({"label_map": None}, "classes are not the data's"),
        ({"label_map": LabelMap([4, 6, 1], 1000, "ImageNet labels")}, "classes are not the data's"),
    ],
)
def test_otherwise_the_backbone_is_its_own_reference(settings, reason):
    right = find(**settings)
    assert right(LABELS, PREDICTED).tolist() == [7, 8, 9]
    assert (right.against, right.name) == ("own prediction", "the backbone's own clean prediction")
    assert right.undefined == reason
