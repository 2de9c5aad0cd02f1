import re
import warnings

import pyarrow.parquet as pq
import pytest
import torch

from callbacks.attack import batch as attack_batch
from datamodules import ImageData
from lightning_modules import CodeSOM
from tests.callbacks.attack_stage import rate, run, text
from tests.callbacks.conftest import WNIDS, make_data, make_module
from tests.conftest import write_tree


def test_labels_count_where_a_mapping_is_given(tmp_path, make_tree):
    root = make_tree({"val": 1}, classes=tuple("0123456789"))
    data = make_data(root, mapping="order")
    ledger, measures = run(tmp_path, root, make_module("ten_classes"), data=data, epsilons=[2], attacks=["fgsm"])
    assert measures["reference"] == "the data's own labels"
    assert ledger["reference"].equals(ledger["label"])
    assert measures["clean_accuracy"]["trials"] == 10
    names = write_tree(tmp_path / "fish", {"test": 1}, classes=("Tench", "goldfish"))
    data = make_data(names, mapping="name")
    ledger, measures = run(tmp_path / "names", names, data=data, epsilons=[2], attacks=["fgsm"])
    assert measures["reference"] == "ImageNet labels, of classes found by their names"
    assert ledger["reference"].tolist() == [0, 1]


@pytest.mark.parametrize(("factory", "classes"), [("imagenet_classes", ("ant", "bee", "cat")), ("ten_classes", WNIDS)])
def test_without_a_mapping_the_backbone_is_its_own_reference(tmp_path, make_tree, factory, classes):
    root = make_tree({"val": 2}, classes=classes)
    module = make_module(factory)
    module.extractor.backbone.expected_accuracy = 0.99  # says nothing about these classes
    ledger, measures = run(tmp_path, root, module, epsilons=[2], attacks=["fgsm"])
    assert measures["reference"] == "the backbone's own clean prediction"
    assert ledger["reference"].equals(ledger["clean_prediction"])
    assert ledger["attacked"].all()
    assert ledger["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert measures["clean_accuracy"] is None, "it would be 1 by definition"
    assert measures["images"] == measures["attacked"] == 6
    assert measures["attacks"]["fgsm"]["2/255"]["attack_success"]["trials"] == 6
    metadata = pq.read_schema(tmp_path / "run" / "v" / "adversarial.parquet").metadata
    assert metadata[b"reference"] == b"own prediction"
    assert text(tmp_path) == (
        "all 6 images are attacked; accuracy is agreement with the backbone's own clean prediction"
    )


def test_random_weights_are_their_own_reference(tmp_path, root, caplog):
    module = make_module("imagenet_classes")
    module.hparams["weights"] = "none"  # the labels are ImageNet's, but nothing was trained on them
    with caplog.at_level("INFO"):
        ledger, measures = run(tmp_path, root, module, epsilons=[2], attacks=["fgsm"])
    assert "the backbone's weights are random; what counts as right is the backbone's own clean" in caplog.text
    assert measures["reference"] == "the backbone's own clean prediction"
    assert measures["clean_accuracy"] is None
    assert ledger["attacked"].all()
    assert ledger["reference"].equals(ledger["clean_prediction"])


def test_low_clean_accuracy_warns(tmp_path, root):
    module = make_module("imagenet_classes")  # right on 6 of 9 images, 95 % interval 35.4 % to 87.9 %
    module.extractor.backbone.expected_accuracy = 0.88
    message = r"clean accuracy 66\.7% \(95 % interval 35\.4% to 87\.9%\) is below the 88\.0% that 'tests\.callbacks"
    with pytest.warns(UserWarning, match=message):
        run(tmp_path / "low", root, module, epsilons=[1], attacks=["fgsm"])
    module.extractor.backbone.expected_accuracy = 0.87
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(tmp_path / "expected", root, module, epsilons=[1], attacks=["fgsm"])
    assert not [w for w in caught if "clean accuracy" in str(w.message)]


@pytest.mark.parametrize(
    ("settings", "images", "right", "warns"),
    [
        ({}, 20, 18, False),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, 20, 15, True),
        # On fewer images only the published accuracy can be held against them.
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, 10, None, False),
    ],
)
def test_a_wrong_normalisation_shows_on_the_embedded_photographs(tmp_path, settings, images, right, warns):
    module = CodeSOM(taps={"CL1": "_blocks.2"}, statistics=["max"], rows=1, cols=2, **settings)
    data = ImageData(attack_images=images, num_workers=0, batch_size=20)
    data.adopt(module.extractor.backbone.preprocessing)
    data.setup("test")
    for som in module.maps.values():
        som.standardiser.update(torch.rand(4, som.dimensions))
        som.initialise(torch.rand(4, som.dimensions))
    with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(attack_batch, "run_attack", lambda backbone, images, *args, **kwargs: images.clone())
        _, measures = run(tmp_path, None, module, data, epsilons=[1], attacks=["fgsm"])
    assert measures["clean_accuracy"]["trials"] == images
    texts = [str(w.message) for w in caught if "clean accuracy" in str(w.message)]
    assert len(texts) == warns
    if right is not None:
        assert measures["clean_accuracy"]["rate"] == pytest.approx(right / 20, abs=0.051)  # one may turn by CPU
    if warns:
        assert re.search(
            r"1[3-6] of the 20 embedded photographs, 'efficientnet_lite0' gets 18: check labels, resizing and", texts[0]
        )


def test_tensorboard_says_what_accuracies_are_against(tmp_path, root):
    run(tmp_path, root, epsilons=[2], attacks=["fgsm"])
    expected = "6 of 9 images are right when clean, and attacked; accuracy is against ImageNet labels, over all 9"
    assert text(tmp_path) == expected
    metadata = pq.read_schema(tmp_path / "run" / "v" / "adversarial.parquet").metadata
    assert metadata[b"reference"] == b"labels"


@pytest.mark.filterwarnings("ignore:.*has a single class")
def test_nothing_to_attack(tmp_path, make_tree):
    root = make_tree({"val": 2}, classes=WNIDS)
    for name in WNIDS[:2]:
        for path in (root / "val" / name).iterdir():
            path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attack_batch, "run_attack", None)  # never called
        with pytest.warns(UserWarning, match="none of 2 images is right when clean: nothing was attacked"):
            ledger, measures = run(tmp_path, root, epsilons=[2, 4], attacks=["pgd"], figures=True)
    assert not ledger["attacked"].any()
    assert ledger["linf"].isna().all()
    assert measures["clean_accuracy"] == rate(0, 2)
    numbers = measures["attacks"]["pgd"]["2/255"]
    assert numbers["attack_success"] == {"rate": None, "low": 0, "high": 1, "trials": 0}
    assert numbers["robust_accuracy"] == rate(0, 2)
    assert numbers["displacement"] == {"CL1": None, "CL2": None}
