import re

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata

from callbacks import ChartLayout, FoolboxEvaluation
from callbacks.chart_layout import CURVES, layout
from tests.callbacks.conftest import make_data, make_module, make_trainer


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder / "run" / "v"), size_guidance={"tensors": 0, "scalars": 0})
    return events.Reload()


def test_every_curve_exists_in_a_fit(tmp_path, make_tree):
    module = make_module(initialised=False, taps=["first", "second"])
    root = make_tree({"train": 4, "val": 12})  # enough for a finite lift
    make_trainer(tmp_path, ChartLayout()).fit(module, datamodule=make_data(root))
    events = read(tmp_path)
    tags = events.Tags()
    assert "custom_scalars__config__" in tags["tensors"]
    (event,) = events.Tensors("custom_scalars__config__")
    maps, attacks = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0]).category
    assert (maps.title.split(",")[0], attacks.title.split(",")[0]) == ("maps", "attacks")
    assert [chart.title for chart in maps.chart] == list(CURVES)
    assert len(attacks.chart) == 1 + 2
    for chart, tag in zip(maps.chart, CURVES.values(), strict=True):
        found = [[name for name in tags["scalars"] if re.match(curve, name)] for curve in chart.multiline.tag]
        assert found == [[f"{tag}/first"], [f"{tag}/second"]]


def test_dots_and_common_beginnings_are_told_apart():
    charts = layout(["layer1", "layer1.0", "layer10"])["maps, a line a depth"]
    kind, curves = charts["energy while fitting (compares no depths)"]
    assert kind == "Multiline"
    names = [f"fit/energy/{depth}" for depth in ("layer1", "layer1.0", "layer10", "layer1x0")]
    assert [[name for name in names if re.match(curve, name)] for curve in curves] == [[name] for name in names[:3]]


def test_attacks_stand_beside_their_controls():
    _, charts = layout(["layer1", "layer10"]).values()
    names = [f"test/{attack}_{kind}/layer1" for attack in ("pgd_l2", "fgsm") for kind in ("displacement", "control")]
    others = ["test/fgsm_displacement/layer10", "test/fgsm_amplification/layer1", "test/robust_accuracy/fgsm"]
    (_, (accuracy,)), (_, (moved,)), _ = charts.values()
    assert [name for name in names + others if re.match(moved, name)] == names
    assert [name for name in names + others if re.match(accuracy, name)] == ["test/robust_accuracy/fgsm"]


def test_a_stage_alone_has_charts_and_settings_once(tmp_path, make_tree):
    module, data = make_module(), make_data(make_tree({"val": 40}))
    trainer = make_trainer(tmp_path, ChartLayout(), FoolboxEvaluation(attacks=["fgsm"], epsilons=[8]))
    trainer.validate(module, datamodule=data, verbose=False)
    trainer.validate(module, datamodule=data, verbose=False)
    events = read(tmp_path)
    for tag in ("custom_scalars__config__", metadata.EXPERIMENT_TAG, metadata.SESSION_START_INFO_TAG):
        assert len(events.Tensors(tag)) == 1
    content = events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    columns = [info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos]
    assert columns[0] == "validate/collision_lift/CL2"
    assert set(columns) - set(events.Tags()["scalars"]) == {"test/robust_accuracy/fgsm"}, "which the attack stage logs"


def test_no_logger(tmp_path, root):
    trainer = make_trainer(tmp_path, ChartLayout(), logger=False, default_root_dir=tmp_path)
    trainer.validate(make_module(), datamodule=make_data(root), verbose=False)
    assert trainer.state.finished
    assert not list(tmp_path.rglob("events.out.tfevents.*"))
