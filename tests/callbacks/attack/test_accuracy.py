import warnings
from types import SimpleNamespace

import pytest
import torch

from callbacks.attack.accuracy import report_clean_accuracy
from measures import Rate


def report(right, images, caplog, embedded=False, undefined="", expected=None, photographs=None):
    """What is printed, as information and as warnings."""
    accuracy = Rate()
    accuracy.update(torch.arange(images) < right)
    backbone = SimpleNamespace(name="net", expected_accuracy=expected, expected_photographs=photographs)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level("INFO"):
        warnings.simplefilter("always")
        report_clean_accuracy(accuracy, backbone, embedded, undefined, "ImageNet labels")
    return caplog.text, [str(warning.message) for warning in caught]


def test_accuracy_beside_what_is_expected(caplog):
    text, warned = report(80, 100, caplog, expected=0.85)
    assert "clean accuracy 80.0% (95 % interval 71.1% to 86.7%), expected about 85.0%" in text
    assert not warned


def test_accuracy_below_what_is_expected_warns(caplog):
    _, (warned,) = report(60, 100, caplog, expected=0.85)
    assert "69.1%) is below the 85.0% that 'net' is known for: check labels, resizing and normalisation" in warned


@pytest.mark.parametrize(("right", "warns"), [(18, False), (17, False), (16, True)])
def test_the_embedded_photographs_are_known_one_by_one(caplog, right, warns):
    text, warned = report(right, 20, caplog, embedded=True, expected=0.5, photographs=18)
    assert bool(warned) == warns
    said = warned[0] if warns else text
    assert f"{right} of the 20 embedded photographs, 'net' gets 18" in said


def test_where_labels_say_nothing_the_reason_is_told(caplog):
    text, warned = report(1, 100, caplog, undefined="weights are random", expected=0.9)
    assert "clean accuracy: not defined, since the backbone's weights are random; what counts as right is" in text
    assert not warned


def test_without_an_expectation_the_figure_stands_alone(caplog):
    text, warned = report(50, 100, caplog)
    assert text.strip().endswith("(95 % interval 40.4% to 59.6%)")
    assert not warned
