import re

import numpy as np
import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.callbacks.attack_stage import run, run_with
from tests.callbacks.conftest import TAPS, WNIDS
from tests.callbacks.events import pictures


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


def test_undefined_scalars_are_left_out(tmp_path, make_tree):
    """Blue images are wrong when clean: none is attacked, and nothing is displaced."""
    root = make_tree({"train": 2, "val": 3}, classes=("n01440764", "n01443537", "n02108422"))
    for path in [*root.glob("val/n0144*/*")]:
        path.unlink()
    with pytest.warns(UserWarning, match="nothing was attacked"):
        run(tmp_path, root, epsilons=[80])
    events = EventAccumulator(str(tmp_path / "run" / "v")).Reload()
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("test/")} == {
        "test/robust_accuracy/fgsm",
        "test/robust_accuracy/pgd",
    }


def test_figures_are_left(tmp_path, root):
    run(tmp_path, root, epsilons=[80], figures=True)
    names = sorted(path.name for path in (tmp_path / "run" / "v" / "figures").iterdir())
    expected = [
        "amplification",
        "attacked_maps",
        "displacement",
        "robust_accuracy",
        "separation_pgd",
        "trajectories_pgd",
    ]
    assert names == [f"{name}.{kind}" for name in expected for kind in ("pdf", "png")]
    assert sorted(pictures(tmp_path / "run" / "v")) == [f"3_attacks/{name}" for name in expected]


def test_images_are_kept_when_asked(tmp_path, root):
    ledger, _ = run_with(tmp_path, root, attacks=["pgd", "deepfool"], save_images=4)
    folder = tmp_path / "run" / "v" / "adversarial_images"
    assert sorted(path.name for path in folder.iterdir()) == [
        "deepfool@minimal.safetensors",
        *(f"pgd@{budget}.safetensors" for budget in (2, 60, 80)),
    ]
    kept = load_file(folder / "pgd@60.safetensors")
    assert kept["id"].tolist() == [0, 1, 2, 3], "the first that are right when clean"
    rows = ledger[(ledger["attack"] == "pgd") & (ledger["budget"] == 60)].set_index("id").loc[[0, 1, 2, 3]]
    step = (kept["adversarial"] - kept["clean"]).flatten(1)
    np.testing.assert_allclose(step.abs().amax(1), rows["linf"], rtol=1e-6)
    np.testing.assert_allclose((kept["control"] - kept["clean"]).flatten(1).norm(dim=1), rows["control_l2"], rtol=1e-5)


def test_training_images_tell_regions_progress_and_scores(tmp_path, make_tree):
    root = make_tree({"train": 9, "val": 3}, classes=WNIDS)
    ledger, measures = run_with(tmp_path, root, attacks=["pgd", "deepfool"], reference_images=24)
    assert measures["reference_images"] == 24
    assert {"CL1_clean_lid", "CL2_adversarial_mahalanobis", "CL1_control_progress"} <= set(ledger)
    numbers = measures["attacks"]["pgd"]["80/255"]
    for depth in TAPS:
        assert numbers["by_depth"][depth]["region"]["inside"]["trials"] >= 0
        assert numbers["by_depth"][depth]["target_rank"]["of"] == 3
    assert set(numbers["separation"]) >= {"relative_error", "log_density", "lid", "knn", "mahalanobis", "max_softmax"}
    assert set(measures["homogeneity"]["deepfool"]) == set(TAPS)


def test_every_attack_has_a_bar_with_the_time_left(tmp_path, root, capfd):
    run(tmp_path, root, epsilons=[2], enable_progress_bar=True)
    shown = capfd.readouterr().err
    for name in ("fgsm", "pgd"):
        assert re.search(rf"{name}: 100%\|.*\| 9/9 \[.*<00:00, .*img/s\]", shown), shown


def test_bars_go_with_those_of_the_trainer(tmp_path, root, capfd):
    run(tmp_path, root, epsilons=[2], enable_progress_bar=False)
    assert "fgsm" not in capfd.readouterr().err
