"""CodeSOM: one frozen backbone, one self-organizing map a depth, all depths trained in one pass.

Images (B, 3, H, W) become vector codes (B, D) at each of L depths; each depth's map finds the best matching unit (BMU)
of every code, and the summed energy of the maps is the loss. Plain SGD on it is Kohonen's rule (see som/energy.py).
"""

import math
from collections.abc import Iterable
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection
from typing_extensions import override

from codes import STATISTICS, CodeExtractor, Extraction, Statistic, code_width, load_backbone
from lightning_modules import checkpoints
from lightning_modules.located import Located
from lightning_modules.map_start import count_first_epoch, start_maps
from lightning_modules.map_updates import MapUpdate
from lightning_modules.relative_energy import relative_energy
from lightning_modules.stability import StabilityWatch
from lightning_modules.trainer_rules import check_trainer, check_whole_epochs, fit_steps
from measures import map_measures
from som import (
    Distance,
    InitialMethod,
    Lattice,
    Neighbourhood,
    Rule,
    Schedule,
    ScheduleKind,
    SelfOrganizingMap,
    Topology,
    Winner,
    Winners,
)
from som.initial import check_initial
from som.rules import check_rule

__all__ = ["CodeSOM"]


class CodeSOM(pl.LightningModule):
    """Self-organizing maps of a frozen network's vector codes.

    Args:
        backbone: a catalog name (resnet18, resnet50, vgg19, densenet121, efficientnet_lite0), `torchvision/NAME`,
            `timm/NAME`, or an import path `package.module:factory`.
        weights: "default" (the library's own), "none" (random, seeded), or the path of a local checkpoint.
        taps: where codes are taken: {depth: dotted module name} or a list of dotted names; null takes the catalog's.
        raw_pixels: whether the images themselves, on a 16 x 16 grid, are a depth too, CL0: a control without a network.
        mean: mean of each of three color channels, for images in [0, 1], with which the backbone normalises; null takes
            the backbone's own, which for a factory is ImageNet's.
        std: standard deviation likewise.
        statistics: what a vector code holds of each channel, in this order: max, mean, std, com (center of mass).
        standardise: whether each dimension of a code is brought to zero mean and unit variance, by running statistics.
        rows: rows of each map's lattice.
        cols: columns of each map's lattice.
        topology: "torus" or "plane".
        neighbourhood: "gaussian", "wrapped_gaussian" (smooth all round a torus) or "bubble".
        distance: "euclidean" or "cosine".
        rule: "gradient" (plain SGD on the energy, Kohonen's rule), "batch" (Kohonen's batch map, once an epoch, without
            alpha) or "ema" (moving averages, alpha the weight of a batch).
        winner: "kohonen" (the BMU), "heskes" (the unit of least energy) or "soft"; the last two for rule "gradient".
        init: how prototypes start: "sample" (codes of the training set), "random" (normal, with the codes' moments),
            "normal" (standard normal) or "pca" (on the plane of the principal directions).
        sigma: width of the neighbourhood in lattice steps, at the first and the last sample.
        alpha: learning rate of the maps, at the first and the last sample; below 2 it is always stable.
        schedule: how sigma and alpha move in between: "linear", "exponential", "cosine" or "inverse".
        seed: what random weights and the start of the maps depend on.
        image_size: side of the images in pixels; None for the backbone's own.

    Attributes:
        depths: names of the depths, L of them.
        lattice: the lattice of every map.
        extractor: images -> codes and logits.
        classes: class names of the data, in label order; known after `setup`.
        results: {quantity: {depth: value}} of the last whole validation; callbacks of the analysis add theirs.
        hits: {depth: (classes, K) int64}, BMU counts by class of the last whole validation.
        train_hits: likewise of the training images, on these same maps; empty unless an analysis counted them.

    Raises:
        ValueError: if a value is out of its range, or a layer, backbone or weights cannot be used.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        weights: str = "default",
        taps: dict[str, str] | list[str] | None = None,
        raw_pixels: bool = False,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        statistics: list[Statistic] = list(STATISTICS),  # noqa: B006 (never mutated; jsonargparse needs a plain list)
        standardise: bool = True,
        rows: int = 12,
        cols: int = 16,
        topology: Topology = "torus",
        neighbourhood: Neighbourhood = "gaussian",
        distance: Distance = "euclidean",
        rule: Rule = "gradient",
        winner: Winner = "kohonen",
        init: InitialMethod = "sample",
        sigma: tuple[float, float] = (6.0, 0.7),
        alpha: tuple[float, float] = (1.0, 1.0),
        schedule: ScheduleKind = "exponential",
        seed: int = 0,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        for name, (start, end) in (("sigma", sigma), ("alpha", alpha)):
            if not (0 < start < math.inf and 0 < end < math.inf):
                raise ValueError(f"{name} is [{start}, {end}]: both ends must be above 0")
        check_initial(init)
        check_rule(rule, winner, alpha)
        code_width(1, statistics)  # refuses unknown ones
        self.save_hyperparameters(ignore=["image_size"])  # maps do not depend on it
        self.seed = seed
        # All that can be refused cheaply is refused before the backbone is loaded.
        self.sigma = Schedule(*sigma, schedule)
        self.alpha = Schedule(*alpha, schedule)
        shared: dict[str, Any] = {"topology": topology, "neighbourhood": neighbourhood, "distance": distance}
        shared |= {"winner": winner, "standardise": standardise}
        self.lattice: Lattice = SelfOrganizingMap(rows, cols, 1, **shared).lattice
        network = load_backbone(backbone, weights, seed, mean, std)
        self.extractor = CodeExtractor(network, taps, statistics, image_size, raw_pixels)
        self.depths = self.extractor.depths
        sizes = self.extractor.dimensions.values()
        self._maps = nn.ModuleList(SelfOrganizingMap(rows, cols, size, **shared) for size in sizes)
        self.rule, self.automatic_optimization = rule, rule == "gradient"
        self._updates = nn.ModuleList(MapUpdate(som, rule) for som in self.maps.values() if rule != "gradient")
        # Counts over all processes; plain numbers, so that no step waits for the device.
        self.samples_seen = self.samples_an_epoch = self.samples_planned = 0
        self.classes: list[str] = []
        self._measures = nn.ModuleList()
        self.results: dict[str, dict[str, float]] = {}
        self.hits, self.train_hits = dict[str, Tensor](), dict[str, Tensor]()
        self._watch = StabilityWatch()
        self.last_validated = -1  # step of a fit's last validation

    @property
    def maps(self) -> dict[str, SelfOrganizingMap]:
        """The maps by depth."""  # in a list, since depths may be dotted names, and keys of a ModuleDict have no dots
        return dict(zip(self.depths, cast(Iterable[SelfOrganizingMap], self._maps), strict=True))

    @property
    def measures(self) -> dict[str, MetricCollection]:
        """The running measures of the validation images, by depth."""
        return dict(zip(self.depths, cast(Iterable[MetricCollection], self._measures), strict=True))

    @override
    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise ValueError("CodeSOM learns the classes from data: pass datamodule=ImageData(...) or CodeData(...)")
        check_trainer(self.trainer, self.rule, stage)
        self.extractor.check_size(data.preprocessing.crop)
        self.classes = data.classes
        dimensions, count = [som.dimensions for som in self.maps.values()], len(self.classes)
        self._measures = nn.ModuleList(map_measures(self.lattice, count, size) for size in dimensions).to(self.device)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        # alpha(progress) replaces the rate of every group, one a depth, at every step.
        groups = [{"params": [som.prototypes], "name": depth} for depth, som in self.maps.items()]
        optimizer = torch.optim.SGD(groups, lr=self.alpha(0.0))
        optimizer.register_step_post_hook(self._constrain)  # on_train_batch_end is too late: callbacks save before it
        return optimizer

    @override
    def forward(self, images: Tensor) -> dict[str, Winners]:
        """Find the BMUs of images (B, 3, H, W) in [0, 1], by depth."""
        return self.winners(self.extractor(images))

    def winners(self, extraction: Extraction) -> dict[str, Winners]:
        """Find the BMUs of codes that were extracted before, by depth."""
        return {depth: som(extraction.codes[depth]) for depth, som in self.maps.items()}

    def locate(self, batch: dict[str, Any]) -> Located:
        """Find the codes of a batch of the data module, of images or of a store's codes, and their BMUs."""
        extraction = self._extract(batch)
        return Located(extraction, self.winners(extraction))

    @override
    def on_fit_start(self) -> None:
        if not all(som.initialised for som in self.maps.values()):
            bmus = start_maps(self)
            for end in (0.0, 1.0) if self.rule == "gradient" else ():  # told now, not hours later
                for depth, som in self.maps.items():
                    self._watch.check(self.trainer, depth, som, bmus[depth], self.sigma(end), self.alpha(end))

    @override
    def on_train_start(self) -> None:
        if self.rule == "batch":
            check_whole_epochs(self.trainer)

    @override
    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        rate = self.alpha(self._progress(len(batch["id"])))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    @override
    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        with torch.no_grad():  # the walk is differentiable; training the maps needs no gradient of it
            extraction = self._extract(batch)
        local = len(batch["id"])
        sigma = self.sigma(self._progress(local))
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        energies = []
        # Backwards: gradients come in the parameters' order, so that DDP sums them alike from its first step on.
        for depth, som in reversed(self.maps.items()):
            count_first_epoch(self, som, extraction.codes[depth])
            energy, winners = som.energy(extraction.codes[depth], sigma)
            if self.rule == "gradient":
                self._watch.check(self.trainer, depth, som, winners.bmu, sigma, rate)
            else:
                update = cast(MapUpdate, self._updates[self.depths.index(depth)])
                update.step(som, extraction.codes[depth], winners.bmu, sigma, rate, self.trainer.is_last_batch)
            energies.append(energy)
            self.log(f"fit/energy/{depth}", energy.detach(), sync_dist=True)
            share = relative_energy(som, extraction.codes[depth], winners.bmu, energy, sigma)
            self.log(f"fit/relative_energy/{depth}", share, sync_dist=True)
        self.log_dict({"fit/sigma": sigma, "fit/alpha": rate})
        self.samples_seen += local * self.trainer.world_size
        if self.automatic_optimization:
            return torch.stack(energies).sum()
        self.optimizers().step()  # type: ignore[union-attr]  # no gradients, so nothing but the count of steps
        return None

    @override
    def on_validation_start(self) -> None:
        if not all(som.initialised for som in self.maps.values()):
            raise ValueError("the maps are empty: fit them first, or give the checkpoint of a fit (--ckpt_path)")
        if self.trainer.state.fn != "fit":
            checkpoints.warn_if_unfinished(self.samples_seen, self.samples_an_epoch, self.samples_planned)

    on_test_start = on_validation_start

    @override
    def on_validation_epoch_start(self) -> None:
        self.results, self.hits, self.train_hits = {}, {}, {}

    @override
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Located:  # type: ignore[override]
        found = self.locate(batch)
        for depth, measures in self.measures.items():
            measures.update(label=batch["label"], **found.measured(depth, self.maps[depth]))
        return found

    @override
    def on_validation_epoch_end(self) -> None:
        # The analysis that follows a fit repeats its last validation, which is on the curves already.
        stage, step = self.trainer.state.fn, self.trainer.global_step
        to_logger = False if (stage, step) == ("validate", self.last_validated) else None
        if stage == "fit" and not self.trainer.sanity_checking:
            self.last_validated = step
        for depth, measures in self.measures.items():
            found = measures.compute()
            self.hits[depth] = found.pop("hits")
            for quantity, value in found.items():
                self.results.setdefault(quantity, {})[depth] = float(value)
                if value.isfinite():  # else it is undefined
                    self.log(f"validate/{quantity}/{depth}", value.float(), sync_dist=True, logger=to_logger)
            measures.reset()

    @override
    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> Extraction:  # type: ignore[override]
        """Extract the clean images' codes and logits, for the callbacks that attack them."""
        return self.extractor(batch["image"])

    @override
    def predict_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> Extraction:
        """Extract the codes, for the callback that keeps them."""
        return self.extractor(batch["image"])

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoints.strip(checkpoint, self)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoints.complete(checkpoint, self)

    def _extract(self, batch: dict[str, Any]) -> Extraction:
        """The codes of a batch of images, or those that it brings from a store."""
        return Extraction(batch["codes"], None, batch["dead"]) if "codes" in batch else self.extractor(batch["image"])

    def _progress(self, local: int) -> float:
        """Share of the training that lies behind, by samples seen over all processes."""
        batch = local * self.trainer.world_size
        self.samples_an_epoch = int(self.trainer.num_training_batches) * batch
        self.samples_planned = fit_steps(self.trainer) * batch
        return self.samples_seen / self.samples_planned

    def _constrain(self, *_: Any) -> None:
        for som in self.maps.values():
            som.constrain()
