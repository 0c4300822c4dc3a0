"""What many archs say of each choice: their scores, smoothed by a sum over layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs
from hwnas.space.chain import ChainSpace

_STRENGTHS = np.logspace(-3, 3, 13)


def additive_fit(space: ChainSpace, archs: Archs, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A constant plus a term per layer and choice that fits ``scores`` (N,) of ``archs`` (N, L) best: (N,).

    One arch's inherited score has errors of its own, from the paths that happened to be trained together; in a sum over
    layers they average out, at the price of how layers act together. Ridge regression, its strength by leave-one-out
    error (Golub, Heath & Wahba 1979). It knows nothing but the scores.
    """
    from sklearn.linear_model import RidgeCV  # slow to import

    columns = [archs[:, layer, None] == np.arange(count) for layer, count in enumerate(space.num_choices)]
    features = np.concatenate(columns, axis=1).astype(np.float64)
    spread = scores.std()
    if spread == 0:
        return scores.copy()
    fitted = RidgeCV(alphas=_STRENGTHS).fit(features, (scores - scores.mean()) / spread)
    return np.asarray(fitted.predict(features) * spread + scores.mean(), dtype=np.float64)
