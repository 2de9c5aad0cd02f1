"""The attack stage: where Foolbox's adversarial images land on the maps, beside noise of the same size.

Accounting: an image counts as robust if it is classified correctly before and after the attack; only images that are
correct when clean are attacked, and only they enter displacements. What is correct is told by the labels, where they
are the backbone's own classes and its weights are trained; otherwise by the backbone's own clean prediction: then every
image is attacked, and accuracy is agreement with that prediction. docs/attacks.md has the whole protocol.
"""

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from tqdm import tqdm
from typing_extensions import override

from callbacks.attack.accuracy import report_clean_accuracy
from callbacks.attack.batch import AttackedBatch, FittingParts
from callbacks.attack.columns import ledger_rows
from callbacks.attack.ledger import AttackLedger, ledger_schema
from callbacks.attack.noise import CONTROLS
from callbacks.attack.publishing import STEPS, draw, drawn_attacks, publish
from callbacks.attack.references import measure_references
from callbacks.attack.right_classes import RightClasses
from callbacks.attack.specs import AttackSpec, find_target, parse_attacks
from callbacks.attack.summary import Context, summarise
from callbacks.run_folder import run_folder
from codes import Backbone, Extraction, load_backbone
from lightning_modules import CodeSOM

__all__ = ["FoolboxEvaluation"]

SHOWN = 4  # images whose paths are drawn


