"""A plan and its models -> one file that measures on a device without hwnas: a profiling kit.

The kit is a zip file that Python runs (PEP 441). In it: ``__main__.py``; the very files of hwnas that measure here;
``kit.json``, the plan with the hash of everything else; ``kit.sha256``, the hash of that; and each distinct model once.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import hwnas
from hwnas.errors import ConfigError
from hwnas.onnx.bare import with_repeating_weights
from hwnas.profiling.kernels import KernelPlan, Prepared, readers
from hwnas.profiling.kit_file import DESCRIPTION, SEAL, canonical
from hwnas.profiling.plan import Plan, models
from hwnas.profiling.result import Failure
from hwnas.profiling.returned import KernelKit, KitModel, KitRuntime, SpaceKit
from hwnas.profiling.run import Model, device_facts
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.chain import ChainSpace

_Kept = TypeVar("_Kept")

SOURCES = (
    "hwnas/arrays.py",
    "hwnas/errors.py",
    "hwnas/onnx/__init__.py",
    "hwnas/onnx/stand_in.py",
    "hwnas/onnx/wire.py",
    "hwnas/own_process.py",
    "hwnas/profiling/__init__.py",
    "hwnas/profiling/isolated.py",
    "hwnas/profiling/journal.py",
    "hwnas/profiling/kit_file.py",
    "hwnas/profiling/kit_main.py",
    "hwnas/profiling/machine.py",
    "hwnas/profiling/run.py",
    "hwnas/profiling/timer.py",
    "hwnas/runtimes/__init__.py",
    "hwnas/runtimes/base.py",
)
"""What goes into every kit beside the runtime: Python ≥ 3.8 and numpy only."""

RUNTIMES = ("onnxruntime", "openvino")
"""Those whose file needs nothing of hwnas but :data:`SOURCES`; others run where hwnas is installed."""

_MAIN = """\
import sys

if sys.version_info < (3, 8):
    sys.stderr.write("hwnas kit: needs Python 3.8 or later, this is %s\\n" % sys.version.split()[0])
    sys.exit(2)

from hwnas.profiling.kit_main import main

sys.exit(main(sys.argv[0]))
"""
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold: equal input gives equal bytes


@dataclass(frozen=True)
class Kit:
    """A built kit.

    Attributes:
        sha256: of its description: what its results name it by.
        failed: of those, how many the runtime can't have.
    """

    data: bytes = field(repr=False)
    sha256: str
    entries: int
    failed: int


def build_kit(plan: Plan, space: ChainSpace, runtime: Runtime, *, progress: Progress | None = None) -> Kit:
    """Write the kit of a plan of ``space`` for ``runtime``.

    Raises:
        ConfigError: the runtime can't go into a kit.
        ModelError: it can have none of the models.
    """
    return _built(plan, runtime, lambda keep: models(plan, space, runtime, keep, progress))


def build_kernel_kit(
    plan: KernelPlan, whole: Sequence[Prepared], runtime: Runtime, *, progress: Progress | None = None
) -> Kit:
    """Write the kit of a plan of some models' kernels, and of the models themselves, for ``runtime``.

    The models' weights are replaced by such as pack into little, unless the runtime would make other kernels of them.

    Raises:
        ConfigError: the runtime can't go into a kit.
    """
    check_runtime(runtime)
    every = [each._replace(data=_packable(each, runtime, plan.conditions.precision)) for each in whole]

    def kept(keep: Callable[[Model | str], _Kept]) -> list[_Kept]:
        found: list[_Kept] = []
        for read in readers(plan, every, runtime):
            found.append(keep(read()))
            if progress:
                progress("writing models", len(found), len(plan.entries), "")
        return found

    return _built(plan, runtime, kept)


def _packable(model: Prepared, runtime: Runtime, precision: str) -> bytes:
    packable = with_repeating_weights(model.data)
    made = (Counter(each.kernel for each in part) for part in (model.launches, runtime.kernels(packable, precision)))
    return packable if next(made) == next(made) else model.data  # in whatever order equal ones may run


def _built(
    plan: Plan | KernelPlan,
    runtime: Runtime,
    each: Callable[[Callable[[Model | str], KitModel | Failure]], list[KitModel | Failure]],
) -> Kit:
    """``each`` gives of every entry's model, or of why there is none, what it is called with makes of that."""
    check_runtime(runtime)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        sources = _sources(runtime)
        for name, content in sources.items():
            _add(archive, name, content)
        here = device_facts(runtime)
        home = KitRuntime(
            module=type(runtime).__module__, class_=type(runtime).__name__, version=here["runtime_version"],
            hardware=here["hardware"],
        )  # fmt: skip
        every = tuple(each(partial(_described, archive, {})))
        hashes = {name: _sha256(content) for name, content in sources.items()}
        description = (
            SpaceKit(plan=plan, runtime=home, models=every, sources=hashes)
            if isinstance(plan, Plan)
            else KernelKit(plan=plan, runtime=home, models=every, sources=hashes)
        )
        text = canonical(description.plain())
        _add(archive, DESCRIPTION, text)
        _add(archive, SEAL, _sha256(text).encode())
    failed = sum(isinstance(model, Failure) for model in description.models)
    return Kit(buffer.getvalue(), _sha256(text), len(description.models), failed)


def check_runtime(runtime: Runtime) -> None:
    """Raises:
    ConfigError: the runtime can't go into a kit.
    """
    if runtime.name not in RUNTIMES:
        raise ConfigError(f"no kit for runtime {runtime.name}, only for {' and '.join(RUNTIMES)}; profile where it is")


def _sources(runtime: Runtime) -> dict[str, bytes]:
    root = Path(hwnas.__file__).parents[1]
    module = type(runtime).__module__
    own = inspect.getsourcefile(type(runtime))
    assert own is not None
    found = {name: (root / name).read_bytes() for name in SOURCES}
    return {"__main__.py": _MAIN.encode(), "hwnas/__init__.py": b"", **found,
            f"{module.replace('.', '/')}.py": Path(own).read_bytes()}  # fmt: skip


def _described(archive: zipfile.ZipFile, names: dict[str, str], model: Model | str) -> KitModel | Failure:
    """What the description says of a model, which goes into the kit; equal models are one file."""
    if isinstance(model, str):
        return Failure(failed=model[:300])
    sha256 = _sha256(model.data)
    if sha256 not in names:
        names[sha256] = f"models/{len(names):04}.bin"
        _add(archive, names[sha256], model.data)
    return KitModel(
        file=names[sha256],
        sha256=sha256,
        bytes=len(model.data),
        inputs=model.inputs,
        as_is=model.as_is,
        copies=model.copies,
    )


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    file = zipfile.ZipInfo(name, _DATE)
    file.compress_type = zipfile.ZIP_DEFLATED
    file.create_system = 3  # Unix, wherever it is built
    file.external_attr = 0o100644 << 16
    archive.writestr(file, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
