import matplotlib
import numpy as np

from callbacks.style import CLASS_MARKERS, class_colours, depth_colours, run_styles


def test_depths_keep_their_colours():
    colours = depth_colours(["CL1", "CL2", "CL3", "CL4"])
    assert list(colours.items()) == [("CL1", "#0072B2"), ("CL2", "#E69F00"), ("CL3", "#009E73"), ("CL4", "#D55E00")]
    assert depth_colours(["other"])["other"] == colours["CL1"], "by position, not by name"
    assert depth_colours(["CL0", *colours]) == {"CL0": "#7A4B26", **colours}, "raw pixels move no other"
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
    assert np.array_equal(class_colours(17), colours[:17]), "a colour depends on the class alone"
    # White stands for units that nothing hits.
    assert (1 - colours).max(axis=1).min() > 0.5


def test_few_classes_are_told_apart_without_red_and_green():
    colours = class_colours(9)
    assert np.array_equal(class_colours(2), colours[:2])
    assert class_colours(0).shape == (0, 3)
    assert len(set(CLASS_MARKERS)) == len(colours), "and by their markers"
    # Deuteranopia: Machado, Oliveira and Fernandes 2009, severity 1, on linear light.
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = linear @ np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]).T
    seen = seen.clip(0, 1) ** (1 / 2.4)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert apart[~np.eye(9, dtype=bool)].min() > 0.1


def test_runs_keep_their_looks():
    styles = run_styles([str(k) for k in range(42)])
    assert len(set(styles.values())) == 42
    assert run_styles(["a", "b"])["b"] == styles["1"]


def test_no_screen_is_needed():
    assert matplotlib.get_backend().lower() == "agg"
