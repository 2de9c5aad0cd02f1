import json
import re
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import FoolboxEvaluation, attack_batch, attack_publishing
from datamodules import ImageData
from lightning_modules import CodeSOM
from measures import wilson_interval
from som import Lattice
from tests.callbacks.conftest import TAPS, WNIDS, make_data, make_module, make_trainer
from tests.callbacks.test_foolbox_attacks import reference
from tests.conftest import write_tree

# Green images give way between 40 and 60 of 255, red ones between 60 and 80, in a single step.
EPSILONS = [80, 2, 60]
STEPS = 3
KINDS = ("clean", "adversarial", "control", "gaussian")


def run(
    folder, root, module=None, data=None, epsilons=EPSILONS, attacks=("fgsm", "pgd"), seed=0, figures=False, **settings
):
    """Run the test stage; return its ledger and its part of measures.json. Figures take most of the time."""
    evaluation = FoolboxEvaluation(list(attacks), epsilons, STEPS, seed)
    trainer = make_trainer(folder, evaluation, **settings)
    module = module or make_module("imagenet_classes")
    with pytest.MonkeyPatch.context() as patch:
        if not figures:
            patch.setattr(attack_publishing, "save_figure", lambda *args: None)
        trainer.test(module, datamodule=data or make_data(root), verbose=False)
    out = folder / "run" / "v"
    return pd.read_parquet(out / "adversarial.parquet"), json.loads((out / "measures.json").read_text())["test"]


def units(ledger: pd.DataFrame, bmu: str) -> list[int]:
    """Unit numbers on a lattice with 4 columns."""
    return (ledger[f"{bmu}_row"] * 4 + ledger[f"{bmu}_col"]).tolist()


