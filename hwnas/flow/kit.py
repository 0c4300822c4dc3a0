"""``kit``: one file that profiles a space on a device that hwnas isn't installed on."""

from __future__ import annotations

from pathlib import Path

from hwnas.files import refuse_existing, write_atomic
from hwnas.flow.open import open_space
from hwnas.flow.profile import plan
from hwnas.profiling.kit import Kit, build_kit
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
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
        conditions: how to run networks; ONNX Runtime's own if not given.
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
    asked = conditions or Conditions(runtime="onnxruntime")
    found, runtime = open_space(space), get_runtime(asked.runtime, asked.options)
    in_force = asked.model_copy(update={"options": dict(runtime.options)})
    planned = plan(found, in_force, networks=networks, held_out=held_out, effort=effort, seed=seed)
    built = build_kit(planned, found, runtime, progress=progress)
    write_atomic(path, built.data)
    return built
