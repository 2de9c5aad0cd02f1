"""What the command line takes and refuses, and the configuration that it prints and reads."""

import inspect
import re
import shutil
import sys
from argparse import ArgumentError

import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI

import train
from lightning_modules import code_som
from tests.whole_runs import ROOT, options, run_folder


def printed(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        train.main(list(words))
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_the_printed_config_can_be_fed_back(tree, tmp_path, capsys):
    words = options(tree, tmp_path, stages="[]", seed_everything=3)
    text = printed(capsys, *words, "--print_config")
    settings = yaml.safe_load(text)
    assert settings["model"]["sigma"] == [2.0, 0.7]
    assert settings["data"]["root"] == str(tree)
    assert settings["stages"] == []
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    assert yaml.safe_load(printed(capsys, f"--config={path}", "--print_config")) == settings
    fed = train.main([f"--config={path}"])
    direct = train.main(words)
    assert (fed.model.seed, fed.datamodule.seed) == (3, 3)
    for depth, som in fed.model.maps.items():
        assert torch.equal(som.prototypes, direct.model.maps[depth].prototypes)


def test_one_seed_reaches_every_section(tree, tmp_path):
    cli = train.main(options(tree, tmp_path, seed_everything=5, stages="[]"))
    (attack,) = (each for each in cli.trainer.callbacks if type(each).__name__ == "FoolboxEvaluation")
    assert [cli.model.seed, cli.datamodule.seed, attack.seed] == [5, 5, 5]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_parses(path, capsys):
    settings = yaml.safe_load(printed(capsys, f"--config={path}", "--print_config"))
    given = yaml.safe_load(path.read_text())
    assert settings["model"] | given.get("model", {}) == settings["model"]
    head = path.read_text().split("\n", 1)[0]
    assert head.startswith("# "), "the head comment says what it is"
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Data", "Cost", "Expect", "Command"):
        assert any(re.match(rf"# {word}: +\S", line) for line in comments), f"the head comment says {word}"


def help_of(capsys, monkeypatch, *words):
    monkeypatch.setenv("COLUMNS", "100000")  # one line an option
    return printed(capsys, *words, "--help")


@pytest.mark.parametrize("subcommand", ["fit", "predict"])
def test_every_option_is_documented(capsys, monkeypatch, subcommand):
    text = help_of(capsys, monkeypatch, subcommand)
    body = text[text.index("\noptions:") :]
    found = re.findall(r"^  (--(?:model|data|attack|checkpoint|stages)[^\n]*?)(?:  +|\n +)([^\n]*)$", body, re.M)
    described = {head.split()[0].rstrip(","): words for head, words in found}
    for name in ("backbone", "weights", "taps", "statistics", "standardise", "rows", "cols", "topology", "init"):
        assert f"--model.{name}" in described
    assert len(described) > 30
    bare = [name for name, words in described.items() if not re.match(r"\s*[^\s(]", words)]
    assert bare == [], "options without a word of help"
    # Values that links set are listed with their meaning too.
    assert len(re.findall(r"--> (?:model|data|attack)\.seed .*\n +\w+", body)) == 3


def test_help_without_a_subcommand_is_that_of_fit(capsys, monkeypatch):
    text = help_of(capsys, monkeypatch)
    assert "--stages" in text
    assert "--model.backbone" in text
    assert text == help_of(capsys, monkeypatch, "fit")


# ------------------------------------------------------------------------------------------------- refusals


def test_a_checkpoint_of_other_settings_is_refused_naming_every_key(finished, tree, tmp_path):
    changes = {"ckpt_path": finished[1] / "checkpoints" / "last.ckpt", "model.rows": 4, "model.sigma": "[3, 0.7]"}
    with pytest.raises(ValueError, match="the settings do not fit --ckpt_path") as error:
        train.main(["validate", *options(tree, tmp_path, **changes, seed_everything=1)])
    message = str(error.value)
    assert "model.rows is 4 here, 3 in the checkpoint" in message
    assert re.search(r"model\.sigma is [\[(]3\.0, 0\.7[\])] here, [\[(]2\.0, 0\.7[\])] in the checkpoint", message)
    assert "seed_everything is 1 here, 0 in the checkpoint" in message
    assert message.count(" in the checkpoint") == 3, "and nothing that agrees"
    assert not list(tmp_path.rglob("*.parquet")), "before anything runs"


def test_lightnings_private_hook_is_still_there():
    """`_parse_ckpt_path` is not public: where it went, a checkpoint would silently override settings again."""
    assert "_parse_ckpt_path" in vars(LightningCLI)
    assert list(inspect.signature(LightningCLI._parse_ckpt_path).parameters) == ["self"]
    assert "self._parse_ckpt_path()" in inspect.getsource(LightningCLI.__init__)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"junk", b"PK\x03\x04 torn", None])
def test_a_file_that_is_no_checkpoint_is_refused(tree, tmp_path, content):
    path = tmp_path / "broken.ckpt"
    if content is None:  # one that was cut short
        torch.save({"hyper_parameters": {}, "weights": torch.zeros(1000)}, path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"--ckpt_path '.*broken\.ckpt' is no checkpoint of a fit"):
        train.main(["validate", *options(tree, tmp_path, ckpt_path=path)])


