import re

import pytest

from callbacks.attack.catalog import CATALOG
from callbacks.attack.foolbox_library import L2FMN, foolbox
from callbacks.attack.specs import find_target, parse_attacks


def parse(*attacks, epsilons=(4, 1), steps=7):
    return parse_attacks(list(attacks), epsilons, steps)


def test_every_name_is_a_whole_specification():
    specs = parse(*CATALOG)
    assert [spec.label for spec in specs] == [spec.name for spec in specs] == list(CATALOG)
    for spec in specs:
        assert issubclass(spec.attack, foolbox.Attack)
        spec.attack(**spec.arguments)
        assert spec.epsilons == (1, 4) if spec.norm == "linf" else spec.norm == "none" or len(spec.epsilons) == 6
        assert spec.budgets == (spec.epsilons if spec.kind == "bounded" else (None,))


def test_names_and_dictionaries():
    pgd, named, l2 = parse(
        "pgd",
        {"name": "pgd", "label": "strong", "steps": 40, "restarts": 3, "epsilons": [8, 2]},
        {"name": "fgsm", "norm": "l2", "epsilons": [0.5]},
    )
    assert (pgd.label, pgd.norm, pgd.epsilons, pgd.steps) == ("pgd", "linf", (1, 4), 7)
    assert pgd.arguments == {"steps": 7, "rel_stepsize": 2.5 / 7}
    assert (named.label, named.epsilons, named.steps, named.restarts) == ("strong", (2, 8), 40, 3)
    assert named.arguments["rel_stepsize"] == 2.5 / 40
    assert (l2.label, l2.attack.__name__, l2.steps) == ("fgsm_l2", "L2FastGradientAttack", 0)
    assert (pgd.pixels(4), l2.pixels(0.5)) == (4 / 255, 0.5)
    assert (pgd.budget_name(0.0625), l2.budget_name(0.5)) == ("0.0625/255", "0.5")


def test_targets_make_labels():
    specs = parse(
        *({"name": "bim", "target": target} for target in (3, "least_likely", "random", "bull mastiff", "untargeted"))
    )
    labels = ["bim_to_3", "bim_least_likely", "bim_random", "bim_to_bull_mastiff", "bim"]
    assert [spec.label for spec in specs] == labels


def test_any_class_of_foolbox_by_its_path():
    newton, uniform = parse(
        {"class_path": "foolbox.attacks.NewtonFoolAttack", "init_args": {"steps": 3}},
        {"class_path": "foolbox.attacks.LinearSearchBlendedUniformNoiseAttack", "norm": "l1", "epsilons": [1.0]},
    )
    assert (newton.kind, newton.norm, newton.alone, newton.arguments) == ("minimal", "l2", True, {"steps": 3})
    assert (newton.label, newton.steps) == ("NewtonFoolAttack", 3)
    assert (uniform.norm, uniform.arguments["distance"]) == ("l1", foolbox.distances.l1)
    (fmn,) = parse({"class_path": "foolbox.attacks.L2FMNAttack"})
    assert fmn.attack is L2FMN, "corrected under its own path too"
    (blur,) = parse({"class_path": "foolbox.attacks.GaussianBlurAttack", "norm": "linf"})
    assert blur.norm == "linf"


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("pdg", "attack 'pdg' is unknown; did you mean 'pgd'"),
        ({}, "must have either a 'name' or a 'class_path'"),
        ({"name": "pgd", "class_path": "foolbox.attacks.PGD"}, "must have either a 'name' or a 'class_path'"),
        ({"name": "pgd", "step": 3}, "key 'step' is unknown; did you mean 'steps'"),
        ({"name": "pgd", "norm": "l0"}, "attack 'pgd': norm 'l0' is none of its own: linf, l2, l1"),
        ({"name": "fgsm", "target": 3}, "attack 'fgsm' cannot be aimed at a class (target '3'): bim, pgd"),
        ({"name": "deepfool", "target": "random"}, "attack 'deepfool' cannot be aimed at a class"),
        ({"name": "pgd", "target": -1}, "target -1 must be one of untargeted, least_likely, random, the number"),
        ({"name": "pgd", "target": 2.5}, "target 2.5 must be one of"),
        ({"name": "pgd", "epsilons": [1, -0.5]}, "attack 'pgd': epsilons has -0.5: budgets are in units of 1/255"),
        ({"name": "pgd", "epsilons": [256]}, "epsilons has 256"),
        ({"name": "pgd_l2", "epsilons": [0]}, "epsilons has 0: budgets are in units of pixel values and lie above 0"),
        ({"name": "pgd_l2", "epsilons": [float("inf")]}, "epsilons has inf"),
        ({"name": "pgd", "epsilons": []}, "epsilons [] must be a list of numbers"),
        ({"name": "pgd", "epsilons": "4"}, "epsilons '4' must be a list of numbers"),
        ({"name": "pgd", "epsilons": ["a"]}, "epsilons has a"),
        ({"name": "spatial", "epsilons": [1]}, "attack 'spatial' has no norm, so it takes no epsilons"),
        ({"name": "pgd", "steps": 0}, "attack 'pgd': steps is 0: it must be a whole number from 1"),
        ({"name": "pgd", "steps": 1.5}, "steps is 1.5"),
        ({"name": "fgsm", "steps": 3}, "attack 'fgsm' takes no steps: leave 'steps' out"),
        ({"name": "pgd", "restarts": 0}, "restarts is 0"),
        ({"name": "bim", "restarts": 2}, "attack 'bim' starts at the image itself, so 2 restarts would repeat it"),
        ({"name": "pgd", "init_args": {"step": 1}}, "attack 'pgd' has no argument 'step'; did you mean 'steps'"),
        ({"name": "ead", "init_args": {"decision_rule": "L7"}}, "attack 'ead' cannot be made with"),
        ({"name": "pgd", "label": "a/b"}, "label 'a/b' may hold letters, digits"),
        ({"class_path": "nowhere.PGD"}, "there is no module 'nowhere'"),
        ({"class_path": "foolbox.attacks.L2Brendel"}, "'L2Brendel' is no attack of 'foolbox.attacks'; did you mean"),
        ({"class_path": "foolbox.PyTorchModel"}, "'PyTorchModel' is no attack of 'foolbox'"),
        ({"class_path": "foolbox.attacks.GaussianBlurAttack"}, "minimises any norm: give its 'norm'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(attack, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        parse(attack)
    assert "\n" not in str(error.value)


def test_labels_are_unlike():
    with pytest.raises(ValueError, match="2 called 'pgd': give each a 'label' of its own"):
        parse("pgd", {"name": "pgd", "steps": 3})


def test_a_target_by_name_becomes_the_number_of_the_backbone():
    names, indices = ["tench, Tinca tinca", "goldfish"], [0, 1]
    for wanted, number in (("Tench", 0), ("tinca tinca", 0), ("tench, Tinca tinca", 0), ("goldfish", 1), (7, 7)):
        assert find_target(wanted, names, indices, 10) == number
    assert find_target("random", names, None, 10) == "random"
    for wanted, known, message in (
        (10, indices, "attack target 10 is out of range: the backbone has classes 0 to 9"),
        ("goldfisch", indices, "attack target 'goldfisch' is no class of the data; did you mean 'goldfish'"),
        ("goldfish", None, "the data's classes are not the backbone's: give the number of a class, 0 to 9"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            find_target(wanted, names, known, 10)
    with pytest.raises(ValueError, match="'crane' fits classes 3, 5"):
        find_target("crane", ["crane", "crane, machine"], [3, 5], 10)
