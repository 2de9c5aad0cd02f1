from callbacks.attack.publishing import STEPS, drawn_attacks
from callbacks.attack.specs import parse_attacks


def test_budgets_are_whole_numbers_on_the_step_axis():
    assert [STEPS["linf"](budget) for budget in (0.0625, 1, 255)] == [1, 16, 4080]
    assert [STEPS[norm](2.5) for norm in ("l2", "l1", "l0", "none")] == [2500, 250, 2, 0]


def test_single_images_are_drawn_of_pgd_and_the_adaptive_attack():
    def drawn(*attacks):
        return drawn_attacks(parse_attacks(list(attacks), [1], 3))

    assert drawn("fgsm", "pgd", "pgd_l2") == ("pgd",)
    assert drawn("deepfool", "pgd_l2", "adaptive") == ("pgd_l2", "adaptive")
    assert drawn("fgsm", "bim") == ("fgsm",)
    assert drawn({"name": "adaptive", "label": "ours"}) == ("ours",)
