import re

import pytest
import torch

from callbacks import FoolboxEvaluation
from lightning_modules.plan import Costs, Rates, attack_passes, describe_plan, measure_costs, workers
from tests.callbacks.conftest import make_data, make_module, make_trainer
from tests.tiny import make_model

SETTINGS = {
    "store": None,
    "store_dtype": "float32",
    "trainer": {"max_epochs": 10, "default_root_dir": None},
    "data": {"batch_size": 64},
    "analysis": {"train_pass": True},
    "attack": {"attacks": ["fgsm", "pgd"], "epsilons": [1, 4], "steps": 5},
}
ALL = ("fit", "analyse", "attack")
COSTS = Costs(forward=2e9, maps=3e6, dimensions={"CL1": 100, "CL2": 300}, backbone=4_000_000, prototypes=500_000)
RATES = Rates(decoding=100, forward=50, maps=1000)
IMAGES = {"train": 9000, "val": 1000, "attack": 200}


def test_operations_are_those_of_the_layers():
    module = make_model()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    costs, rates = measure_costs(module, side=16, batch=6, decoding=7.0, seconds=0.01)
    convolutions = 2 * (7 * 7 * 2 * 3 * 9) + 2 * (3 * 3 * 3 * 2 * 9)  # a multiplication and an addition each
    assert costs.forward == convolutions + 2 * 3 * 5
    assert costs.dimensions == {"CL1": 10, "CL2": 15}
    search, smoothing = 2 * 12 * (10 + 15), 2 * 12 * (10 + 15)  # 6 codes, fewer than 3 + 4: one product of each
    assert costs.maps == search + smoothing
    assert costs.prototypes == 4 * 12 * 25
    assert costs.backbone == sum(4 * p.numel() for p in module.extractor.backbone.parameters())
    assert rates.decoding == 7
    assert 0 < rates.forward < 1e9
    assert 0 < rates.maps < 1e9
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), "nothing of the module changes"


def test_an_attacks_passes():
    assert attack_passes(["fgsm"], [1], steps=10) == 2 + 2 + 3
    assert attack_passes(["pgd"], [1, 2], steps=10) == 2 + 2 * (20 + 3)
    own = {"name": "pgd", "epsilons": [1, 2, 4], "steps": 3, "restarts": 2}
    assert attack_passes([own, "fgsm"], [1], steps=10) == 2 + 3 * (12 + 3) + 5


def test_they_are_the_passes_that_the_stage_makes(tmp_path, make_tree):
    module, passed = make_module(), {"there": 0, "back": 0}

    def count(network, images, logits):
        passed["there"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: passed.update(back=passed["back"] + len(gradient)))

    module.extractor.backbone.model.register_forward_hook(count)
    attacks, epsilons, steps = ["fgsm", "pgd"], [1.0, 2.0, 4.0], 5
    trainer = make_trainer(tmp_path, FoolboxEvaluation(attacks, epsilons, steps))
    trainer.test(module, datamodule=make_data(make_tree({"val": 2})), verbose=False)  # 6 images, all of them right
    assert passed["back"] == 6 * 3 * (1 + 5)
    probe = 2  # images that tell whether the backbone takes their size
    assert passed["there"] - probe + passed["back"] == 6 * attack_passes(attacks, epsilons, steps)


def lines(text):
    return {line.split("  ")[0]: line for line in text.splitlines()}


def test_the_plan_from_images():
    plan = lines(describe_plan(COSTS, RATES, IMAGES, SETTINGS, processes=1, stages=ALL))
    assert "9,000 to fit, 1,000 to validate, 200 to attack" in plan["images"]
    assert "CL1 100 x 4 MB  CL2 300 x 12 MB: 16 MB of float32, if they were stored (--store DIR)" in plan["codes"]
    assert "2 GFLOP an image, 20 TFLOP a pass over all" in plan["backbone"]
    assert "3 MFLOP an image, 27 GFLOP an epoch" in plan["maps"]
    passes = 2 + 2 * (2 + 3) + 2 * (10 + 3)
    assert f"{passes} passes an image" in plan["attacks"]
    assert "maps and their gradients 1 MB" in plan["memory"]
    # 10 epochs of 10,000 images at 50 a second; then 10,000; then 200 x 38 passes.
    assert "process  fit 33 min, analyse 3.3 min, attack 2.5 min; the backbone is the slowest" in plan["on 1 process"]


def test_the_plan_from_a_store(tmp_path):
    settings = SETTINGS | {"store": str(tmp_path / "not" / "yet"), "store_dtype": "float16"}
    settings["analysis"] = {"train_pass": False}
    plan = lines(describe_plan(COSTS, Rates(20, 50, 1000), IMAGES, settings, processes=4, stages=ALL))
    assert "8 MB of float16" in plan["codes"]
    assert "--store" not in plan["codes"]
    assert re.search(r"free at '.*/not/yet'", plan["disk"])
    # 10,000 images at 20 a second, then 10 epochs of them at 1,000; a quarter of each.
    assert "extract 2.1 min, fit 25 s, analyse 0.25 s" in plan["on 4 processes"]
    assert "decoding is the slowest" in plan["on 4 processes"]


@pytest.mark.parametrize(
    ("stages", "shown"),
    [
        (["fit"], "extract 8.3 min, fit 1.7 min; decoding"),
        (["analyse"], "extract 8.3 min, analyse 10 s; decoding"),
        (["attack"], "attack 2.5 min; decoding"),
        (["extract"], "extract 8.3 min; decoding"),
    ],
)
def test_the_plan_of_some_stages(tmp_path, stages, shown):
    settings = SETTINGS | {"store": str(tmp_path)}
    plan = lines(describe_plan(COSTS, Rates(20, 50, 1000), IMAGES, settings, processes=1, stages=stages))
    assert f"process  {shown}" in plan["on 1 process"]


@pytest.mark.parametrize("asked", [0, 1])
def test_no_more_workers_than_cores_decode(asked):
    assert workers(asked) == 1
    assert 1 <= workers(10_000) < 10_000
