"""A run's row in TensorBoard's table of settings ("HParams"): the main settings beside the final numbers.

The numbers are the last of scalars that are there already: nothing is logged twice. The last of an attack's accuracies
is that of its largest budget. TensorBoard shows the first five settings, by name, and the first five numbers; its side
bar has the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

__all__ = ["METRICS", "add_settings", "main_settings"]

METRICS = {
    "collision lift": "validate/collision_lift",
    "QE": "validate/quantisation_error",
    "explained variance": "validate/explained_variance",
}


def main_settings(hparams: Mapping[str, Any]) -> dict[str, str]:
    """The settings by which runs are told apart, as many as TensorBoard shows unasked; config.yaml has all of them.

    Args:
        hparams: the module's.

    >>> shown = {"backbone": "resnet18", "weights": "none", "rows": 3, "cols": 4, "topology": "torus", "seed": 5}
    >>> main_settings(shown | {"rule": "ema", "sigma": [2, 0.7], "alpha": [1, 1]})["fit"]
    'ema, sigma 2 to 0.7, alpha 1 to 1'
    """
    ends = ", ".join("{} {:g} to {:g}".format(name, *hparams[name]) for name in ("sigma", "alpha"))
    chosen = {name: str(hparams[name]) for name in ("backbone", "weights", "seed")}
    size = f"{hparams['rows']} x {hparams['cols']} {hparams['topology']}"
    return chosen | {"map": size, "fit": f"{hparams['rule']}, {ends}"}


def add_settings(writer: Any, settings: Mapping[str, str], depths: Sequence[str], attacks: Sequence[str]) -> None:
    """Write the row of a run, and which columns the table has; of several runs in a table the first says which.

    Args:
        writer: a SummaryWriter.
        settings: of :func:`main_settings`.
        depths: names of the depths.
        attacks: labels of the attacks.
    """
    by_depth = [{f"{name}, {depth}": f"{tag}/{depth}" for name, tag in METRICS.items()} for depth in reversed(depths)]
    columns = dict(by_depth[0])
    columns |= {f"robust accuracy, {attack}": f"test/robust_accuracy/{attack}" for attack in attacks}
    for each in by_depth[1:]:
        columns |= each
    session, infos = plugin_data_pb2.SessionStartInfo(), []
    for name, value in settings.items():
        session.hparams[name].string_value = value
        infos.append(api_pb2.HParamInfo(name=name, type="DATA_TYPE_STRING"))
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name) for name, tag in columns.items()]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    for tag, content in (
        (metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment)),
        (metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=session)),
    ):
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
        writer._get_file_writer().add_summary(Summary(value=[value]))  # SummaryWriter.add_hparams opens another run