class FoolboxEvaluation(Callback):
    """Attacks every test image at every budget, and reports accuracy and what happens on the maps, depth by depth.

    Leaves adversarial.parquet (the ledger), figures, `measures.json` under "test", and scalars in TensorBoard
    (`callbacks/attack/publishing.py`); the text `test/reference` says what accuracies are against. A stage that was
    killed goes on in the same folder (`--trainer.logger.init_args.version`) where it was.

    Args:
        attacks: which attacks run: names (fgsm, bim, pgd, pgd_l2, pgd_l1, mi_fgsm, deepfool, cw_l2, ead, fmn_l0,
            fmn_l1, fmn_l2, fmn_linf, ddn, boundary, hopskipjump, spatial, gaussian_noise, uniform_noise,
            salt_and_pepper, blended_noise), or dictionaries with name or class_path (any attack of Foolbox), init_args,
            norm, epsilons, steps, restarts, target, label; docs/attacks.md.
        epsilons: Linf budgets in units of 1/255 of the pixel range, where an attack gives none of its own: 4 allows
            each value in [0, 1] to move by 4/255.
        steps: iterations of attacks that step towards a budget, where they give none of their own.
        seed: what random starts and the controls' noise depend on, with the sample id.
        save_images: adversarial images of so many samples, the first that are right when clean, are kept as floats.
        reference_images: so many training images, whose codes are held in memory, tell where classes lie on the maps;
            0 leaves out what needs them.
        source_backbone: another backbone with the same classes, whose adversarial images are tried on this one besides.
        source_weights: its weights, as `model.weights`.
        pictures: whether figures are drawn; the ledger and the numbers do not depend on it.

    Raises:
        ValueError: if a value is out of its range, or an attack cannot do what is asked.
    """

    def __init__(
        self,
        attacks: list[str | dict[str, Any]] = ["fgsm", "pgd"],  # noqa: B006 (never mutated; jsonargparse needs a list)
        epsilons: list[float] = [0.0625, 0.25, 1, 2, 4, 8],  # noqa: B006
        steps: int = 10,
        seed: int = 0,
        save_images: int = 0,
        reference_images: int = 0,
        source_backbone: str | None = None,
        source_weights: str = "default",
        pictures: bool = True,
    ) -> None:
        if not attacks or not epsilons:
            raise ValueError(f"attack.attacks {attacks} and attack.epsilons {epsilons} must each name at least one")
        if wrong := [epsilon for epsilon in epsilons if not 0 < epsilon <= 255]:
            raise ValueError(f"attack.epsilons has {wrong[0]}: budgets are in units of 1/255 and lie in (0, 255]")
        if steps < 1 or seed < 0:
            raise ValueError(f"attack.steps is {steps} and attack.seed {seed}: steps must be at least 1, the seed 0")
        for name, value in (("save_images", save_images), ("reference_images", reference_images)):
            if value < 0:
                raise ValueError(f"attack.{name} is {value}: it must be at least 0")
        specs = parse_attacks(attacks, epsilons, steps)
        for spec in specs:
            for lower, upper in pairwise(spec.epsilons):
                if STEPS[spec.norm](lower) == STEPS[spec.norm](upper):
                    raise ValueError(
                        f"attack '{spec.label}' has epsilons {lower:g} and {upper:g}, which share a step of "
                        "TensorBoard's axis: give one of them"
                    )
        if source_backbone:
            transfers = [spec for spec in specs if not hasattr(spec.attack, "see_maps")]
            label = source_backbone.rpartition("/")[2].replace(":", ".")
            specs += tuple(replace(s, label=f"{s.label}_from_{label}", source=source_backbone) for s in transfers)
        self.specs: tuple[AttackSpec, ...] = specs
        self.seed = seed
        self.save_images = save_images
        self.reference_images = reference_images
        self.source_backbone = source_backbone
        self.source_weights = source_weights
        self.pictures = pictures
        self.results: dict[str, Any] = {}
        self._ledger: AttackLedger | None = None
        self._bars: dict[str, tqdm] = {}

    def check(self, module: CodeSOM) -> None:
        """Refuse a module that cannot be attacked.

        Raises:
            ValueError: if its backbone gives no logits.
        """
        backbone = module.extractor.backbone
        if backbone.num_classes is None:
            raise ValueError(f"'{backbone.name}' gives no logits, so it cannot be attacked: leave the attack stage out")

    def find_targets(self, module: CodeSOM, data: Any) -> dict[str, int | str]:
        """By attack, what it aims at, in the backbone's numbering.

        Args:
            module: with its backbone.
            data: the data module, after `setup`.

        Raises:
            ValueError: if a target is no class.
        """
        classes, indices = module.extractor.backbone.num_classes, RightClasses.find(module, data).indices
        assert classes is not None
        return {spec.label: find_target(spec.target, data.classes, indices, classes) for spec in self.specs}

    @override
    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self.check(pl_module)
        backbone = pl_module.extractor.backbone
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._right = RightClasses.find(pl_module, data)
        self._targets = self.find_targets(pl_module, data)
        self._source = self._load_source(pl_module, data.preprocessing.crop) if self.source_backbone else None
        self._fitting = FittingParts()
        self._references = measure_references(trainer, pl_module, self._right, self.reference_images, self.seed)
        right = self._right
        report_clean_accuracy(self._references.accuracy, backbone, data.embedded, right.undefined, right.name)
        schema = ledger_schema(pl_module.depths, right.against, bool(self._references.regions))
        settings = self._settings(pl_module)
        self._ledger = AttackLedger(run_folder(trainer), schema, self.specs, settings, trainer)
        shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
        images = self._references.local_images
        for place, spec in enumerate(self.specs):
            done = min(images, self._ledger.finished(spec.label) // trainer.world_size)
            bar = tqdm(desc=spec.label, total=images, initial=done, unit="img", position=place, disable=not shown)
            self._bars[spec.label] = bar

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
        reference = self._right(batch["label"], outputs.logits.argmax(1))
        attacked = AttackedBatch(trainer, pl_module, self._references, batch, outputs, reference, self.seed)
        for spec in self.specs:
            todo = self._ledger.missing(spec.label, batch["id"])
            if todo.any():
                self._attack(attacked, spec, todo)
                self._bars[spec.label].update(int(todo.sum()))

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        assert self._ledger is not None
        self._ledger.close()
        path, shown, self._ledger = self._ledger.path, self._ledger.images.shown, None
        self._close_bars()
        accuracy = {name: value.item() for name, value in self._references.accuracy.compute().items()}  # a collective
        if not trainer.is_global_zero:
            return
        embedded = trainer.datamodule.embedded  # type: ignore[attr-defined]
        context = Context(pl_module, self.specs, self._references, embedded, self.seed)
        self.results = {
            "reference": self._right.name,
            # Against the own prediction it would be 1 by definition.
            "clean_accuracy": None if self._right.indices is None else accuracy,
            "images": accuracy["trials"],
            "attacked": len(self._references.right),
            **summarise(path, context),
        }
        if not self.results["attacked"]:
            rank_zero_warn(f"none of {self.results['images']} images is right when clean: nothing was attacked")
        names = dict(zip(self._right.indices or [], pl_module.classes, strict=False))
        publish(trainer.loggers, path, self.results, context)
        if self.pictures:
            draw(trainer.loggers, path, self.results, context, shown, names)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._ledger = None  # what it has written stays, to go on with
        self._close_bars()

    def _attack(self, batch: AttackedBatch, spec: AttackSpec, todo: Tensor) -> None:
        """Attack the images of a batch that have no rows yet, at every budget, and write their rows."""
        assert self._ledger is not None
        targets = batch.targets(self._targets[spec.label])
        attacked = todo & batch.right
        if targets is not None:
            attacked = attacked & (targets != batch.reference)  # an image of the target's class is there already
        rows = attacked.nonzero()[:, 0]
        source = self._source if spec.source else None
        tables = []
        for budget in spec.budgets:
            results = self._fitting(lambda part, b=budget: batch.attack(spec, b, part, targets, source), rows)  # type: ignore[misc]
            names = results[0][0] if results else ()
            found = {name: torch.cat([columns[name] for columns, _ in results]) for name in names}
            settings = self._row_settings(spec, budget)
            tables.append(ledger_rows(batch.columns, found, todo, attacked, settings))
            self._keep_images(spec, budget, batch.ids[rows], [pictures for _, pictures in results])
        self._ledger.write(spec.label, tables)

    def _row_settings(self, spec: AttackSpec, budget: float | None) -> dict[str, Any]:
        return {
            "attack": spec.label,
            "norm": spec.norm,
            "control": CONTROLS[spec.norm],
            "source": spec.source or None,
            "budget": budget,
            "epsilon": None if budget is None else spec.pixels(budget),
            "steps": spec.steps or 1,
            "restarts": spec.restarts,
            "seed": self.seed,
        }

    def _keep_images(
        self, spec: AttackSpec, budget: float | None, ids: Tensor, pictures: list[dict[str, Tensor]]
    ) -> None:
        assert self._ledger is not None
        shown = SHOWN if spec.label in drawn_attacks(self.specs) and budget == spec.budgets[-1] else 0
        for count, for_figures in ((self.save_images, False), (shown, True)):
            wanted = set(self._references.right[:count])
            kept = torch.tensor([number in wanted for number in ids.tolist()], dtype=torch.bool, device=ids.device)
            if kept.any():
                images = {kind: torch.cat([part[kind] for part in pictures])[kept] for kind in pictures[0]}
                self._ledger.images.write(spec, budget, {"id": ids[kept], **images}, for_figures)

    def _load_source(self, module: CodeSOM, side: int) -> Backbone:
        """Load the backbone that examples are made on, and refuse one that does not fit.

        Raises:
            ValueError: if its classes are not as many, or it does not take images of this size.
        """
        assert self.source_backbone is not None
        with torch.inference_mode(False):  # else its constants could not enter autograd
            source = load_backbone(self.source_backbone, self.source_weights, module.seed).to(module.device)
        own = module.extractor.backbone
        if source.num_classes != own.num_classes:
            raise ValueError(
                f"attack.source_backbone '{source.name}' has {source.num_classes} classes and '{own.name}' "
                f"{own.num_classes}: examples transfer between networks of the same classes only"
            )
        try:
            with torch.no_grad():
                source(source.mean.new_zeros(1, 3, side, side))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"attack.source_backbone '{source.name}' does not take images of {side} x {side} pixels: {error}"
            ) from error
        return source

    def _settings(self, module: CodeSOM) -> dict[str, Any]:
        """All that the rows depend on, for a stage that goes on with another's."""
        digest = hashlib.sha256()
        for som in module.maps.values():
            for value in som.state_dict().values():
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return {
            "attacks": {spec.label: spec.describe() for spec in self.specs},
            "seed": self.seed,
            "reference": self._right.against,
            "reference_images": self.reference_images,
            "save_images": self.save_images,
            "backbone": module.extractor.backbone.digest,
            "source_backbone": self._source.digest if self._source else "",
            "maps": digest.hexdigest(),
            "images": int(self._references.accuracy.compute()["trials"]),
        }

    def _close_bars(self) -> None:
        for bar in self._bars.values():
            bar.close()
        self._bars = {}
