from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from torch.utils.tensorboard import SummaryWriter

from callbacks.settings_table import add_settings, main_settings
from tests.callbacks.conftest import make_module


def test_the_settings_of_a_module():
    module = make_module(initialised=False, sigma=(1.5, 0.7), seed=3, topology="plane")
    assert main_settings(module.hparams) == {
        "backbone": "tests.callbacks.factories:ten_classes",
        "weights": "default",
        "seed": "3",
        "map": "3 x 4 plane",
        "fit": "gradient, sigma 1.5 to 0.7, alpha 1 to 1",
    }


def test_a_row_and_its_columns_in_the_run_itself(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        add_settings(writer, {"backbone": "resnet18", "seed": "5"}, ["CL1", "CL2"], ["pgd"])
    (file,) = tmp_path.iterdir()
    assert file.is_file(), "no run below the run"
    events = EventAccumulator(str(tmp_path)).Reload()
    content = {
        tag: events.SummaryMetadata(tag).plugin_data.content
        for tag in (metadata.EXPERIMENT_TAG, metadata.SESSION_START_INFO_TAG)
    }
    session = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert session.hparams["backbone"].string_value == "resnet18"
    assert session.hparams["seed"].string_value == "5"
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name for info in experiment.hparam_infos] == ["backbone", "seed"]
    columns = {info.display_name: info.name.tag for info in experiment.metric_infos}
    assert columns == {
        "collision lift, CL2": "validate/collision_lift/CL2",
        "QE, CL2": "validate/quantisation_error/CL2",
        "explained variance, CL2": "validate/explained_variance/CL2",
        "robust accuracy, pgd": "test/robust_accuracy/pgd",
        "collision lift, CL1": "validate/collision_lift/CL1",
        "QE, CL1": "validate/quantisation_error/CL1",
        "explained variance, CL1": "validate/explained_variance/CL1",
    }
    assert list(columns)[3] == "robust accuracy, pgd", "among the five that are shown unasked"
