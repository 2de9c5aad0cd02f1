import re

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from callbacks import ChartLayout
from callbacks.chart_layout import CURVES, layout
from tests.callbacks.conftest import make_data, make_module, make_trainer


def test_every_curve_exists_in_a_fit(tmp_path, make_tree):
    module = make_module(initialised=False, taps=["first", "second"])
    root = make_tree({"train": 4, "val": 2})
    make_trainer(tmp_path, ChartLayout()).fit(module, datamodule=make_data(root))
    events = EventAccumulator(str(tmp_path / "run" / "v"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert "custom_scalars__config__" in tags["tensors"]
    (event,) = events.Tensors("custom_scalars__config__")
    (category,) = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0]).category
    assert category.title == "maps by depth"
    assert [chart.title for chart in category.chart] == list(CURVES)
    for chart, tag in zip(category.chart, CURVES.values(), strict=True):
        found = [[name for name in tags["scalars"] if re.match(curve, name)] for curve in chart.multiline.tag]
        assert found == [[f"{tag}/first"], [f"{tag}/second"]]


def test_dots_and_common_beginnings_are_told_apart():
    charts = layout(["layer1", "layer1.0", "layer10"])["maps by depth"]
    kind, curves = charts["energy while fitting"]
    assert kind == "Multiline"
    names = [f"fit/energy/{depth}" for depth in ("layer1", "layer1.0", "layer10", "layer1x0")]
    assert [[name for name in names if re.match(curve, name)] for curve in curves] == [[name] for name in names[:3]]
