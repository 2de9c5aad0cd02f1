"""What a user can get wrong in the settings: each message names the value, what is allowed and what to do.

The table is of settings alone; what is wrong with files, runs and stores is tested where these are read. A last test
holds every error of the sources to the same form.
"""

import ast
from typing import Any

import pytest
import pytorch_lightning as pl

import train
from callbacks import FoolboxEvaluation, MapAnalysis
from callbacks.last_checkpoint import LastCheckpoint
from datamodules import ImageData
from lightning_modules import CodeSOM
from lightning_modules.trainer_rules import check_trainer
from tests.test_house import SOURCES
from tests.tiny import TAPS


def trained_for(stage: str) -> Any:
    """What a stage says of a trainer's settings."""
    return lambda **given: check_trainer(pl.Trainer(accelerator="cpu", logger=False, **given), stage=stage)


def command(**given: Any) -> None:
    """The command line with these options, each given as --key=value."""
    train.main([f"--{key.replace('__', '.')}={value}" for key, value in given.items()])


SECTIONS: dict[str, Any] = {
    "data": ImageData,
    "attack": FoolboxEvaluation,
    "analysis": MapAnalysis,
    "checkpoint": LastCheckpoint,
    "model": lambda **given: CodeSOM(**{"backbone": "tests.tiny:Tiny", "taps": TAPS, "rows": 3, "cols": 4} | given),
    "command": command,
    "fit": trained_for("fit"),
    "validate": trained_for("validate"),
    "test": trained_for("test"),
    "predict": trained_for("predict"),
}
FGSM = {"name": "fgsm"}

