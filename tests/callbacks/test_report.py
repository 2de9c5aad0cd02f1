from callbacks.report import closing_table

MAPS = {
    "collision_lift": {"CL1": None, "layer2.0": 12.345},
    "dead_channels": {"CL1": 0.0, "layer2.0": 0.5},
    "effective_units": {"CL1": 3.14159, "layer2.0": 1234.5},
    "quantisation_error": {"CL1": 10.04, "layer2.0": 999.7},
    "topographic_error": {"CL1": 0.25, "layer2.0": 0.0},
}


def rate(value: float | None, low: float, high: float, trials: int = 15) -> dict:
    return {"rate": value, "low": low, "high": high, "trials": trials}


ATTACKS = {
    "reference": "ImageNet labels",
    "clean_accuracy": rate(0.8667, 0.6212, 0.9627),
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
   depth    QE    TE  effective units  collision lift  dead channels
--------------------------------------------------------------------
     CL1    10  0.25             3.14       undefined              0
layer2.0  1000     0             1234            12.3            0.5"""

ATTACKS_TEXT = """\
Attacks: Linf budget; accuracy against ImageNet labels (95 % Wilson interval);
mean displacement of the BMUs in lattice steps: adversarial (noise of the same Linf)
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