def test_a_file_of_something_else_is_refused(tree, tmp_path):
    path = tmp_path / "weights.ckpt"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match=r"--ckpt_path '.*weights\.ckpt' is no checkpoint of a fit"):
        train.main(["validate", *options(tree, tmp_path, ckpt_path=path)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.row": 3}, "model.row"),
        ({"stages": "[analyze]"}, "analyze"),
        ({"model.topology": "sphere"}, "sphere"),
        ({"model.rows": "three"}, "three"),
        ({"model.sigma": "[1, 2, 3]"}, "model.sigma"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_unknown_keys_and_values_are_refused_by_name(tree, tmp_path, capsys, changes, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        train.main(options(tree, tmp_path, **changes))
    assert capsys.readouterr().err == "", "no usage of a hundred lines"


@pytest.mark.parametrize("misspelled", ["--model.row=3", "--modle.rows=3"])
def test_a_misspelled_key_ends_the_command_in_one_line(tree, tmp_path, monkeypatch, capsys, misspelled):
    monkeypatch.setattr(sys, "argv", ["train.py", *options(tree, tmp_path), misspelled])
    assert train.run() == 2
    error = capsys.readouterr().err.replace("Unrecognized", "unrecognized")  # as jsonargparse 4.47 has it
    assert error == f"train.py: error: unrecognized arguments: {misspelled}: did you mean --model.rows?\n"


def test_a_key_is_compared_with_those_of_its_stage(tree, tmp_path):
    with pytest.raises(ArgumentError, match=r"--return_prediction=1: did you mean --return_predictions\?$"):
        train.main(["predict", *options(tree, tmp_path), "--return_prediction=1"])


def test_a_key_like_no_other_has_no_suggestion(tree, tmp_path):
    with pytest.raises(ArgumentError, match=r"nrecognized arguments: --zzz=3$"):
        train.main([*options(tree, tmp_path), "--zzz=3"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.rows": 0}, "rows=0"),
        ({"model.sigma": "[0, 1]"}, r"sigma is \[0.0, 1.0\]"),
        ({"model.alpha": "[-1, 1]"}, "alpha is"),
        ({"model.taps": "[firts]"}, "did you mean 'first'"),
        ({"data.batch_size": 13}, "batch_size 13 exceeds the 12 training images"),
        ({"data.resize": 20}, "data.resize is 20: it must be at least 32"),
        ({"attack.epsilons": "[0]"}, r"attack\.epsilons has 0"),
        ({"attack.attacks": "[cw]"}, "attack 'cw' is unknown; there are fgsm, "),
    ],
)
def test_values_out_of_range_are_refused(tree, tmp_path, changes, message):
    with pytest.raises((ValueError, SystemExit), match=message):
        train.main(options(tree, tmp_path, **changes))
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.root": "nowhere"}, "data.root 'nowhere' is not a folder"),
        ({"data.batch_size": 0}, "data.batch_size is 0"),
        ({"attack.epsilons": "[1, 1.01]"}, "which share a step of TensorBoard's axis"),
        ({"model.rows": 0}, "rows=0"),
        ({"model.statistics": "[]"}, "statistics is empty"),
    ],
)
def test_cheap_checks_come_before_the_backbone_and_leave_no_folder(tree, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(code_som, "load_backbone", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=message):
        train.main(options(tree, tmp_path / "runs", **changes))
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_attacked_is_refused_before_the_fit(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_run", None)
    features = {"model.backbone": "tests.callbacks.factories:features", "model.taps": "[first]"}
    with pytest.raises(ValueError, match="gives no logits, so it cannot be attacked: leave the attack stage out"):
        train.main(options(tree, tmp_path / "runs", **features))
    with pytest.raises(ValueError, match="attack target 77 is out of range: the backbone has classes 0 to 4"):
        train.main(options(tree, tmp_path / "runs", attack__attacks="[{name: pgd, target: 77}]"))
    broken = shutil.copytree(tree, tmp_path / "images")
    (broken / "test" / "bee" / "000.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="1 of 3 images cannot be read"):
        train.main(options(broken, tmp_path / "runs", data__on_corrupt="error"))
    assert not (tmp_path / "runs").exists()


def test_without_the_attack_stage_nothing_of_it_is_checked(tree, tmp_path):
    features = {"model.backbone": "tests.callbacks.factories:features", "model.taps": "[first]"}
    cli = train.main(options(tree, tmp_path, stages="[analyse]", **features))
    assert (run_folder(cli) / "bmus.parquet").exists()


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_without_a_checkpoint_no_image_is_passed(tree, tmp_path, monkeypatch, stage):
    monkeypatch.setattr(Trainer, "_run", None)
    with pytest.raises(ValueError, match="the maps are empty: fit them first, or give the checkpoint of a fit"):
        train.main([stage, *options(tree, tmp_path / "runs")])
    assert not (tmp_path / "runs").exists()


def test_a_network_of_one_size_takes_that_of_the_data(tree, tmp_path):
    changes = {"model.backbone": "tests.tiny:OneSize", "model.taps": '["first"]', "stages": "[]"}
    cli = train.main(options(tree, tmp_path, **changes))
    assert cli.model.extractor.dimensions == {"first": 10}
    assert "image_size" not in cli.model.hparams, "maps do not depend on it"
    without = changes | {"data.crop": None, "data.resize": None}
    with pytest.raises(ValueError, match=r"224 x 224 .* give the size that it takes as data.resize and data.crop$"):
        train.main(options(tree, tmp_path, **without))
