"""The attack stage: where Foolbox's adversarial images land on the maps, beside noise of the same size.

Accounting: an image counts as robust if it is classified correctly before and after the attack; only images that are
correct when clean are attacked, and only they enter displacements. The noise control has each example's realised Linf.
What is correct is told by the labels, where they are the backbone's own classes and its weights are trained; otherwise
by the backbone's own clean prediction: then every image is attacked, and accuracy is agreement with that prediction.
"""

from itertools import islice, pairwise
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from tqdm import tqdm
from typing_extensions import override

from callbacks.attack_figures import displacement_figure, robust_accuracy_figure
from callbacks.attack_ledger import AttackLedger, Reference
from callbacks.attack_report import AttackReport, interval
from callbacks.foolbox_attacks import AttackName, linf_attack, sign_noise
from callbacks.report import accounting
from callbacks.run_folder import merge_measures, run_folder, save_figure
from codes import Extraction
from lightning_modules import CodeSOM
from measures import Rate

__all__ = ["FoolboxEvaluation"]

PHOTOGRAPHS = 20  # embedded ones
STEPS_PER_UNIT = 16  # TensorBoard's step axis counts budgets in sixteenths of 1/255


class FoolboxEvaluation(Callback):
    """Attacks every test image at every budget, and reports accuracy and the displacement of BMUs by depth.

    Leaves adversarial.parquet (the ledger), figures, `measures.json` under "test", and the scalars
    `test/robust_accuracy/<attack>`, `test/<attack>_displacement/<depth>` and, for noise of the same size,
    `test/<attack>_control/<depth>`, whose step axis is the budget in sixteenths of 1/255; the text `test/reference`
    says what accuracies are against.

    Args:
        attacks: which attacks run: "fgsm", "pgd".
        epsilons: Linf budgets in units of 1/255 of the pixel range: 4 allows each value in [0, 1] to move by 4/255.
        steps: gradient steps of PGD.
        seed: what random starts and the control's noise depend on, with the sample id.

    Raises:
        ValueError: if a value is out of its range.
    """

    def __init__(
        self,
        attacks: list[AttackName] = ["fgsm", "pgd"],  # noqa: B006 (never mutated; jsonargparse needs a plain list)
        epsilons: list[float] = [0.0625, 0.25, 1, 2, 4, 8],  # noqa: B006
        steps: int = 10,
        seed: int = 0,
    ) -> None:
        if not attacks or not epsilons:
            raise ValueError(f"attack.attacks {attacks} and attack.epsilons {epsilons} must each name at least one")
        if wrong := [epsilon for epsilon in epsilons if not 0 < epsilon <= 255]:
            raise ValueError(f"attack.epsilons has {wrong[0]}: budgets are in units of 1/255 and lie in (0, 255]")
        if steps < 1 or seed < 0:
            raise ValueError(f"attack.steps is {steps} and attack.seed {seed}: steps must be at least 1, the seed 0")
        self.attacks = attacks
        self.epsilons = sorted(set(epsilons))
        for lower, upper in pairwise(self.epsilons):
            if _step(lower) == _step(upper):
                raise ValueError(
                    f"attack.epsilons has {lower:g} and {upper:g}, which share a step of TensorBoard's axis: budgets "
                    "are told apart by sixteenths of 1/255, so give one of them"
                )
        self.steps = steps
        self.seed = seed
        self.reports: dict[tuple[AttackName, float], AttackReport] = {}
        self._ledger: AttackLedger | None = None

    def check(self, module: CodeSOM) -> None:
        """Refuse a module that cannot be attacked.

        Raises:
            ValueError: if its backbone gives no logits.
        """
        backbone = module.extractor.backbone
        if backbone.num_classes is None:
            raise ValueError(f"'{backbone.name}' gives no logits, so it cannot be attacked: leave the attack stage out")

    @override
    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self.check(pl_module)
        backbone = pl_module.extractor.backbone
        label_map = trainer.datamodule.label_map  # type: ignore[attr-defined]
        self._random = pl_module.hparams["weights"] == "none"  # its predictions have nothing to do with labels
        known = label_map is not None and label_map.classes == backbone.num_classes and not self._random
        self._classes = torch.tensor(label_map.indices, device=pl_module.device) if known else None
        self._labels = label_map.labels if known else ""
        self._clean = Rate().to(pl_module.device)
        self._check_clean_accuracy(trainer, pl_module)
        self.reports = {
            (attack, epsilon): AttackReport(pl_module) for attack in self.attacks for epsilon in self.epsilons
        }
        against: Reference = "own prediction" if self._classes is None else "labels"
        self._ledger = AttackLedger(run_folder(trainer), pl_module.depths, pl_module.lattice.cols, against, trainer)
        total = self._local_images * len(self.reports)
        self._bar = tqdm(desc="attacking", total=total, unit="img", disable=not trainer.is_global_zero)

    @override
    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: CodeSOM,
        outputs: Extraction,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert self._ledger is not None
        assert outputs.logits is not None
        predicted = outputs.logits.argmax(1)
        reference = self._reference(batch["label"], predicted)
        right = predicted == reference
        images, labels, ids = batch["image"][right], reference[right], batch["id"][right]
        clean = {"id": batch["id"], "label": batch["label"], "reference": reference, "clean_prediction": predicted}
        before = {depth: winners.bmu for depth, winners in pl_module.winners(outputs).items()}
        clean |= {f"{depth}_clean": bmu for depth, bmu in before.items()}
        for (attack, epsilon), report in self.reports.items():
            found = None
            if len(ids):
                found = self._attack(trainer, pl_module, images, labels, ids, attack, epsilon)
                report.update({depth: bmu[right] for depth, bmu in before.items()}, found, labels)
            report.skip(batch["id"][~right])
            steps = self.steps if attack == "pgd" else 1
            budget = {"epsilon_255": epsilon, "epsilon": epsilon / 255}
            settings = {"attack": attack, **budget, "steps": steps, "seed": self.seed}
            self._ledger.write(clean, right, found, settings)
            self._bar.set_postfix_str(f"{attack} at {epsilon:g}/255")
            self._bar.update(len(right))

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        assert self._ledger is not None
        self._ledger.close()
        self._ledger = None
        self._bar.close()
        clean = interval(self._clean)  # on every process: computing is a collective, here and below
        results: dict[str, Any] = {
            "reference": self._reference_name,
            # Against the own prediction it would be 1 by definition.
            "clean_accuracy": None if self._classes is None else clean,
            "images": clean["trials"],
            "attacked": 0,
            "attacks": {attack: {} for attack in self.attacks},
        }
        for (attack, epsilon), report in self.reports.items():
            numbers = report.compute()
            results["attacked"] = numbers["attack_success"]["trials"]
            results["attacks"][attack][f"{epsilon:g}/255"] = numbers
            scalars = {f"test/robust_accuracy/{attack}": numbers["robust_accuracy"]["rate"]}
            for depth in pl_module.depths:
                scalars[f"test/{attack}_displacement/{depth}"] = numbers["displacement"][depth]
                scalars[f"test/{attack}_control/{depth}"] = numbers["control_displacement"][depth]
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=_step(epsilon))
        folder = run_folder(trainer)
        if trainer.is_global_zero:
            if not results["attacked"]:
                rank_zero_warn(f"none of {results['images']} images is right when clean: nothing was attacked")
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_text("test/reference", accounting(results))
            merge_measures(folder, "test", results)
            save_figure(folder, "robust_accuracy", robust_accuracy_figure(results))
            save_figure(folder, "displacement", displacement_figure(results, pl_module.depths))

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._ledger is not None:
            self._ledger.abandon()
            self._ledger = None
            self._bar.close()

    def _reference(self, labels: Tensor, predicted: Tensor) -> Tensor:
        """(B,) the class that counts as right: the label in the backbone's numbering, or its own clean prediction."""
        return predicted if self._classes is None else self._classes[labels]

    @property
    def _reference_name(self) -> str:
        return "the backbone's own clean prediction" if self._classes is None else self._labels

    def _check_clean_accuracy(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:
        """Measure the clean accuracy before anything is attacked, against the figure that the catalog expects."""
        backbone = pl_module.extractor.backbone
        self._local_images = 0
        loader = trainer.datamodule.test_dataloader()  # type: ignore[attr-defined]
        for batch in islice(loader, int(trainer.num_test_batches[0])):  # limit_test_batches holds here too
            with trainer.precision_plugin.test_step_context():
                predicted = backbone(batch["image"].to(pl_module.device)).argmax(1)
            self._clean.update(predicted == self._reference(batch["label"].to(pl_module.device), predicted))
            self._local_images += len(predicted)
        measured = interval(self._clean)
        if self._classes is None:
            reason = "weights are random" if self._random else "classes are not the data's"
            rank_zero_info(
                f"clean accuracy: not defined, since the backbone's {reason}; what counts as right is "
                f"{self._reference_name}"
            )
            return
        text = f"clean accuracy {measured['rate']:.1%} (95 % interval {measured['low']:.1%} to {measured['high']:.1%})"
        expected, photographs = backbone.expected_accuracy, backbone.expected_photographs
        advice = "check labels, resizing and normalisation before believing any attack"
        if trainer.datamodule.embedded and measured["trials"] == PHOTOGRAPHS and photographs is not None:  # type: ignore[attr-defined]
            right = round(measured["rate"] * PHOTOGRAPHS)
            known = f"{right} of the {PHOTOGRAPHS} embedded photographs, '{backbone.name}' gets {photographs}"
            if right < photographs - 1:  # one may turn with a CPU's rounding
                rank_zero_warn(f"{text}: {known}: {advice}")
            else:
                rank_zero_info(f"{text}: {known}")
        elif expected is not None and measured["high"] < expected:
            rank_zero_warn(f"{text} is below the {expected:.1%} that '{backbone.name}' is known for: {advice}")
        else:
            rank_zero_info(text + (f", expected about {expected:.1%}" if expected is not None else ""))

    def _attack(
        self,
        trainer: pl.Trainer,
        module: CodeSOM,
        images: Tensor,
        labels: Tensor,
        ids: Tensor,
        name: AttackName,
        epsilon: float,
    ) -> dict[str, Tensor]:
        """Attack, then send the adversarial and the control images through backbone and maps in one separate pass."""
        backbone = module.extractor.backbone
        adversarial = linf_attack(
            backbone, images, labels, ids, name=name, epsilon=epsilon / 255, steps=self.steps, seed=self.seed
        )
        difference = (adversarial - images).flatten(1)
        control = sign_noise(images, difference.abs().amax(1), ids, self.seed)
        noise = (control - images).flatten(1)
        found = {
            "linf": difference.abs().amax(1),
            "l2": difference.norm(dim=1),
            "control_linf": noise.abs().amax(1),
            "control_l2": noise.norm(dim=1),
        }
        for kind, pictures in (("adversarial", adversarial), ("control", control)):
            # The clean images' precision: under autocast, float32 alone would move BMUs and predictions.
            with trainer.precision_plugin.test_step_context():
                extraction = module.extractor(pictures)
            found[f"{kind}_prediction"] = extraction.logits.argmax(1)
            found |= {f"{depth}_{kind}": winners.bmu for depth, winners in module.winners(extraction).items()}
        return found


def _step(epsilon: float) -> int:
    """The budget on TensorBoard's step axis."""
    return round(epsilon * STEPS_PER_UNIT)
