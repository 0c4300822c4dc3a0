"""``kit``: one file that profiles a space on a device that hwnas isn't installed on."""

from __future__ import annotations

from pathlib import Path

from hwnas.files import refuse_existing, write_atomic
from hwnas.flow.plan import plan
from hwnas.profiling.kit import Kit, build_kit
from hwnas.profiling.plan import Plan
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.device import Conditions


def kit(
    space: ChainSpace | str | Path,
    output: Path | str,
    *,
    conditions: Conditions | None = None,
    networks: int = 20,
    held_out: int = 20,
    effort: Effort | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Kit:
    """Write a kit: there ``python KIT.pyz -o RESULT``, then, here, :func:`hwnas.flow.table.import_table`.

    Args:
        space: a space, its name, or its YAML file.
        output: the file, ``*.pyz``.
        conditions: how to run networks, as :func:`hwnas.flow.plan.plan` takes them.
        networks: whole networks to calibrate with.
        held_out: whole networks to validate with, measured twice each.
        effort: how long to measure there.
        seed: of everything random.
        progress: called while models are written.

    Raises:
        SpaceError, ConfigError, RuntimeMissingError: it can't be measured as asked, or not by a kit.
        OutputError: the output exists already or can't be written.
        ModelError: the runtime can have none of the models.
    """
    path = Path(output)
    refuse_existing(path)
    asked = plan(space, conditions, networks=networks, held_out=held_out, effort=effort, seed=seed)
    built = kit_of(asked, progress=progress)
    write_atomic(path, built.data)
    return built


def kit_of(plan: Plan, *, progress: Progress | None = None) -> Kit:
    """The kit of a plan; raises as :func:`kit`."""
    runtime = get_runtime(plan.conditions.runtime, plan.conditions.options)
    return build_kit(plan, get_space(plan.space), runtime, progress=progress)
