"""Where a batch lies on the maps: what a validation hands to its measures and to the callbacks."""

from typing import Any, NamedTuple

from codes import Extraction
from som import SelfOrganizingMap, Winners

__all__ = ["Located"]


class Located(NamedTuple):
    """A batch at every depth.

    Attributes:
        extraction: its codes.
        winners: by depth, its two nearest units.
    """

    extraction: Extraction
    winners: dict[str, Winners]

    def measured(self, depth: str, som: SelfOrganizingMap) -> dict[str, Any]:
        """What the measures of one depth (`measures.map_measures`) take, but for the labels."""
        found = self.winners[depth]
        return {
            "bmu": found.bmu,
            "second": found.second,
            "distance": found.distance,
            # 1 - cos of vectors of length 1 is half their squared distance.
            "euclidean": (2 * found.distance).sqrt() if som.distance == "cosine" else found.distance,
            "codes": som.encode(self.extraction.codes[depth]),
            "value": self.extraction.dead[depth].float(),
        }
