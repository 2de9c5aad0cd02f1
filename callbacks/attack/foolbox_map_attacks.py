"""Attacks on the maps, as Foolbox attacks with a loss of their own: codes and map energies differentiate for pixels.

Both are PGD in Linf that climbs one of two losses for each image, whichever its state asks for (the selective form of
Bryniarski et al. 2021, which needs no weight between them), and return the best of all their iterates:

- `MapDisplacement` moves the BMUs as far as it can while the prediction stays: it climbs the expected lattice distance
  from the clean BMU, over units weighted by exp(-|v - w_k|^2 / T), and back towards the class once the prediction has
  changed;
- `Adaptive` changes the prediction while codes and BMUs stay: it climbs the margin of the best other class until that
  has won, and then descends the distance of the codes to the clean ones and to the energy well of the clean BMUs. No
  score that reads the codes means anything without its figure.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from callbacks.attack.foolbox_library import eagerpy, foolbox
from lightning_modules import CodeSOM

__all__ = ["Adaptive", "MapAttack", "MapDisplacement"]

SHARPNESS = 4  # temperatures between the nearest and the median unit


class MapAttack(foolbox.attacks.LinfProjectedGradientDescentAttack):
    """PGD in Linf that knows the maps; untargeted.

    Args:
        rel_stepsize: step size over the budget.
        steps: iterations.
        random_start: whether it starts at a random point of the budget.
        depths: whose maps it looks at; None for all.
    """

    def __init__(
        self,
        *,
        rel_stepsize: float = 2.5 / 40,
        steps: int = 40,
        random_start: bool = False,
        depths: Sequence[str] | None = None,
    ) -> None:
        super().__init__(rel_stepsize=rel_stepsize, steps=steps, random_start=random_start)
        self.depths = depths

    def see_maps(self, module: CodeSOM, images: Tensor) -> None:
        """Learn where the clean images (B, 3, H, W) lie; called before each run.

        Raises:
            ValueError: if a depth is unknown.
        """
        if unknown := set(self.depths or ()) - set(module.depths):
            raise ValueError(f"attack depth '{unknown.pop()}' is unknown: there are {', '.join(module.depths)}")
        self._module = module
        self._maps = {depth: som for depth, som in module.maps.items() if depth in (self.depths or module.depths)}
        with torch.no_grad():
            codes, _ = self._look(images)
        self._clean = codes
        self._units = {depth: self._squares(depth, each).argmin(1) for depth, each in codes.items()}
        self._best, self._merit = images.clone(), torch.full((len(images),), -torch.inf, device=images.device)

    def get_loss_fn(self, model: Any, labels: eagerpy.Tensor) -> Callable[[eagerpy.Tensor], eagerpy.Tensor]:
        """The loss to climb, summed over images; it keeps the best images that it is shown."""

        def loss(inputs: eagerpy.Tensor) -> eagerpy.Tensor:
            codes, logits = self._look(inputs.raw)
            values = self._judge(inputs.raw, codes, logits, labels.raw)
            return eagerpy.astensor(values.sum())

        return loss

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:
        """Run PGD, and return the best iterate instead of the last."""
        last = super().run(model, inputs, criterion, epsilon=epsilon, **kwargs)
        with torch.no_grad():
            codes, logits = self._look(last)
            self._judge(last, codes, logits, criterion.labels.raw)
        return self._best

    def merit(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """(B,) how good images are, for choosing between iterates; higher is better."""
        raise NotImplementedError

    def objective(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """(B,) what to climb, differentiable."""
        raise NotImplementedError

    def _look(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        extraction = self._module.extractor(images)
        return {depth: som.encode(extraction.codes[depth]) for depth, som in self._maps.items()}, extraction.logits

    def _judge(self, images: Tensor, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            merit = self.merit(codes, logits, labels)
            better = merit > self._merit
            self._best[better], self._merit[better] = images[better], merit[better]
        return self.objective(codes, logits, labels)

    def _squares(self, depth: str, codes: Tensor) -> Tensor:
        """(B, K) squared distances of codes to prototypes, differentiable."""
        prototypes = self._maps[depth].prototypes.detach()
        center = prototypes.mean(0)  # a common offset would cost the differences their digits
        codes, prototypes = codes - center, prototypes - center
        return codes.square().sum(1, keepdim=True) - 2 * codes @ prototypes.T + prototypes.square().sum(1)

    def _moved(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """By depth, (B,) lattice steps of the BMUs from the clean ones."""
        lattice = self._module.lattice
        return {d: lattice.distance(self._units[d], self._squares(d, each).argmin(1)) for d, each in codes.items()}


class MapDisplacement(MapAttack):
    """Moves the BMUs as far as it can at unchanged prediction."""

    def merit(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """The mean displacement over depths; an image whose prediction has changed is no candidate."""
        moved = torch.stack(list(self._moved(codes).values())).mean(0)
        return torch.where(logits.argmax(1) == labels, moved, -torch.inf)

    def objective(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """The expected displacement, or where the prediction has changed the margin of the right class."""
        expected = torch.stack([self._expected(depth, each) for depth, each in codes.items()]).mean(0)
        margin = lead(logits, labels)
        return torch.where(margin > 0, expected, margin)

    def _expected(self, depth: str, codes: Tensor) -> Tensor:
        squares = self._squares(depth, codes)
        fixed = squares.detach()
        temperature = (fixed.median(1, keepdim=True).values - fixed.amin(1, keepdim=True)).clamp(min=1e-12) / SHARPNESS
        everywhere = torch.arange(squares.shape[1], device=squares.device)
        steps = self._module.lattice.distance(self._units[depth][:, None], everywhere)
        return ((-squares / temperature).softmax(1) * steps).sum(1)


class Adaptive(MapAttack):
    """Changes the prediction while codes and BMUs stay as they are, at every depth."""

    def merit(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """Another prediction first, then the share of depths whose BMU is the same, then how little codes moved.

        Without another prediction, how near that is.
        """
        kept = torch.stack([(steps == 0).float() for steps in self._moved(codes).values()]).mean(0)
        fooled = logits.argmax(1) != labels
        return torch.where(fooled, 2 + 2 * kept + 1 / (1 + self._shift(codes)), -lead(logits, labels).clamp(min=0))

    def objective(self, codes: dict[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """The margin of the best other class; once that has won, minus the distance of codes and BMUs to the clean."""
        margin = lead(logits, labels)
        wells = []
        for depth, each in codes.items():
            squares, unit = self._squares(depth, each), self._units[depth][:, None]
            own = squares.gather(1, unit)[:, 0]
            others = squares.scatter(1, unit, torch.inf).amin(1)
            wells.append((own - others).clamp(min=0) / self._scale(depth))
        distance = self._shift(codes) + torch.stack(wells).mean(0)
        return torch.where(margin >= 0, -margin, -distance)

    def _shift(self, codes: dict[str, Tensor]) -> Tensor:
        """(B,) mean over depths of the squared shift of the codes, over the squared distance to the clean BMU."""
        shifts = [(each - self._clean[d]).square().sum(1) / self._scale(d) for d, each in codes.items()]
        return torch.stack(shifts).mean(0)

    def _scale(self, depth: str) -> Tensor:
        own = self._squares(depth, self._clean[depth]).gather(1, self._units[depth][:, None])[:, 0]
        return own.clamp(min=1e-12)


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) by how much the logit of the labels leads the best other; differentiable.

    >>> lead(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2]))
    tensor([-1.])
    """
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return logits.gather(1, labels[:, None])[:, 0] - others
