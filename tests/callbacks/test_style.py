import matplotlib
import numpy as np

from callbacks.style import class_colours, depth_colours


def test_depths_keep_their_colours():
    colours = depth_colours(["CL1", "CL2", "CL3", "CL4"])
    assert list(colours.items()) == [("CL1", "#0072B2"), ("CL2", "#E69F00"), ("CL3", "#009E73"), ("CL4", "#D55E00")]
    assert depth_colours(["other"])["other"] == colours["CL1"], "by position, not by name"
    many = list(depth_colours([str(k) for k in range(10)]).values())
    assert len(set(many[:8])) == 8
    assert many[8:] == many[:2]


def test_classes_stay_apart():
    colours = class_colours(40)
    assert colours.shape == (40, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    distances = np.linalg.norm(colours[:, None] - colours, axis=-1)
    assert distances[~np.eye(40, dtype=bool)].min() > 0.03
    assert distances[:20, :20][~np.eye(20, dtype=bool)].min() > 0.2, "as many as a legend lists"
    assert np.array_equal(class_colours(7), colours[:7]), "a colour depends on the class alone"
    # White stands for units that nothing hits.
    assert (1 - colours).max(axis=1).min() > 0.5


def test_no_screen_is_needed():
    assert matplotlib.get_backend().lower() == "agg"