def assert_close(got, expected):
    """Equal but for the rounding of batches."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(got[key], value)
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_close(one, other)
    else:
        assert got == (pytest.approx(expected, rel=1e-3, abs=1e-5) if isinstance(expected, float) else expected)


def same_ledgers(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 2, "val": 3}, classes=WNIDS)


def test_accounting(tmp_path, root):
    module = make_module("imagenet_classes")
    ledger, measures = run(tmp_path, root, module)
    assert len(ledger) == 2 * 3 * 9
    assert ledger.groupby(["attack", "epsilon"])["id"].apply(list).map(lambda ids: ids == list(range(9))).all()
    assert ledger["reference"].tolist() == [(0, 1, 243)[label] for label in ledger["label"]]

    # The third class is wrong when clean: never attacked, and null wherever the attack would have written.
    right = ledger["clean_prediction"] == ledger["reference"]
    assert (ledger["attacked"] == right).all()
    assert (right == (ledger["label"] < 2)).all()
    found = ("adversarial", "control_", "gaussian", "shift")
    for name in ledger.columns:
        of_attack = any(part in name for part in found) or name in ("linf", "l2", "l1", "l0")
        empty = ~right if of_attack else (right | True if name in ("source", "target") else right & False)
        assert ledger[name].isna().equals(empty), name

    assert measures["reference"] == "ImageNet labels"
    assert measures["clean_accuracy"] == rate(6, 9)
    assert measures["clean_accuracy"]["rate"] == pytest.approx(2 / 3)
    assert (measures["images"], measures["attacked"]) == (9, 6)
    lattice = Lattice(3, 4)
    seen = set()
    for attack, by_epsilon in measures["attacks"].items():
        assert list(by_epsilon) == ["2/255", "60/255", "80/255"], "sorted"
        for epsilon, numbers in by_epsilon.items():
            rows = ledger[(ledger["attack"] == attack) & (ledger["budget"] == float(epsilon[:-4]))]
            hit = rows[rows["attacked"]]
            fooled = int((hit["adversarial_prediction"] != hit["reference"]).sum())
            seen.add(fooled)
            assert numbers["attack_success"] == rate(fooled, 6)
            assert numbers["robust_accuracy"] == rate(6 - fooled, 9)
            flipped = int((hit["control_prediction"] != hit["reference"]).sum())
            assert numbers["control_success"] == rate(flipped, 6)
            for depth in TAPS:
                bmus = {kind: torch.tensor(units(hit, f"{depth}_{kind}")).long() for kind in KINDS}
                for quantity, kind in (
                    ("displacement", "adversarial"),
                    ("control_displacement", "control"),
                    ("gaussian_displacement", "gaussian"),
                ):
                    expected = float(lattice.distance(bmus["clean"], bmus[kind]).mean())
                    assert numbers[quantity][depth] == pytest.approx(expected, abs=1e-6)
    assert {0, 6} < seen, "one attack must have fooled some of the images"


def rate(successes: int, trials: int) -> dict[str, float]:
    low, high = wilson_interval(successes, trials)
    return {"rate": successes / trials, "low": low, "high": high, "trials": trials}


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_ledger_equals_an_own_attack(tmp_path, root, name):
    module = make_module("imagenet_classes")
    ledger, _ = run(tmp_path, root, module, epsilons=[60], attacks=[name], seed=7)
    data = make_data(root, batch_size=9)
    data.setup("test")
    (batch,) = data.test_dataloader()
    attacked = torch.tensor([0, 1, 2, 3, 4, 5])
    images, labels = batch["image"][attacked], batch["label"][attacked]  # 0 and 1 in either numbering
    backbone = module.extractor.backbone
    adversarial = reference(backbone, images, labels, batch["id"][attacked], name, 60 / 255, STEPS, 7)
    difference = (adversarial - images).flatten(1)
    with torch.no_grad():
        expected = {
            "adversarial_prediction": backbone(adversarial).argmax(1),
            "linf": difference.abs().amax(1),
            "l2": difference.norm(dim=1),
            **{f"{depth}_adversarial_row": winners.bmu // 4 for depth, winners in module(adversarial).items()},
            **{f"{depth}_adversarial_col": winners.bmu % 4 for depth, winners in module(adversarial).items()},
        }
        for depth, winners in module(batch["image"]).items():
            assert units(ledger, f"{depth}_clean") == winners.bmu.tolist()
    rows = ledger[ledger["attacked"]]
    for column, values in expected.items():
        np.testing.assert_allclose(rows[column].astype(float), values.double(), atol=1e-4, err_msg=column)
    np.testing.assert_allclose(rows["control_linf"], rows["linf"], atol=1e-6)
    assert (rows["control_l2"] >= rows["l2"] - 1e-4).all()
    assert (ledger["steps"] == (1 if name == "fgsm" else STEPS)).all()
    assert (ledger["seed"] == 7).all()
    assert (ledger["epsilon"] == 60 / 255).all()


def test_inference_mode_changes_nothing(tmp_path, root):
    on, measures_on = run(tmp_path / "on", root, inference_mode=True)
    off, measures_off = run(tmp_path / "off", root, inference_mode=False)
    pd.testing.assert_frame_equal(on, off)
    assert measures_on == measures_off


def test_batch_size_and_order_change_nothing(tmp_path, root):
    four, measures = run(tmp_path / "four", root)
    one, measures_one = run(tmp_path / "one", root, data=make_data(root, batch_size=1))
    data = make_data(root)
    data.setup("test")
    dataset = data.test_dataloader().dataset
    dataset.samples = dataset.samples.take(np.array([4, 8, 0, 3, 7, 1, 6, 2, 5]))
    shuffled, measures_shuffled = run(tmp_path / "shuffled", root, data=data)
    same_ledgers(one, four)
    same_ledgers(shuffled, four)
    assert_close(measures_one, measures)
    assert_close(measures_shuffled, measures)


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


def text(folder) -> str:
    events = EventAccumulator(str(folder / "run" / "v")).Reload()
    (event,) = events.Tensors("test/reference/text_summary")
    return event.tensor_proto.string_val[0].decode()


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


def test_taps_are_off_while_attacking(tmp_path, root, monkeypatch):
    module = make_module("imagenet_classes")
    network = module.extractor.backbone.model
    forward, attack = network.forward, attack_batch.run_attack
    attacking, hooks = False, {True: [], False: []}

    def watched_forward(images):
        hooks[attacking].append(sum(len(part._forward_hooks) for part in module.modules()))
        return forward(images)

    def watched_attack(*args, **kwargs):
        nonlocal attacking
        attacking = True
        try:
            return attack(*args, **kwargs)
        finally:
            attacking = False

    monkeypatch.setattr(network, "forward", watched_forward)
    monkeypatch.setattr(attack_batch, "run_attack", watched_attack)
    run(tmp_path, root, module, epsilons=[2])
    assert len(hooks[True]) >= 2 * (1 + STEPS), "the attacks ran on the watched network"
    assert set(hooks[True]) == {0}
    assert len(TAPS) in hooks[False]


def test_tensorboard_tags_and_steps(tmp_path, root):
    _, measures = run(tmp_path, root, epsilons=[0.0625, 2, 80])
    events = EventAccumulator(str(tmp_path / "run" / "v"), size_guidance={"scalars": 0})
    events.Reload()
    expected = {f"test/robust_accuracy/{attack}" for attack in ("fgsm", "pgd")} | {
        f"test/{attack}_{what}/{depth}"
        for attack in ("fgsm", "pgd")
        for what in ("displacement", "control", "amplification")
        for depth in TAPS
    }
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("test/")} == expected
    for tag in expected:
        assert [event.step for event in events.Scalars(tag)] == [1, 32, 1280], tag
    for attack, by_epsilon in measures["attacks"].items():
        values = [event.value for event in events.Scalars(f"test/robust_accuracy/{attack}")]
        assert values == pytest.approx([numbers["robust_accuracy"]["rate"] for numbers in by_epsilon.values()])
        for what, quantity in (("displacement", "displacement"), ("control", "control_displacement")):
            values = [event.value for event in events.Scalars(f"test/{attack}_{what}/CL2")]
            assert values == pytest.approx([numbers[quantity]["CL2"] for numbers in by_epsilon.values()])


def test_tensorboard_says_what_accuracies_are_against(tmp_path, root):
    run(tmp_path, root, epsilons=[2], attacks=["fgsm"])
    expected = "6 of 9 images are right when clean, and attacked; accuracy is against ImageNet labels, over all 9"
    assert text(tmp_path) == expected
    metadata = pq.read_schema(tmp_path / "run" / "v" / "adversarial.parquet").metadata
    assert metadata[b"reference"] == b"labels"


def test_figures_are_left(tmp_path, root):
    run(tmp_path, root, epsilons=[2], figures=True)
    names = sorted(path.name for path in (tmp_path / "run" / "v" / "figures").iterdir())
    assert names == ["displacement.pdf", "displacement.png", "robust_accuracy.pdf", "robust_accuracy.png"]


def failing_at(call: int):
    """An attack that fails once, at its nth call."""
    attack, calls = attack_batch.run_attack, 0

    def failing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise RuntimeError("the power is gone")
        return attack(*args, **kwargs)

    return failing


def test_an_interrupted_stage_goes_on_where_it_was(tmp_path, root, monkeypatch):
    whole, measures = run(tmp_path / "whole", root)
    folder = tmp_path / "stopped" / "run" / "v"
    with monkeypatch.context() as patch:
        patch.setattr(attack_batch, "run_attack", failing_at(8))  # in PGD on the second batch of 4
        with pytest.raises(RuntimeError, match="the power is gone"):
            run(tmp_path / "stopped", root)
    assert not [path for path in folder.iterdir() if path.name in ("adversarial.parquet", "measures.json")]
    kept = sorted(path.name for path in (folder / ".adversarial.parts").iterdir())
    assert kept == ["fgsm@000000000.parquet", "pgd@000000000.parquet"]
    attacked = []
    attack = attack_batch.run_attack
    monkeypatch.setattr(attack_batch, "run_attack", lambda *a, **k: attacked.append(a[3].tolist()) or attack(*a, **k))
    again, measures_again = run(tmp_path / "stopped", root, data=make_data(root, batch_size=3))  # of another size
    assert attacked == [[4, 5]] * 6, "image 3 had its rows, 6 to 8 are wrong when clean"
    same_ledgers(again, whole)
    assert_close(measures_again, measures)
    assert not list(folder.glob(".*part*"))


def test_parts_of_other_settings_are_refused(tmp_path, root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(attack_batch, "run_attack", failing_at(8))
        with pytest.raises(RuntimeError, match="the power is gone"):
            run(tmp_path, root)
    message = r"holds the batches of an attack that was interrupted, with other settings \(attacks, seed\)"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, root, epsilons=[3], seed=2)
    assert list((tmp_path / "run" / "v" / ".adversarial.parts").iterdir()), "nothing was deleted"


def test_an_exception_leaves_an_earlier_ledger(tmp_path, root, monkeypatch):
    before, _ = run(tmp_path, root, epsilons=[1])
    monkeypatch.setattr(attack_batch, "run_attack", failing_at(4))
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(tmp_path, root)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "v" / "adversarial.parquet"), before)


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


def test_limited_batches_are_counted_alike(tmp_path, root):
    ledger, measures = run(tmp_path, root, epsilons=[2], attacks=["fgsm"], limit_test_batches=1)
    assert ledger["id"].tolist() == [0, 1, 2, 3]
    assert measures["clean_accuracy"]["trials"] == 4
    assert measures["attacks"]["fgsm"]["2/255"]["robust_accuracy"]["trials"] == 4


def test_clean_and_attacked_images_see_one_precision(tmp_path, root, monkeypatch):
    data = make_data(root, batch_size=9)
    data.setup("test")
    (batch,) = data.test_dataloader()
    module = make_module("ten_classes", rows=3, cols=6, standardise=False, initialised=False)
    # Even units lie at an image's float32 code, odd ones at its bfloat16 code: a change of precision moves the BMU.
    with torch.no_grad():
        full = module.extractor(batch["image"]).codes
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = module.extractor(batch["image"]).codes
        for depth, som in module.maps.items():
            som.prototypes.copy_(torch.stack([full[depth], half[depth].float()], dim=1).flatten(0, 1))
            som.initialised.fill_(True)
    monkeypatch.setattr(attack_batch, "run_attack", lambda backbone, images, *args, **kwargs: images.clone())
    ledger, _ = run(tmp_path, root, module, data, epsilons=[2], attacks=["fgsm"], precision="bf16-mixed")
    for depth in TAPS:
        bmus = {kind: ledger[f"{depth}_{kind}_row"] * 6 + ledger[f"{depth}_{kind}_col"] for kind in KINDS}
        assert bmus["clean"].tolist() == [2 * k + 1 for k in range(9)]
        for kind in KINDS:
            assert bmus[kind].tolist() == bmus["clean"].tolist(), kind


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilons": [4, 0]}, r"attack\.epsilons has 0: budgets are in units of 1/255 and lie in \(0, 255\]"),
        ({"epsilons": [-1.5]}, r"attack\.epsilons has -1\.5"),
        ({"epsilons": [256]}, r"attack\.epsilons has 256"),
        ({"epsilons": [float("nan")]}, r"attack\.epsilons has nan"),
        (
            {"epsilons": [1, 0.25, 0.26]},
            r"attack 'fgsm' has epsilons 0\.25 and 0\.26, which share a step of TensorBoard's axis",
        ),
        ({"epsilons": [0.001, 0.002]}, r"attack 'fgsm' has epsilons 0\.001 and 0\.002"),
        ({"epsilons": []}, r"attack\.epsilons \[\] must each name at least one"),
        ({"attacks": []}, r"attack\.attacks \[\] and attack\.epsilons"),
        ({"steps": 0}, r"attack\.steps is 0 and attack\.seed 0: steps must be at least 1, the seed 0"),
        ({"seed": -1}, r"attack\.seed -1"),
        ({"save_images": -1}, r"attack\.save_images is -1: it must be at least 0"),
        ({"reference_images": -2}, r"attack\.reference_images is -2"),
        ({"attacks": ["pdg"]}, "attack 'pdg' is unknown; did you mean 'pgd'?"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        FoolboxEvaluation(**settings)


def test_a_backbone_without_logits_is_refused(tmp_path, root):
    module = make_module("features", taps={"CL1": "first"})
    with pytest.raises(ValueError, match="gives no logits, so it cannot be attacked: leave the attack stage out"):
        run(tmp_path, root, module)


@pytest.mark.slow
def test_two_processes_give_the_same(tmp_path, make_tree):
    root = make_tree({"val": 3}, classes=WNIDS)
    (root / "val" / WNIDS[0] / "001.png").unlink()
    (root / "val" / WNIDS[1] / "002.png").unlink()  # 7 images, 4 and 3 of them to a process
    one, measures_one = run(tmp_path / "one", root)
    two, measures_two = run(tmp_path / "two", root, devices=2, strategy="ddp_spawn", data=make_data(root, batch_size=2))
    assert len(one) == 7 * 6
    same_ledgers(two, one)
    assert_close(measures_two, measures_one)
    assert not list((tmp_path / "two" / "run" / "v").glob(".*part"))
