"""How alike the features are that the choices of a layer put out: what makes sharing weights possible, or not.

The input of a layer comes from any choice before it. A supernet can serve them all if they put out similar features.
SCARLET-NAS (arXiv 1908.06022, §3) finds that a plain skip doesn't and that a stabilized one does; FairNAS (arXiv
1907.01845) compared blocks alike. An mbconv's output here holds its input as well, wherever it has a residual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from hwnas.arrays import Values
from hwnas.data.images import spread
from hwnas.data.load import Data
from hwnas.errors import CheckpointError, DataError
from hwnas.evaluation.accuracy import batch_for
from hwnas.evaluation.batchnorm import norms_of, unchanged
from hwnas.graph.graph import Op
from hwnas.nn.supernet import Supernet
from hwnas.progress import Progress


def feature_similarity(
    supernet: Supernet,
    data: Data,
    *,
    images: int = 256,
    prefixes: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Values]:
    """For each layer the cosine similarity of what its choices put out for the same input: L matrices (C, C).

    The input of layer l is what a random prefix puts out: the stem, then one choice of each layer before l, drawn
    uniformly. A choice's output is its whole feature map (C·H·W numbers, a block's residual included), one vector per
    image; cosines are averaged over images and prefixes. BN uses the statistics of the batch at hand, so each path has
    its own, as in an evaluation, and the supernet stays as it is.

    Args:
        supernet: trained or not; unchanged to the bit afterwards.
        data: its data set.
        images: of the validation part, evenly spaced; at most these many.
        prefixes: how many are drawn.
        seed: of the prefixes.
        progress: called after each prefix.

    Raises:
        DataError: the validation part has fewer than 2 images.
        CheckpointError: an output isn't finite.
    """
    chosen = spread(len(data.validation.labels), images)
    if len(chosen) < 2:
        raise DataError(f"{data.spec} has {len(chosen)} validation images; similarity takes 2 or more")
    batches = torch.tensor_split(chosen, -(-len(chosen) // batch_for(data.resolution)))
    sums = [np.zeros((count, count)) for count in supernet.space.num_choices]
    device = next(supernet.parameters()).device
    with unchanged([supernet]), torch.inference_mode():
        for norm in norms_of([supernet]):  # normalises with the statistics of the batch, and remembers nothing
            norm.training, norm.track_running_stats = True, False
        for done, arch in enumerate(supernet.space.sample(prefixes, seed).tolist(), start=1):
            for batch in batches:
                x_NCHW = data.normalize(data.validation.pixels(batch).to(device))
                for total, cosines in zip(sums, _layer_by_layer(supernet, x_NCHW, arch), strict=True):
                    total += cosines
            if progress:
                progress("comparing", done, prefixes, "")
    for layer, total in enumerate(sums):
        if not np.isfinite(total).all():
            raise CheckpointError(f"layer {layer} of the supernet puts out numbers that aren't finite; train it anew")
    return [_tidy(total / (prefixes * len(chosen))) for total in sums]


def mean_similarities(similarity: Values, ops: Sequence[Op]) -> tuple[float | None, float | None]:
    """Of one layer, the mean similarity of its skip to its blocks, and of its blocks among themselves.

    None where there is no skip (no two blocks).
    """
    skips = np.array([op.skips for op in ops])
    among = similarity[np.ix_(~skips, ~skips)][np.triu_indices(int((~skips).sum()), 1)]
    across = similarity[np.ix_(skips, ~skips)]
    skip, blocks = (float(values.mean()) if values.size else None for values in (across, among))
    return skip, blocks


def _layer_by_layer(supernet: Supernet, x_NCHW: torch.Tensor, arch: Sequence[int]) -> Iterator[Values]:
    """Of each layer on the path of ``arch``, the cosines (C, C) of its choices' outputs, summed over images."""
    x_NCHW = supernet.stem(x_NCHW)
    for layer, choice in enumerate(arch):
        outputs = [supernet.block(layer, index)(x_NCHW) for index in range(len(supernet.space.layers[layer]))]
        yield _cosines(outputs)
        x_NCHW = outputs[choice]


def _cosines(outputs: Sequence[torch.Tensor]) -> Values:
    """Feature maps (N, C, H, W) of each choice -> cosine of each pair, summed over images."""
    features = torch.stack([output.flatten(1) for output in outputs], dim=1).double()  # (N, choices, features)
    unit = nn.functional.normalize(features, dim=2)  # an output of zeros has no direction: 0 to all others
    cosines: Values = torch.bmm(unit, unit.mT).sum(dim=0).cpu().numpy()
    return cosines


def _tidy(similarity: Values) -> Values:
    """Free of rounding: symmetric, within [-1, 1], 1 on the diagonal."""
    tidy: Values = np.clip((similarity + similarity.T) / 2, -1, 1)
    np.fill_diagonal(tidy, 1)
    return tidy
