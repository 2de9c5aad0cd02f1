import pytest

from callbacks import FoolboxEvaluation
from callbacks.attack import batch as attack_batch
from tests.callbacks.attack_stage import run, run_with
from tests.callbacks.conftest import make_module


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


def test_a_target_that_is_no_class_is_refused_before_any_attack(tmp_path, root, monkeypatch):
    monkeypatch.setattr(attack_batch, "run_attack", None)
    with pytest.raises(ValueError, match="attack target 1000 is out of range: the backbone has classes 0 to 999"):
        run(tmp_path, root, attacks=[{"name": "pgd", "target": 1000}])
    with pytest.raises(ValueError, match="attack target 'whale' is no class of the data"):
        run(tmp_path, root, attacks=[{"name": "pgd", "target": "whale"}])


def test_a_source_of_other_classes_is_refused(tmp_path, root):
    with pytest.raises(ValueError, match=r"ten_classes' has 10 classes and '.*imagenet_classes' 1000"):
        run_with(tmp_path, root, source_backbone="tests.callbacks.factories:ten_classes")


def test_a_backbone_without_logits_is_refused(tmp_path, root):
    module = make_module("features", taps={"CL1": "first"})
    with pytest.raises(ValueError, match="gives no logits, so it cannot be attacked: leave the attack stage out"):
        run(tmp_path, root, module)
