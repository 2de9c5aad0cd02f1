import numpy as np
import pandas as pd
import pytest
import torch

from callbacks.attack import batch as attack_batch
from som import Lattice
from tests.callbacks.attack.own_attacks import reference
from tests.callbacks.attack_stage import KINDS, ROUNDING, STEPS, rate, run, run_with, same_ledgers, tiny, units
from tests.callbacks.conftest import TAPS, WNIDS, make_data, make_module
from tests.close import assert_close


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
    assert_close(measures_one, measures, **ROUNDING)
    assert_close(measures_shuffled, measures, **ROUNDING)


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


def test_targets_are_told_in_the_ledger_and_images_of_the_target_are_not_attacked(tmp_path, root):
    attacks = [{"name": "pgd", "target": "goldfish", "label": "aimed"}, {"name": "bim", "target": "least_likely"}]
    ledger, measures = run(tmp_path, root, attacks=attacks, epsilons=[80])
    aimed = ledger[ledger["attack"] == "aimed"]
    assert aimed["attacked"].tolist() == [True] * 3 + [False] * 6, "goldfish are there already, the others are wrong"
    assert aimed["target"].dropna().tolist() == [1, 1, 1]
    numbers = measures["attacks"]["aimed"]["80/255"]
    reached = int((aimed["adversarial_prediction"] == 1).sum())
    assert numbers["attack_success"] == rate(reached, 3)
    assert numbers["robust_accuracy"]["rate"] == pytest.approx((6 - reached) / 9)
    least = ledger[(ledger["attack"] == "bim_least_likely") & ledger["attacked"]]
    assert least["target"].tolist() == [1] * 3 + [0] * 3, "the logit of the other hue is the least"
    assert measures["specs"]["aimed"]["target"] == "goldfish"


def test_transferred_examples_stand_beside_those_of_the_white_box(tmp_path, root):
    attacks = ["fgsm", "deepfool", "adaptive"]
    source = "tests.callbacks.factories:imagenet_classes"
    ledger, measures = run_with(tmp_path, root, attacks=attacks, source_backbone=source)
    moved = "tests.callbacks.factories.imagenet_classes"
    assert list(measures["attacks"]) == [*attacks, f"fgsm_from_{moved}", f"deepfool_from_{moved}"]
    rows = ledger[ledger["attack"] == f"fgsm_from_{moved}"]
    assert (rows["source"] == source).all()
    own = ledger[ledger["attack"] == "fgsm"]
    assert own["source"].isna().all()
    # The source is the same network here, so its examples are too.
    rows, own = (each.reset_index(drop=True).drop(columns=["attack", "source"]) for each in (rows, own))
    pd.testing.assert_frame_equal(rows, own)
    assert measures["checks"][2]["passed"] is True


def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path, root, monkeypatch):
    whole, _ = run(tmp_path / "whole", root)
    attack = attack_batch.run_attack

    def small(backbone, images, *args, **kwargs):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attack(backbone, images, *args, **kwargs)

    monkeypatch.setattr(attack_batch, "run_attack", small)
    with pytest.warns(UserWarning, match="out of memory with 4 images under attack: going on with 2 at a time"):
        halved, _ = run(tmp_path / "halved", root)
    same_ledgers(halved, whole)


def test_statistics_and_gradients_of_the_backbone_stay(tmp_path, root):
    module = tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run(tmp_path, root, module, attacks=["pgd", "deepfool", "adaptive"], epsilons=[8])
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(part.training for part in module.extractor.backbone.modules())
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.slow
def test_two_processes_give_the_same(tmp_path, make_tree):
    root = make_tree({"val": 3}, classes=WNIDS)
    (root / "val" / WNIDS[0] / "001.png").unlink()
    (root / "val" / WNIDS[1] / "002.png").unlink()  # 7 images, 4 and 3 of them to a process
    one, measures_one = run(tmp_path / "one", root)
    two, measures_two = run(tmp_path / "two", root, devices=2, strategy="ddp_spawn", data=make_data(root, batch_size=2))
    assert len(one) == 7 * 6
    same_ledgers(two, one)
    assert_close(measures_two, measures_one, **ROUNDING)
    assert not list((tmp_path / "two" / "run" / "v").glob(".*part"))
