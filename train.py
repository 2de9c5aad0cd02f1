"""The one entry point: `python train.py --config configs/quickstart.yaml` fits the maps, analyses and attacks.

Stages: fit -> analyse (`validate`) -> attack (`test`); `predict` extracts the vector codes. Each also runs alone:
`python train.py {fit,validate,test,predict} --config X --ckpt_path Y`.
"""

import ctypes
import logging
import pickle
import platform
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from typing_extensions import override

from callbacks import (
    AnalysisPictures,
    ChartLayout,
    CodeWriter,
    FoolboxEvaluation,
    LossCurves,
    MapAnalysis,
    MapPictures,
    RunWriter,
)
from callbacks.report import closing_table
from callbacks.run_folder import read_measures, run_folder
from codes.store import StoreType
from datamodules import CodeData, ImageData, PassData
from datamodules.code_data import FitSplit
from lightning_modules import CodeSOM

__all__ = ["SomscopeCLI", "main"]

Stage = Literal["analyse", "attack"]
SUBCOMMANDS = ("fit", "validate", "test", "predict")
# A quantisation error falls as sigma shrinks, so no epoch is "best": the last whole one is kept, in one file that is
# written after each epoch and its validation. Lightning's save_last alone writes none before the end.
LAST_EPOCH = {
    "filename": "last",
    "save_top_k": 1,
    "save_last": False,
    "enable_version_counter": False,
    "save_on_train_epoch_end": True,
}
DESCRIPTION = """Self-organizing maps of a frozen network's internal codes.

Without a subcommand, a fit runs, then the --stages that follow it. Subcommands run one stage alone: fit, validate
(analyse), test (attack), predict (extract codes); each has the options below and takes --ckpt_path. --debug shows
tracebacks."""


class SomscopeCLI(LightningCLI):
    """LightningCLI with `fit` as its default and stages after it; a checkpoint never overrides a setting silently."""

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--stages",
            type=list[Stage],
            default=["analyse", "attack"],
            help="What follows a fit, in this order: 'analyse' and 'attack', or [] for nothing.",
        )
        parser.add_argument(
            "--store",
            type=str | None,
            default=None,
            help="Folder of the stores of codes: fit and analyse run on codes, which one pass over the images puts "
            "there unless they are there. null passes the images in every epoch; predict then writes to codes/ beside "
            "the runs.",
        )
        parser.add_argument(
            "--store_dtype", type=StoreType, default="float32", help="In what a store keeps codes; float16 takes half."
        )
        parser.add_argument(
            "--fit_split",
            type=FitSplit,
            default="train",
            help="The split whose codes maps are fit on: 'train', or with a store 'val'.",
        )
        parser.add_lightning_class_args(MapAnalysis, "analysis")
        parser.add_lightning_class_args(FoolboxEvaluation, "attack")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{name}": value for name, value in LAST_EPOCH.items()})
        for section in ("model", "data", "analysis", "attack"):
            parser.link_arguments("seed_everything", f"{section}.seed", compute_fn=int)

    @override
    def before_instantiate_classes(self) -> None:
        """Check the settings of data and stages before the backbone is loaded, which may take a while."""
        ImageData(**self._get(self.config, "data").as_dict())
        MapAnalysis(**self._get(self.config, "analysis").as_dict())
        FoolboxEvaluation(**self._get(self.config, "attack").as_dict())
        if self._get(self.config, "fit_split") != "train" and self._get(self.config, "store") is None:
            raise ValueError("--fit_split val needs the codes of both splits: give a --store")

    @override
    def instantiate_classes(self) -> None:
        """Hand the backbone's own resize, crop and interpolation to the data, for those that are not given."""
        super().instantiate_classes()
        self.images = self.datamodule  # the codes of a store may take their place
        self.datamodule.adopt(self.model.extractor.backbone.preprocessing)

    def before_fit(self) -> None:
        """Check before the fit what the attack stage would refuse after it."""
        if "attack" in self.config.fit.stages:
            self.config_init.fit.attack.check(self.model)
            self.datamodule.setup("test")
        self._use_codes()

    def before_validate(self) -> None:
        """Refuse to measure or attack maps that nothing has fit, before any pass over the images."""
        settings = self.config_init[self.subcommand]
        if not settings.ckpt_path:
            raise ValueError("the maps are empty: fit them first, or give the checkpoint of a fit (--ckpt_path)")
        settings.verbose = False  # the closing table says it all
        if self.subcommand == "validate":
            self._use_codes()

    before_test = before_validate

    def before_predict(self) -> None:
        """Keep no codes in memory, where Lightning would gather those of all images: CodeWriter streams them."""
        self.config_init.predict.return_predictions = False
        self.datamodule = self._pass_data()

    def after_fit(self) -> None:
        """Run the stages that follow a fit."""
        for stage in self.config.fit.stages:
            if stage == "analyse":
                self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
            else:
                self.trainer.test(self.model, datamodule=self.images, verbose=False)

    def predict(self, model: CodeSOM, datamodule: PassData, **settings: Any) -> None:
        """What LightningCLI calls in place of `Trainer.predict`: no pass over the images where a store is there."""
        if datamodule.store is None:
            self.trainer.predict(model, datamodule=datamodule, **settings)

    def _use_codes(self) -> None:
        """Put the codes of a store, where one is given, in place of the images; fill it first if need be."""
        settings = self.config[self.subcommand]
        if settings.store is None:
            return
        data = self._pass_data()
        self.predict(self.model, data, return_predictions=False)
        images = self.images
        self.datamodule = CodeData(
            data.filled().folder, images.batch_size, settings.fit_split, images.num_workers, images.seed
        )

    def _pass_data(self) -> PassData:
        settings, trainer = self.config[self.subcommand], self.trainer
        runs = Path((trainer.loggers[0].save_dir if trainer.loggers else None) or trainer.default_root_dir)
        base = settings.store or runs / "codes"
        return PassData(self.images, self.model.extractor, base, settings.store_dtype, str(trainer.precision))

    @override
    def _parse_ckpt_path(self) -> None:
        """Refuse a checkpoint whose settings differ, where the stock CLI would silently take the checkpoint's."""
        settings = self.config[self.config.subcommand] if self.config.get("subcommand") else Namespace()
        if not (path := settings.get("ckpt_path")):
            return
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"--ckpt_path '{path}' is not a file: give a checkpoint, e.g. checkpoints/last.ckpt"
            )
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")["hyper_parameters"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
            raise ValueError(
                f"--ckpt_path '{path}' is no checkpoint of a fit: give its checkpoints/last.ckpt"
            ) from error
        given = settings.model.as_dict()
        differ = {
            "seed_everything" if key == "seed" else f"model.{key}": f"{value} here, {saved[key]} in the checkpoint"
            for key, value in given.items()
            if key in saved and _plain(saved[key]) != _plain(value)
        }
        if differ:
            lines = "; ".join(f"{key} is {values}" for key, values in differ.items())
            raise ValueError(f"the settings do not fit --ckpt_path '{path}': {lines}. Give the checkpoint's values")


