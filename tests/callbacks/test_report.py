from callbacks.report import closing_table

MAPS = {
    "collision_lift": {"CL1": None, "layer2.0": 12.345},
    "dead_channels": {"CL1": 0.0, "layer2.0": 0.5},
    "distance_ratio": {"CL1": 0.98765, "layer2.0": 0.5},
    "effective_units": {"CL1": 3.14159, "layer2.0": 1234.5},
    "explained_variance": {"CL1": 0.5, "layer2.0": -0.25},
    "label_transfer": {"CL1": 0.4321, "layer2.0": None},
    "label_transfer_null_mean": {"CL1": 0.1, "layer2.0": None},
    "quantisation_error": {"CL1": 10.04, "layer2.0": 999.7},
    "topographic_error": {"CL1": 0.25, "layer2.0": 0.0},
    "units": {"CL1": 12, "layer2.0": 1600},
}


def rate(value: float | None, low: float, high: float, trials: int = 15) -> dict:
    return {"rate": value, "low": low, "high": high, "trials": trials}


ATTACKS = {
    "reference": "ImageNet labels",
    "clean_accuracy": rate(0.8667, 0.6212, 0.9627),
    "images": 15,
    "attacked": 13,
    "attacks": {
        "fgsm": {
            "2/255": {
                "robust_accuracy": rate(0.25, 0.1, 0.5),
                "displacement": {"CL1": 1.234, "layer2.0": 0.0},
                "control_displacement": {"CL1": 0.5, "layer2.0": 0.25},
            },
            "16/255": {
                "robust_accuracy": rate(None, 0, 1, 0),
                "displacement": {"CL1": None, "layer2.0": None},
                "control_displacement": {"CL1": None, "layer2.0": None},
            },
        }
    },
}

MAPS_TEXT = """\
Maps, on the validation images
   depth    QE    TE  explained  eff. units       lift  D_in/D_out         label transfer  dead channels
--------------------------------------------------------------------------------------------------------
     CL1    10  0.25        0.5        3.14  undefined       0.988            0.432 (0.1)              0
layer2.0  1000     0      -0.25        1234       12.3         0.5  undefined (undefined)            0.5"""

ATTACKS_TEXT = """\
Attacks, by Linf budget: 13 of 15 images are right when clean, and attacked;
accuracy is against ImageNet labels, over all 15 (95 % Wilson interval);
mean displacement of the BMUs over the 13, in lattice steps: adversarial (noise of the same Linf)
attack  budget          accuracy                    CL1               layer2.0
------------------------------------------------------------------------------
  none       0  0.87 (0.62-0.96)                                              \n\
  fgsm   2/255  0.25 (0.10-0.50)             1.23 (0.5)               0 (0.25)
  fgsm  16/255         undefined  undefined (undefined)  undefined (undefined)"""


def test_known_numbers():
    assert closing_table({"validate": MAPS}) == MAPS_TEXT
    assert closing_table({"test": ATTACKS}) == ATTACKS_TEXT
    assert closing_table({"test": ATTACKS, "validate": MAPS}) == f"{MAPS_TEXT}\n\n{ATTACKS_TEXT}"


def test_missing_stages():
    assert closing_table({}) == ""
    assert closing_table({"validate": {}, "test": {}}) == ""


def test_missing_and_foreign_quantities():
    text = closing_table({"validate": {"topographic_error": {"CL1": 0.125}, "other": {"CL1": 1.0}}})
    assert text.splitlines()[1:] == ["depth     TE", "------------", "  CL1  0.125"]
    assert closing_table({"validate": {"other": {"CL1": 1.0}}}) == ""


def test_no_map_has_more_effective_units_than_units():
    maps = {
        "effective_units": {"CL1": 190.0, "CL2": 120.0, "CL3": None},
        "units": dict.fromkeys(("CL1", "CL2", "CL3"), 120),
    }
    cells = [line.split()[1] for line in closing_table({"validate": maps}).splitlines()[3:]]
    assert cells == [">120", "120", "undefined"]


def test_agreement_with_the_own_prediction_says_so():
    own = ATTACKS | {"reference": "the backbone's own clean prediction", "clean_accuracy": None, "attacked": 15}
    lines = closing_table({"test": own}).splitlines()
    assert lines[:3] == [
        "Attacks, by Linf budget: all 15 images are attacked;",
        "accuracy is agreement with the backbone's own clean prediction (95 % Wilson interval);",
        "mean displacement of the BMUs over the 15, in lattice steps: adversarial (noise of the same Linf)",
    ]
    assert lines[3].split()[:3] == ["attack", "budget", "agreement"]
    assert lines[5].split() == ["none", "0", "1", "by", "definition"]
