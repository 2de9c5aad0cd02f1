"""Every configuration runs, all its stages, on tiny stand-ins of its data; overlays over another one."""

import json
import sys
from pathlib import Path

import pytest
import yaml

import train
from callbacks import FoolboxEvaluation
from tests.conftest import write_tree
from tests.datamodules.sources.stand_ins import write_cifar, write_imagenet, write_imagenette
from tests.two_processes import run_on_two

CONFIGS = Path(train.__file__).parent / "configs"
IMAGENET = ("imagenet_resnet18", "imagenet_resnet50", "imagenet_vgg19", "imagenet_densenet121")
TINY = CONFIGS / "debug" / "tiny.yaml"
SMALL = ["--model.weights=none", "--data.resize=36", "--data.crop=32", "--pictures=false"]
SMALL += ["--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    """LightningCLI warns where arguments are given both to it and to the process: here to pytest."""
    monkeypatch.setattr(sys, "argv", ["train.py"])


def written(folder: str = ".") -> list[Path]:
    return sorted((CONFIGS / folder).glob("*.yaml"))


def run(folder, *words):
    places = [f"--store={folder / 'codes'}", f"--trainer.logger.init_args.save_dir={folder}"]
    cli = train.main([*map(str, words), *SMALL, *places])
    return json.loads((Path(cli.trainer.log_dir) / "measures.json").read_text())


def assert_measured(measures, attacked):
    depths = measures["validate"]["quantisation_error"]
    assert list(depths) == ["CL1", "CL2", "CL3", "CL4"]
    assert all(value > 0 for value in depths.values())
    assert measures["test"]["images"] == attacked
    assert measures["test"]["reference"] == "the backbone's own clean prediction", "the weights are random"


@pytest.mark.parametrize("path", [*written(), *written("debug"), *written("gpus")], ids=lambda path: path.stem)
def test_the_head_says_what_to_get_and_what_to_expect(path):
    head = path.read_text().split("seed_everything:")[0].splitlines()
    for word in ("Data:", "Cost:", "Expect:", "Command:"):
        assert sum(line.startswith(f"# {word}") for line in head) == 1
    (command,) = (line for line in head if line.startswith("# Command:"))
    assert f"configs/{path.relative_to(CONFIGS)}" in command
    settings = yaml.safe_load(path.read_text())
    if path.parent == CONFIGS:
        assert settings["trainer"]["logger"]["init_args"]["name"] == path.stem


@pytest.mark.parametrize("flat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_imagenet_resnet18(tmp_path, flat):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=3, flat=flat)
    words = ("--config", CONFIGS / "imagenet_resnet18.yaml", "--config", TINY)
    assert_measured(run(tmp_path, *words, f"--data.root={root}", "--data.batch_size=3"), attacked=6)


@pytest.mark.slow
def test_imagenet_attacks(tmp_path):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=3)
    words = ("--config", CONFIGS / "imagenet_attacks.yaml", "--config", TINY, f"--data.root={root}")
    assert_measured(run(tmp_path, *words, "--data.batch_size=3", "--attack.reference_images=6"), attacked=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attacks_results", "imagenet_robustbench"])
def test_attacks_after_a_fit_by_batches(tmp_path, name):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=3)
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(f"val/{number}" for number in (0, 3, 4, 7)))
    words = ("--config", CONFIGS / f"{name}.yaml", "--config", TINY, f"--data.root={root}", "--data.source=imagenet")
    measures = run(tmp_path, *words, "--data.batch_size=3", "--data.per_class={train: 2}", f"--data.ids={listed}")
    assert measures["test"]["images"] == 4
    assert "validate" not in measures


@pytest.mark.parametrize("path", written(), ids=lambda path: path.stem)
def test_attacks_can_be_made(path):
    evaluation = FoolboxEvaluation(**yaml.safe_load(path.read_text()).get("attack", {}))
    assert evaluation.specs


def test_imagenet_takes_equal_numbers_to_train_and_to_validate(tmp_path):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=3)
    words = ["--config", CONFIGS / "imagenet_resnet18.yaml", "--config", TINY, "--data.per_class=equal", "--stages=[]"]
    words += [f"--data.root={root}", "--data.batch_size=3", *SMALL]
    words += [f"--store={tmp_path}", f"--trainer.logger.init_args.save_dir={tmp_path}"]
    data = train.main([*map(str, words)]).datamodule
    assert len(data.train_dataloader().dataset) == len(data.val_dataloader().dataset) == 9


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET[1:])
def test_imagenet(tmp_path, name):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=2)
    words = ("--config", CONFIGS / f"{name}.yaml", "--config", TINY)
    assert_measured(run(tmp_path, *words, f"--data.root={root}", "--data.batch_size=3"), attacked=6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:check failed. without a bound")  # DeepFool finds no way on these random weights
def test_imagenet_attacks_with_all_of_its_attacks(tmp_path):
    root = write_imagenet(tmp_path / "imagenet", train=4, val=2)
    own = yaml.safe_load((CONFIGS / "imagenet_attacks.yaml").read_text())["attack"]
    words = ("--config", CONFIGS / "imagenet_attacks.yaml", "--config", TINY, f"--data.root={root}")
    measures = run(tmp_path, *words, "--data.batch_size=3", f"--attack.attacks={json.dumps(own['attacks'])}")
    assert_measured(measures, attacked=6)
    assert own["reference_images"] == 1000, "read from the training images of the stand-in"


@pytest.mark.slow
def test_imagenette_resnet18(tmp_path, monkeypatch):
    write_imagenette(tmp_path / "data", monkeypatch, "320px", "imagenette2-320")
    words = ("--config", CONFIGS / "imagenette_resnet18.yaml", "--config", TINY)
    measures = run(tmp_path, *words, f"--data.root={tmp_path / 'data'}", "--data.batch_size=3", "--data.per_class=1")
    assert_measured(measures, attacked=3)


@pytest.mark.slow
def test_cifar10_efficientnet_lite0(tmp_path, monkeypatch):
    write_cifar(tmp_path / "data", monkeypatch, count=20)  # 10 of a class
    words = ("--config", CONFIGS / "cifar10_efficientnet_lite0.yaml", "--config", TINY)
    measures = run(tmp_path, *words, f"--data.root={tmp_path / 'data'}", "--data.per_class=1")
    assert_measured(measures, attacked=8)


@pytest.mark.slow
def test_the_overlays_go_over_the_quickstart(tmp_path):
    words = ("--config", CONFIGS / "quickstart.yaml", "--config", TINY)
    one = run(tmp_path / "one", *words, "--data.per_class=null", "--config", CONFIGS / "debug" / "cpu.yaml")
    assert_measured(one, attacked=8)


@pytest.mark.slow
def test_two_processes(tmp_path):
    tree = write_tree(tmp_path / "images", {"train": 6, "val": 3, "test": 2})
    words = [
        "--config",
        CONFIGS / "quickstart.yaml",
        "--config",
        TINY,
        f"--data.root={tree}",
        "--data.batch_size=4",
        *SMALL,
    ]
    folders = {name: tmp_path / name / "quickstart" / "version_0" for name in ("cpu", "ddp2")}
    for name, start in (("cpu", train.main), ("ddp2", run_on_two)):
        save = f"--trainer.logger.init_args.save_dir={tmp_path / name}"
        start([*map(str, [*words, "--config", CONFIGS / "debug" / f"{name}.yaml", save])])
    one, two = (json.loads((folder / "measures.json").read_text()) for folder in folders.values())
    for depth, error in one["validate"]["quantisation_error"].items():
        assert two["validate"]["quantisation_error"][depth] == pytest.approx(error, rel=1e-4)


def test_results(tmp_path):
    root = write_tree(tmp_path / "images", {"train": 3, "val": 2})
    words = ("--config", CONFIGS / "results.yaml", "--config", TINY, f"--data.root={root}", f"--store={tmp_path / 's'}")
    measures = run(tmp_path, *words, "--data.batch_size=6", "--analysis.permutations=5")["validate"]
    assert list(measures["distance_ratio"]) == ["CL0", "CL1", "CL2", "CL3", "CL4"]


WORLDS = {"1": (1, 1, "auto"), "8": (8, 1, "ddp"), "2x8": (8, 2, "ddp")}


@pytest.mark.parametrize("path", written("gpus"), ids=lambda path: path.stem)
@pytest.mark.parametrize("config", written(), ids=lambda path: path.stem)
def test_an_overlay_for_gpus_goes_over_every_config(config, path, capsys):
    with pytest.raises(SystemExit) as end:
        train.main([f"--config={config}", f"--config={path}", "--print_config"])
    assert end.value.code == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    trainer = settings["trainer"]
    devices, nodes, strategy = WORLDS[path.stem]
    assert (trainer["accelerator"], trainer["devices"], trainer["num_nodes"]) == ("gpu", devices, nodes)
    assert trainer["strategy"] == strategy
    given = yaml.safe_load(config.read_text())
    assert trainer["max_epochs"] == given["trainer"]["max_epochs"], "all else stays"
    if config.stem in IMAGENET:
        assert settings["data"]["batch_size"] % (devices * nodes) == 0


def test_every_config_is_run_by_a_test():
    tested = {*IMAGENET, "imagenette_resnet18", "cifar10_efficientnet_lite0", "quickstart", "results"}
    tested |= {"imagenet_attacks", "attacks_results", "imagenet_robustbench"}
    assert {path.stem for path in written()} == tested
    assert {path.stem for path in written("debug")} == {"tiny", "cpu", "ddp2"}
    assert {path.stem for path in written("gpus")} == WORLDS.keys()
