"""``count``: multiply-adds and parameters of an arch, or of somebody's own network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.arguments import checked
from hwnas.brief import Brief
from hwnas.errors import ConfigError
from hwnas.flow.model import ModelLike, names_model, open_model
from hwnas.graph.count import Count
from hwnas.graph.count import count as count_ops
from hwnas.onnx.count import ModelCount, count_model
from hwnas.onnx.model import Shapes
from hwnas.prediction.costs import model_mb, peak_activation_mb
from hwnas.space.arch import Arch, parse_arch


@dataclass(frozen=True, repr=False)
class ArchCount(Brief):
    """Of an arch with its stabilizers dropped, in fp32.

    Attributes:
        arch: what was counted.
        count: multiply-adds (batch 1) and parameters, in all and of each op.
        model_mb: weights.
        peak_activation_mb: most activations at one time.
    """

    arch: Arch
    count: Count
    model_mb: float
    peak_activation_mb: float

    @property
    def madds(self) -> int:
        return self.count.madds

    @property
    def params(self) -> int:
        return self.count.params


@checked
def count(
    model: Arch | ModelLike | str | Path,
    *,
    resolution: int | None = None,
    classes: int | None = None,
    shapes: Shapes | None = None,
) -> ArchCount | ModelCount:
    """Count an arch, or what a person types for one (see :func:`hwnas.space.arch.parse_arch`), or any model.

    Args:
        model: which; a model as :func:`hwnas.flow.model.open_model` takes it.
        resolution: of an arch's input in pixels; the space's own, unless given. An `Arch` has its own.
        classes: an arch's outputs, likewise.
        shapes: of a model's inputs; see :func:`hwnas.flow.model.open_model`.

    Raises:
        ArchError, SpaceError: no such arch.
        ModelError: the model can't be taken.
        ConfigError: shapes of an arch, or a resolution of a model.
    """
    if isinstance(model, Arch) or (isinstance(model, str | Path) and not names_model(model)):
        if shapes:
            raise ConfigError("shapes are of a model's inputs; an arch takes a resolution")
        return _count_arch(model if isinstance(model, Arch) else parse_arch(str(model), resolution, classes))
    if resolution is not None or classes is not None:
        raise ConfigError("a model has its own resolution and classes; its inputs' sizes are set by --shape")
    return count_model(open_model(model, shapes))


def _count_arch(arch: Arch) -> ArchCount:
    size_mb, peak_mb = (float(cost(arch.space)(arch.choices)[0]) for cost in (model_mb, peak_activation_mb))
    return ArchCount(arch, count_ops(arch.space.graph(arch.choices)), size_mb, peak_mb)