def main(args: Sequence[str] | None = None) -> SomscopeCLI:
    """Run the command line in this process.

    Args:
        args: the arguments; None takes the process's own.

    Returns:
        The finished command line, with its `trainer`, `model` and `datamodule`.
    """
    _silence_dependencies()
    _keep_freed_memory()
    cli = SomscopeCLI(
        CodeSOM,
        ImageData,
        # sys.argv stays as it is: the processes that DDP starts execute it again.
        args=_with_subcommand(sys.argv[1:] if args is None else args),
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_kwargs={"overwrite": True},
        # Abbreviated, a misspelled --model.row would pass as --model.rows.
        parser_kwargs={"allow_abbrev": False, "exit_on_error": False}
        | {command: {"description": DESCRIPTION, "exit_on_error": False} for command in SUBCOMMANDS},
        trainer_defaults={
            "max_epochs": 10,
            "enable_model_summary": False,  # it shows the parts in training mode, before Lightning puts them into eval
            "log_every_n_steps": 10,
            "logger": {
                "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
                "init_args": {"save_dir": "runs", "name": "somscope", "default_hp_metric": False},
            },
            # Pictures of an analysis are drawn from what the others left: last.
            "callbacks": [
                ChartLayout(),
                LossCurves(),
                MapPictures(),
                RunWriter(),
                CodeWriter(),
                AnalysisPictures(),
            ],
        },
    )
    _print_closing(cli)
    return cli


def _with_subcommand(args: Sequence[str]) -> list[str]:
    """Put `fit` in front where no subcommand stands; where it stands, it is to run alone."""
    if not args or args[0] not in SUBCOMMANDS:
        return ["fit", *args]
    alone = args[0] == "fit" and not any(word.startswith("--stages") for word in args)
    return [*args, "--stages=[]"] if alone else list(args)


def _silence_dependencies() -> None:
    """Leave out warnings of dependencies that a user can do nothing about."""
    # Lightning 2.6 uses a class that torch deprecates.
    warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
    # train.py hands its arguments on with the subcommand that they lack.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended to run")
    # Advertisements.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_is_no_tip)
    # The backbone is meant to stay in eval mode.
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")
    # A stage writes to its own run's folder, not beside the checkpoint that it reads.
    warnings.filterwarnings("ignore", "The dirpath has changed from")
    # Lightning 2.6 gathers over processes by a function that torch deprecates.
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional.all_gather is deprecated", FutureWarning)
    # Without a gradient there is no state before the step that one might want.
    warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization and every_n_train_steps")
    # A process without images, or a run in which nothing was attacked: the numbers say so themselves.
    warnings.filterwarnings("ignore", "The ``compute`` method of metric .* was called before the ``update`` method")


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()


def _keep_freed_memory() -> None:
    """Have glibc keep the large buffers that each layer frees, instead of paying for their pages again at every layer.

    On 2 CPU cores this made the embedded backbone 1.4 times faster; other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            libc.mallopt(option, 2**30)


def _plain(value: Any) -> Any:
    """Tuples as lists: YAML knows no other, checkpoints do."""
    return list(value) if isinstance(value, tuple) else value


def _print_closing(cli: SomscopeCLI) -> None:
    if isinstance(cli.datamodule, PassData):
        print(f"the codes are in {cli.datamodule.filled().folder}")
        return
    folder = run_folder(cli.trainer)  # a collective
    if cli.trainer.is_global_zero:
        table = closing_table(read_measures(folder))
        print(f"\n{table}\n" if table else "")
        print(f"the run's folder: {folder}")


def _run() -> int:
    """Run as a command: a user's mistake is told in one line, with exit code 1; `--debug` shows where it arose."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        main()
    except (ArgumentError, ValueError, OSError, MisconfigurationException) as error:
        if debug:
            raise
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ArgumentError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(_run())
