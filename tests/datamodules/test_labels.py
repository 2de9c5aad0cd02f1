import pytest
from timm.data import ImageNetInfo
from torchvision.models import ResNet18_Weights

from datamodules.labels import display_names, find_class, map_labels
from datamodules.samples import ImageSource


def source(*classes, wnids=None):
    return ImageSource({}, list(classes), wnids)


def test_wnids_are_found_without_asking():
    found = map_labels(source("n01440764", "n02108422"), None)
    assert found == ([0, 243], 1000, "ImageNet labels")
    assert map_labels(source("tench", "mastiff", wnids=["n01440764", "n02108422"]), None) == found
    assert map_labels(source("n01440764", "dog"), None) is None
    assert map_labels(source("n01440764"), "none") is None


def test_all_wnids_are_those_of_torchvision():
    wnids = ImageNetInfo().label_names()
    assert map_labels(source(*wnids), "wnid").indices == list(range(1000))
    shown = display_names(source(*wnids))
    assert len(set(shown)) == 1000
    categories = ResNet18_Weights.DEFAULT.meta["categories"]  # an independent list of the same classes
    first = [name.split(",")[0].split(" (")[0] for name in shown]
    assert [(k, a, b) for k, (a, b) in enumerate(zip(first, categories, strict=True)) if a != b] == [
        (134, "crane", "crane bird"),
        (639, "maillot", "maillot tank suit"),
    ]


def test_wnids_that_are_asked_for_must_be_wnids():
    with pytest.raises(ValueError, match=r"'wnid': 1 of 2 classes are no wnids of ImageNet-1k, e\.g\. 'dog'"):
        map_labels(source("n01440764", "dog"), "wnid")


def test_names_are_found_but_for_case_and_separators():
    found = map_labels(source("Goldfish", "great_white-shark", "tench, Tinca tinca"), "name")
    assert found.indices == [1, 2, 0]
    assert (found.classes, found.labels) == (1000, "ImageNet labels, of classes found by their names")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["crane"], r"'crane' fits several classes of ImageNet, 134 \(crane\), 517 \(crane\)"),
        (["Cardigan"], "'Cardigan' fits several classes"),
        (["goldfsh"], r"'goldfsh' is none of ImageNet-1k's; did you mean 'goldfish'"),
        (["goldfish", "Carassius auratus"], "'goldfish' and 'Carassius auratus' are one class of ImageNet"),
    ],
)
def test_names_that_are_unknown_or_ambiguous_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        map_labels(source(*classes), "name")


def test_order_is_the_backbones_own():
    assert map_labels(source("ant", "bee", "cat"), "order") == ([0, 1, 2], 3, "the data's own labels")


def test_classes_are_shown_by_name():
    assert display_names(source("n01440764", "n02012849")) == ["tench, Tinca tinca", "crane (n02012849)"]
    assert display_names(source("ant", "n02012849")) == ["ant", "n02012849"]


def test_a_class_is_found_by_what_it_is_called():
    data = source("n01440764", "n01443537", "n02012849", "n03126707")
    assert find_class("n01443537", data) == 1
    assert find_class("goldfish", data) == find_class("Carassius_auratus", data) == 1
    with pytest.raises(ValueError, match="no class is called 'gold fish'; did you mean 'goldfish'"):
        find_class("gold fish", data)
    with pytest.raises(ValueError, match=r"'ant' fits several classes \('Ant', 'ANT'\)"):
        find_class("ant", source("Ant", "ANT"))
    assert find_class("ANT", source("Ant", "ANT")) == 1, "exact names come first"
