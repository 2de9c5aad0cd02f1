"""The one entry point: `python train.py --config configs/quickstart.yaml` fits the maps, analyses and attacks.

Stages: fit -> analyse (`validate`) -> attack (`test`); `predict` extracts the vector codes. Each also runs alone:
`python train.py {fit,validate,test,predict} --config X --ckpt_path Y`.
"""

import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until `run` has its own: what is imported next takes seconds, of which a Ctrl-C would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from callbacks import ChartLayout, CodeWriter, LossCurves, RunWriter
from callbacks.report import closing_table
from callbacks.resume import ConfigWriter
from callbacks.run_folder import read_measures, run_folder
from commands import backbones, completion, layers
from commands.cli import DESCRIPTION, SUBCOMMANDS, SomscopeCLI
from commands.ending import end, one_line
from commands.shipped import find_configs
from commands.words import check_words
from compare import command as compare
from datamodules import ImageData, PassData
from lightning_modules import CodeSOM
from lightning_modules.process import keep_freed_memory, silence_dependencies
from somscope import __version__

__all__ = ["SomscopeCLI", "main", "run"]


def main(args: Sequence[str] | None = None) -> SomscopeCLI:
    """Run the command line in this process.

    Args:
        args: the arguments; None takes the process's own.

    Returns:
        The finished command line, with its `trainer`, `model` and `datamodule`.
    """
    words = check_words(find_configs(sys.argv[1:] if args is None else args), [*SUBCOMMANDS, *COMMANDS])
    silence_dependencies()
    keep_freed_memory()
    # Abbreviated, a misspelled --model.row would pass as --model.rows. Subcommands are told, too: before jsonargparse
    # 4.53 their parsers did not take this from the main one.
    strict: dict[str, Any] = {"allow_abbrev": False, "exit_on_error": False}
    cli = SomscopeCLI(
        CodeSOM,
        ImageData,
        # sys.argv stays as it is: the processes that DDP starts execute it again.
        args=_with_subcommand(words),
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_callback=ConfigWriter,
        parser_kwargs=strict | {command: strict | {"description": DESCRIPTION} for command in SUBCOMMANDS},
        trainer_defaults={
            "max_epochs": 10,
            "enable_model_summary": False,  # it shows the parts in training mode, before Lightning puts them into eval
            "log_every_n_steps": 10,
            "logger": {
                "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
                "init_args": {"save_dir": "runs", "name": "somscope", "default_hp_metric": False},
            },
            "callbacks": [ChartLayout(), LossCurves(), RunWriter(), CodeWriter()],
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


def run() -> int:
    """Run the process's own arguments as a command, and return its exit code (see commands/ending.py)."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    warnings.formatwarning = one_line
    return end(_command, resumable=not COMMANDS.keys() & sys.argv[1:2], debug=debug)


def _command() -> int:
    name, *words = sys.argv[1:] or [""]
    if name in COMMANDS:
        return COMMANDS[name](words)
    main()
    return 0


def _version(words: Sequence[str]) -> int:
    print(f"somscope {__version__}")
    return 0


def _completed() -> dict[str, Callable[[Sequence[str]], object]]:
    """All that takes --help."""
    stages = {name: lambda words, name=name: main([name, *words]) for name in SUBCOMMANDS}
    return stages | {name: command for name, command in COMMANDS.items() if not name.startswith("-")}


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "backbones": backbones.main,
    "compare": compare.main,
    "completion": lambda words: completion.main(words, _completed()),
    "layers": layers.main,
    "--version": _version,
}

if __name__ == "__main__":
    sys.exit(run())