# section, its settings, what the message says of the value, and of what to do
MISTAKES = [
    ("data", {"root": "nowhere"}, "data.root 'nowhere' is not a folder", "give one that holds train/ and val/"),
    ("data", {"source": "folder"}, "data.source 'folder' needs data.root", "the folder where its files are"),
    (
        "data",
        {"source": "imagenett/320px"},
        "data.source 'imagenett/320px' is unknown",
        "did you mean 'imagenette/320px'",
    ),
    ("data", {"batch_size": 0}, "data.batch_size is 0", "at least 1"),
    ("data", {"crop": 0}, "data.crop is 0", "at least 1"),
    ("data", {"resize": 20, "crop": 32}, "data.resize is 20", "at least 32"),
    ("data", {"resize": 100000}, "data.resize is 100000", "at most 4096"),
    ("data", {"crop": 100000}, "data.crop is 100000", "at most 4096"),
    ("data", {"views": 3}, "data.views is 3", "at least 4"),
    ("data", {"attack_images": 0}, "data.attack_images is 0", "at least 1"),
    ("data", {"num_workers": -1}, "data.num_workers is -1", "at least 0"),
    ("data", {"prefetch_factor": 0}, "data.prefetch_factor is 0", "at least 1"),
    ("data", {"per_class": 0}, "data.per_class is 0", "at least 1"),
    ("data", {"per_class": {"training": 3}}, "data.per_class names 'training'", "splits are train, val, test"),
    ("data", {"val_share": 1.0}, "data.val_share is 1.0", "between 0 and 1"),
    ("data", {"classes": []}, "data.classes is empty", "leave it out to take all"),
    ("data", {"ids": "nowhere.txt"}, "data.ids 'nowhere.txt' is not a file", "give a text file"),
    ("attack", {"attacks": []}, "attack.attacks []", "at least one"),
    ("attack", {"attacks": ["pdg"]}, "attack 'pdg' is unknown", "did you mean 'pgd'"),
    ("attack", {"epsilons": [0]}, "attack.epsilons has 0", "(0, 255]"),
    ("attack", {"epsilons": [1, 1.01]}, "epsilons 1 and 1.01", "give one of them"),
    ("attack", {"steps": 0}, "attack.steps is 0", "at least 1"),
    ("attack", {"save_images": -1}, "attack.save_images is -1", "at least 0"),
    ("attack", {"attacks": [FGSM | {"step": 3}]}, "key 'step' is unknown", "did you mean 'steps'"),
    ("attack", {"attacks": [FGSM | {"steps": 3}]}, "attack 'fgsm' takes no steps", "leave 'steps' out"),
    ("attack", {"attacks": [FGSM | {"norm": "l0"}]}, "norm 'l0' is none of its own", "linf, l2, l1"),
    ("attack", {"attacks": [FGSM | {"restarts": 2}]}, "so 2 restarts would repeat it", "give 1"),
    ("attack", {"attacks": [FGSM | {"target": 3}]}, "cannot be aimed at a class (target '3')", "pgd"),
    ("attack", {"attacks": [{"name": "pgd", "restarts": 0}]}, "restarts is 0", "a whole number from 1"),
    ("attack", {"attacks": [{"name": "pgd", "epsilons": 4}]}, "epsilons 4", "a list of numbers"),
    ("attack", {"attacks": [{"name": "pgd", "label": "a/b"}]}, "label 'a/b'", "may hold letters, digits"),
    ("attack", {"attacks": [{"class_path": "foolbox.attacks.LinfPDG"}]}, "'LinfPDG' is no attack", "did you mean"),
    ("attack", {"attacks": [{"class_path": "nowhere.Attack"}]}, "there is no module 'nowhere'", "nowhere"),
    ("analysis", {"permutations": 0}, "permutations=0", "1 or more"),
    ("analysis", {"samples": 0}, "samples=0", "1 or more"),
    ("checkpoint", {"every_n_train_steps": 0}, "checkpoint.every_n_train_steps is 0", "at least 1, or null"),
    ("model", {"rows": 0}, "rows=0", "rows, at least 1"),
    ("model", {"cols": 0}, "cols=0", "cols, at least 1"),
    ("model", {"sigma": (0.0, 1.0)}, "sigma is [0.0, 1.0]", "above 0"),
    ("model", {"alpha": (1.0, float("inf"))}, "alpha is [1.0, inf]", "above 0"),
    ("model", {"rule": "ema", "alpha": (2.0, 1.0)}, "alpha=(2.0, 1.0)", "0 < alpha <= 1"),
    ("model", {"rule": "batch", "winner": "soft"}, "winner 'soft'", "rule 'gradient'"),
    ("model", {"statistics": []}, "statistics is empty", "max, mean, std, com"),
    ("model", {"statistics": ["max", "max"]}, "'max' is given more than once", "max, mean, std, com"),
    ("model", {"mean": [0.5]}, "mean must be three numbers", "got [0.5]"),
    ("model", {"std": [1.0, 0.0, 1.0]}, "std must be three positive numbers", "got [1.0, 0.0, 1.0]"),
    ("model", {"backbone": "resnet81"}, "backbone 'resnet81' is unknown", "did you mean 'resnet18'"),
    ("model", {"backbone": "nowhere:net"}, "backbone 'nowhere:net' cannot be imported", "package.module:factory"),
    ("model", {"backbone": "tests.tiny:make_data"}, "needs arguments", "a callable without arguments"),
    *(
        (
            "model",
            {"backbone": f"tests.codes.factories:{name}"},
            f"raised when it was called ({error}",
            "without arguments",
        )
        for name, error in (
            ("raises_attribute_error", "AttributeError: module"),
            ("raises_runtime_error", "RuntimeError: two lines"),
            ("raises_type_error", "TypeError: "),
        )
    ),
    ("model", {"weights": "nowhere.pth"}, "nowhere.pth", "not"),
    ("model", {"taps": ["firts"]}, "layer 'firts' is not a module", "did you mean 'first'"),
    ("model", {"taps": []}, "taps is empty", "name at least one layer"),
    ("model", {"taps": ["fc"]}, "layer 'fc'", "tap a module that returns"),
    ("model", {"raw_pixels": True, "taps": {"CL0": "first"}}, "a tap is named 'CL0'", "give it another"),
    ("fit", {"limit_train_batches": 0}, "trainer.limit_train_batches is 0, so fit would do nothing", "at least 1"),
    ("fit", {"max_epochs": 0}, "trainer.max_epochs is 0", "give at least 1"),
    ("fit", {"max_steps": 0}, "trainer.max_steps is 0", "give at least 1"),
    ("fit", {"check_val_every_n_epoch": 0}, "trainer.check_val_every_n_epoch is 0", "limit_val_batches 0 leaves"),
    ("fit", {"val_check_interval": 0}, "trainer.val_check_interval is 0", "a number of steps, at least 1"),
    ("fit", {"val_check_interval": 0.0}, "trainer.val_check_interval is 0", "a share of an epoch above 0.0"),
    ("validate", {"limit_val_batches": 0}, "trainer.limit_val_batches is 0", "leave 'analyse' out of --stages"),
    ("test", {"limit_test_batches": 0}, "trainer.limit_test_batches is 0", "leave 'attack' out of --stages"),
    ("predict", {"limit_predict_batches": 0}, "trainer.limit_predict_batches is 0", "at least 1"),
    ("command", {"seed_everything": -1}, "seed_everything is -1", "from 0 to 4294967295"),
    ("command", {"stages": "[analyse,analyse]"}, "--stages ['analyse', 'analyse']", "give each at most once"),
    ("command", {"trainer__limit_val_batches": 0, "stages": "[analyse]"}, "trainer.limit_val_batches is 0", "leave"),
    ("command", {"trainer__limit_test_batches": 0}, "trainer.limit_test_batches is 0", "leave 'attack' out"),
]


@pytest.mark.parametrize(("section", "settings", "value", "remedy"), MISTAKES)
def test_a_mistake_is_named_with_what_to_do(section, settings, value, remedy):
    with pytest.raises((ValueError, OSError)) as error:
        SECTIONS[section](**settings)
    message = str(error.value)
    assert value in message
    assert remedy in message
    assert "\n" not in message.strip(), "one line"


REMEDIES = (
    "must",
    "give",
    "did you mean",
    "there are",
    "there is",
    "allowed",
    "leave",
    "need",
    "call",
    "use",
    ":",
    ";",
)


def test_every_error_of_the_sources_names_a_value_or_what_to_do():
    bare = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                name = getattr(node.exc.func, "id", "")
                text = ast.unparse(node.exc.args[0])
                says = "{" in text or any(word in text for word in REMEDIES) or not text.startswith(("'", '"'))
                if name.endswith("Error") and name != "NotImplementedError" and not says:
                    bare.append(f"{path.name}:{node.lineno}: {text}")
    assert bare == []
