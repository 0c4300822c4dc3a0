"""Random search: feasible archs, uniformly, each once. The baseline that every other strategy must beat."""

from __future__ import annotations

from hwnas.arrays import Archs, Values
from hwnas.optimize.strategies.parts.batches import BatchStrategy

_DRAWN_AT_ONCE = 32


class RandomSearch(BatchStrategy):
    """Uniform sampling within budget without replacement; ends when the feasible archs are used up."""

    def propose(self) -> Archs:
        """New archs of one draw; where all of it was seen, nearly everything is, so look for the last ones."""
        drawn = self.seen.novel(self.region.sample(_DRAWN_AT_ONCE, self.rng))
        return drawn if len(drawn) else self.fill_up(drawn, _DRAWN_AT_ONCE)

    def tell(self, archs: Archs, values: Values) -> None:
        """Nothing is learnt."""
