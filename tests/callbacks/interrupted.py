"""Runs an attack stage slowly, to be killed in the middle: `python -m tests.callbacks.interrupted FOLDER ROOT`."""

import sys
import time
from pathlib import Path

from callbacks import FoolboxEvaluation
from callbacks.attack import batch as attack_batch
from tests.callbacks.conftest import make_data, make_module, make_trainer


def evaluation() -> FoolboxEvaluation:
    return FoolboxEvaluation(["fgsm", "pgd", "deepfool"], [2, 60], 3, reference_images=9, save_images=3, pictures=False)


def main(folder: Path, root: Path) -> None:
    attack = attack_batch.run_attack

    def slowly(*arguments, **settings):
        time.sleep(0.2)
        return attack(*arguments, **settings)

    attack_batch.run_attack = slowly
    trainer = make_trainer(folder, evaluation())
    trainer.test(make_module("imagenet_classes"), datamodule=make_data(root, batch_size=2), verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
