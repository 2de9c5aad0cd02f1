"""The command line of a run: what `fit`, `validate`, `test` and `predict` take, and what follows a fit."""

import os
import sys
from argparse import ArgumentError
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info
from typing_extensions import override

from callbacks import AnalysisPictures, FoolboxEvaluation, MapAnalysis, MapPictures
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.resume import PastRun, mark_whole
from codes.store import StoreType
from commands.checks import check_machine, describe
from commands.words import with_suggestion
from datamodules import CodeData, ImageData, PassData
from datamodules.code_data import FitSplit
from datamodules.counting import count_images, decoding_rate
from lightning_modules import CodeSOM
from lightning_modules.checkpoints import check_settings
from lightning_modules.plan import describe_plan, measure_costs, workers
from lightning_modules.process import be_quiet
from lightning_modules.trainer_rules import check_length

__all__ = ["DESCRIPTION", "SUBCOMMANDS", "SomscopeCLI"]

Stage = Literal["analyse", "attack"]
SUBCOMMANDS = ("fit", "validate", "test", "predict")
ALONE = {"validate": "analyse", "test": "attack", "predict": "extract"}
DESCRIPTION = """Self-organizing maps of a frozen network's internal codes.

Without a subcommand, a fit runs, then the --stages that follow it. Subcommands run one stage alone: fit, validate
(analyse), test (attack), predict (extract codes); each has the options below and takes --ckpt_path. Others have a
--help of their own: `backbones` and `layers --backbone NAME` list what can be used; `compare --runs RUN RUN ... --out
DIR` lays finished runs side by side; `completion SHELL` prints what completes options in a shell. --debug shows
tracebacks.

Exit codes: 0 all is whole; 1 a setting, data, weights or the machine do not allow it; 2 no such option or value; 130
stopped by Ctrl-C, after which the same command with --resume goes on."""


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
        parser.add_argument(
            "--pictures",
            type=bool,
            default=True,
            help="Whether figures and TensorBoard's pictures are drawn. Numbers, maps and tables do not depend on it; "
            "many short runs are faster without.",
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
        parser.add_argument(
            "--plan",
            action="store_true",
            help="Print what the command would cost (images, bytes, operations, memory, seconds), check data, weights, "
            "disk and memory, and run nothing; exit code 1 where a check fails.",
        )
        parser.add_argument(
            "--quiet",
            action="store_true",
            help="Print warnings, errors and the closing tables alone. Without it, progress is left out where the "
            "environment has CI set.",
        )
        for section in ("model", "data", "analysis", "attack"):
            parser.link_arguments("seed_everything", f"{section}.seed", compute_fn=int)
        parser.link_arguments("data.crop", "model.image_size")
        parser.link_arguments("pictures", "attack.pictures")

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Be quiet from here on, if that is asked for, by an option or by a configuration."""
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            words = args if isinstance(args, list) else sys.argv[1:]
            name = next((word for word in words if word in self._subcommand_parsers), "fit")
            raise with_suggestion(error, self._subcommand_parsers[name]._option_string_actions) from None
        seed = self.config[self.config["subcommand"]].seed_everything
        if not 0 <= int(seed) < 2**32:
            raise ValueError(f"seed_everything is {seed}: give a whole number from 0 to {2**32 - 1}")
        if self.config[self.config["subcommand"]].quiet:
            be_quiet()

    @override
    def before_instantiate_classes(self) -> None:
        """Check the settings of data and stages before the backbone is loaded, which may take a while."""
        self._find_past_run()
        ImageData(**self._get(self.config, "data").as_dict())
        MapAnalysis(**self._get(self.config, "analysis").as_dict())
        FoolboxEvaluation(**self._get(self.config, "attack").as_dict())
        stages = self._get(self.config, "stages", [])
        if len(set(stages)) < len(stages):
            raise ValueError(f"--stages {stages}: one of them is given twice, give each at most once")
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
    def after_instantiate_classes(self) -> None:
        """Print the plan and the checks, if that is all that is asked for."""
        if not self.plan:
            return
        data, settings = self.images, self.config[self.subcommand]
        decoding = decoding_rate(data) * workers(data.num_workers)
        model = self.model.to(self.trainer.strategy.root_device)
        batch = max(1, data.batch_size // self.trainer.world_size)
        costs, rates = measure_costs(model, data.preprocessing.crop, batch, decoding)
        images = count_images(data)
        if self.trainer.is_global_zero:
            print(describe_plan(costs, rates, images, settings, self.trainer.world_size, self._stages()))
        checks = check_machine(data, model, images, settings)
        if self.trainer.is_global_zero:
            print(f"\n{describe(checks)}")
        sys.exit(0 if all(check.passes for check in checks) else 1)

    @override
    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """Make the trainer; that of a resumed run logs into the run's own folder."""
        pictures = self._get(self.config, "pictures")
        # Those of an analysis are drawn from what all others left: last.
        self.trainer_defaults["callbacks"] += [MapPictures(pictures), *([AnalysisPictures()] if pictures else [])]
        if self.past is not None:
            settings["logger"] = self.past.logger(self.config[self.subcommand].trainer)
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
        if self.quiet or in_ci:  # a log keeps every redrawn line of a bar
            settings["enable_progress_bar"] = False
        return super().instantiate_trainer(**settings)

    def before_fit(self) -> None:
        """Check before the fit what it and the stages after it would refuse."""
        for command in ("fit", *(command for command, stage in ALONE.items() if stage in self.config.fit.stages)):
            check_length(self.trainer, command)
        if "attack" in self.config.fit.stages:
            self.config_init.fit.attack.check(self.model)
            self.datamodule.setup("test")
            self.config_init.fit.attack.find_targets(self.model, self.datamodule)
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
        # How to run, not what: config.yaml shall not have them.
        self.plan, resume = settings.pop("plan"), settings.pop("resume")
        self.quiet = settings.pop("quiet")
        if not resume or self.plan:
            return
        config = self._parser(command).dump(settings, skip_none=False)
        self.past = PastRun.find(settings.trainer, command, config)
        if self.past is not None and self.past.checkpoint is not None:
            check_settings(self.past.checkpoint, settings.model.as_dict())
        if self.past is not None and self._stages() <= self.past.whole:
            rank_zero_info(f"nothing to resume: the run in '{self.past.folder}' is whole")
            sys.exit(0)

    def _stages(self) -> set[str]:
        """The stages that the command runs."""
        command = str(self.subcommand)
        return {"fit", *self.config.fit.stages} if command == "fit" else {ALONE[command]}

    def _use_codes(self) -> None:
        """Put the codes of a store, where one is given, in place of the images; fill it first if need be."""
        settings = self.config[self.subcommand]
        if settings.store is None:
            return
        data = self._pass_data()
        self.predict(self.model, data, return_predictions=False)
        images = self.images
        self.datamodule = CodeData(data.filled().folder, images.batch_size, settings.fit_split, seed=images.seed)

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
