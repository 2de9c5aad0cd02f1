"""The one entry point: `python train.py --config configs/quickstart.yaml` fits the maps, analyses and attacks.

Stages: fit -> analyse (`validate`) -> attack (`test`); `predict` extracts the vector codes. Each also runs alone:
`python train.py {fit,validate,test,predict} --config X --ckpt_path Y`.
"""

import sys
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info
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
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.report import closing_table
from callbacks.resume import ConfigWriter, PastRun, mark_whole
from callbacks.run_folder import read_measures, run_folder
from codes.store import StoreType
from datamodules import CodeData, ImageData, PassData
from datamodules.code_data import FitSplit
from lightning_modules import CodeSOM
from lightning_modules.checkpoints import check_settings
from lightning_modules.process import keep_freed_memory, silence_dependencies

__all__ = ["SomscopeCLI", "main"]

Stage = Literal["analyse", "attack"]
SUBCOMMANDS = ("fit", "validate", "test", "predict")
ALONE = {"validate": "analyse", "test": "attack", "predict": "extract"}
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
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        parser.add_argument(
            "--resume",
            action="store_true",
            help="Go on with the latest run of the same command and settings, in its folder, where a kill or an error "
            "ended it; the end is that of an uninterrupted run. Where there is none, a new one starts.",
        )
        for section in ("model", "data", "analysis", "attack"):
            parser.link_arguments("seed_everything", f"{section}.seed", compute_fn=int)

    @override
    def before_instantiate_classes(self) -> None:
        """Check the settings of data and stages before the backbone is loaded, which may take a while."""
        self._find_past_run()
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
        if self.past is not None and self.trainer.is_global_zero:
            self.past.clear()

    @override
    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """Make the trainer; that of a resumed run logs into the run's own folder."""
        if self.past is not None:
            settings["logger"] = self.past.logger(self.config[self.subcommand].trainer)
        return super().instantiate_trainer(**settings)

    def before_fit(self) -> None:
        """Check before the fit what the attack stage would refuse after it."""
        if "attack" in self.config.fit.stages:
            self.config_init.fit.attack.check(self.model)
            self.datamodule.setup("test")
        self._use_codes()
        if self.past is not None and self.past.checkpoint is not None:
            self.config_init.fit.ckpt_path = str(self.past.checkpoint)

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
        mark_whole(self.trainer, "fit")
        for stage in self.config.fit.stages:
            if self.past is not None and stage in self.past.whole:
                continue
            if stage == "analyse":
                self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
            else:
                self.trainer.test(self.model, datamodule=self.images, verbose=False)
            mark_whole(self.trainer, stage)

    def after_validate(self) -> None:
        """Note that the stage is whole."""
        mark_whole(self.trainer, ALONE[str(self.subcommand)])

    after_test = after_validate

    def predict(self, model: CodeSOM, datamodule: PassData, **settings: Any) -> None:
        """What LightningCLI calls in place of `Trainer.predict`: no pass over the images where a store is there."""
        if datamodule.store is None:
            self.trainer.predict(model, datamodule=datamodule, **settings)

    def _find_past_run(self) -> None:
        """Find the run that --resume goes on with; end the command where it is whole."""
        self.save_config_kwargs = {"command": self.subcommand}
        command = str(self.subcommand)
        settings, self.past = self.config[command], None
        if not settings.pop("resume"):  # config.yaml shall not have it
            return
        config = self._parser(command).dump(settings, skip_none=False)
        self.past = PastRun.find(settings.trainer, command, config)
        stages = {"fit", *settings.get("stages", ())} if command == "fit" else {ALONE[command]}
        if self.past is not None and stages <= self.past.whole:
            rank_zero_info(f"nothing to resume: the run in '{self.past.folder}' is whole")
            sys.exit(0)

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
        if path := settings.get("ckpt_path"):
            check_settings(Path(path), settings.model.as_dict())


def main(args: Sequence[str] | None = None) -> SomscopeCLI:
    """Run the command line in this process.

    Args:
        args: the arguments; None takes the process's own.

    Returns:
        The finished command line, with its `trainer`, `model` and `datamodule`.
    """
    silence_dependencies()
    keep_freed_memory()
    cli = SomscopeCLI(
        CodeSOM,
        ImageData,
        # sys.argv stays as it is: the processes that DDP starts execute it again.
        args=_with_subcommand(sys.argv[1:] if args is None else args),
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_callback=ConfigWriter,
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
