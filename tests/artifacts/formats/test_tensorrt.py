"""Engines and their sidecars: what is checked before TensorRT sees an engine, in which order, and in which words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hwnas.artifacts.export import export_network
from hwnas.artifacts.formats import engine_sidecar
from hwnas.artifacts.formats.base import Files, get_format
from hwnas.artifacts.formats.engine_sidecar import read_sidecar, sha256, this_platform
from hwnas.artifacts.formats.tensorrt import TensorRtFormat
from hwnas.artifacts.make import make
from hwnas.artifacts.parity import random_textures
from hwnas.artifacts.source import NetworkSource
from hwnas.errors import HwnasError, ModelError, ParityError, RuntimeMissingError
from hwnas.nn.network import Network
from hwnas.onnx.precision.half import to_half
from hwnas.records.target import Target, get_target
from hwnas.runtimes.cuda import gpu_here
from hwnas.space.chain import ChainSpace
from tests.artifacts.evidence import of_images
from tests.onnx_models import onnx_of

trt = pytest.importorskip("tensorrt_rtx", reason="the extra tensorrt-rtx isn't installed")
Gpu = Callable[[str | None], None]
FORMAT = TensorRtFormat("tensorrt-rtx")
BUILT_FOR = "NVIDIA RTX A2000, 8.6"


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * small_space.num_layers).eval()


@pytest.fixture
def graph(network: Network) -> bytes:
    return onnx_of(network, (3, 16, 16))


@pytest.fixture
def target() -> Target:
    return get_target("tensorrt-rtx-fp16")


@pytest.fixture
def files(graph: bytes, target: Target, nvidia_smi: Gpu) -> Files:
    nvidia_smi(None)
    return FORMAT.write(to_half(graph), target)


def changed(files: Files, **fields: object) -> Files:
    return {**files, ".json": json.dumps({**json.loads(files[".json"]), **fields}).encode()}


def refusal(files: Files, target: Target, kind: type[HwnasError], trusted: bool = False) -> str:
    with pytest.raises(kind) as caught:
        FORMAT.open(files, target, threads=1, trusted=trusted)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_sidecar_says_what_the_engine_is(files: Files, graph: bytes, target: Target) -> None:
    assert tuple(files) == (".engine", ".json")
    told = json.loads(files[".json"])
    assert told["schema"] == "hwnas-engine/1"
    assert told["engine_sha256"] == sha256(files[".engine"])
    assert told["graph_sha256"] == sha256(to_half(graph))
    assert (told["runtime"], told["version"], told["capability"]) == ("tensorrt-rtx", trt.__version__, "86")
    assert told["platform"] == this_platform()
    assert told["options"] == {"capability": "86", "level": "3", "workspace_mib": "all", "cache": "memory"}
    assert told["profile"] == {"images": {"min": [1, 3, 16, 16], "opt": [1, 3, 16, 16], "max": [64, 3, 16, 16]}}
    names = {node.name for node in onnx.load_from_string(graph).graph.node if node.op_type == "Conv"}
    assert names <= {layer["name"] for layer in told["layers"] if layer["precision"] == "fp16"}


def test_a_targets_batch_is_the_engines_profile(graph: bytes, target: Target) -> None:
    fixed = target.model_copy(update={"batch": target.batch.model_copy(update={"min": 2, "opt": 4, "max": 6})})
    told = read_sidecar(FORMAT.write(to_half(graph), fixed)[".json"], "sidecar")
    shapes = told.profile["images"]
    assert (shapes.min, shapes.opt, shapes.max) == ((2, 3, 16, 16), (4, 3, 16, 16), (6, 3, 16, 16))


def test_faults_are_told_in_the_order_of_the_checks(
    files: Files, target: Target, nvidia_smi: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All faults at once; each is told, and put right, before the next. What is left in the end is this machine's."""
    broken = {".engine": files[".engine"] + b"\0"}
    assert "x.engine has no sidecar x.json" in refusal(broken, target.model_copy(update={"name": "x"}), ModelError)
    broken = {**changed(files, version="9.9.9", platform="solaris-sparc"), ".engine": files[".engine"] + b"\0"}
    told = refusal(broken, target, ModelError)
    assert f"SHA-256 {sha256(broken['.engine'])[:12]}…, expected {sha256(files['.engine'])[:12]}…" in told
    broken[".engine"] = files[".engine"]
    told = refusal(broken, target, RuntimeMissingError)
    assert f"built by tensorrt-rtx 9.9.9 and here is tensorrt-rtx {trt.__version__}" in told
    assert "pip install 'tensorrt-rtx==9.9.9'" in told
    broken = changed(broken, version=trt.__version__)
    told = refusal(broken, target, RuntimeMissingError)
    assert f"built on solaris-sparc and this is {this_platform()}" in told
    broken = changed(broken, platform=this_platform())
    assert "runs on an NVIDIA GPU and there is none here" in refusal(broken, target, RuntimeMissingError)
    nvidia_smi("NVIDIA L4, 8.9")
    told = refusal(broken, target, RuntimeMissingError)
    assert "built for compute capability 86 and NVIDIA L4 has 89: run it on such a GPU, or export it again" in told
    nvidia_smi(BUILT_FOR)
    assert_reaches_tensorrt(broken, target, monkeypatch)


class ReachedTensorRtError(Exception):
    pass


def assert_reaches_tensorrt(
    files: Files, target: Target, monkeypatch: pytest.MonkeyPatch, trusted: bool = False
) -> None:
    def reached(*_: object) -> None:
        raise ReachedTensorRtError

    with monkeypatch.context() as patch:
        patch.setattr("hwnas.runtimes.tensorrt.TensorRtSession", reached)
        with pytest.raises(ReachedTensorRtError):
            FORMAT.open(files, target, threads=1, trusted=trusted)


def test_an_engine_of_another_runtime_is_told(files: Files, target: Target, nvidia_smi: Gpu) -> None:
    nvidia_smi(BUILT_FOR)
    other = changed(files, runtime="tensorrt", version="10.9.0.34")
    told = refusal(other, target, RuntimeMissingError)
    assert "built by tensorrt 10.9.0.34 and here is tensorrt-rtx" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "isn't JSON"),
        (b"\xff\xfe", "isn't JSON"),
        (b"[" * 100_000, "isn't JSON"),
        (b"[]", "isn't a file of hwnas with schema"),
        (b'{"schema": "hwnas-engine/1"}', "Field required"),
    ],
)
def test_a_malformed_sidecar_vouches_for_nothing(
    files: Files, target: Target, content: bytes, told: str, nvidia_smi: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(BUILT_FOR)
    malformed = {**files, ".json": content}
    message = refusal(malformed, target, ModelError)
    assert "tensorrt-rtx-fp16.json" in message
    assert told in message
    assert_reaches_tensorrt(malformed, target, monkeypatch, trusted=True)


def test_trust_stands_in_for_a_sidecar_but_makes_no_other_machine(
    files: Files, target: Target, nvidia_smi: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(BUILT_FOR)
    alone = {".engine": files[".engine"]}
    altered = {**files, ".engine": files[".engine"] + b"\0"}
    for doubtful in (alone, altered):
        refusal(doubtful, target, ModelError)
        assert_reaches_tensorrt(doubtful, target, monkeypatch, trusted=True)
    refusal(changed(files, version="9.9.9"), target, RuntimeMissingError, trusted=True)
    nvidia_smi("NVIDIA L4, 8.9")
    refusal(files, target, RuntimeMissingError, trusted=True)
    nvidia_smi(None)
    refusal(alone, target, RuntimeMissingError, trusted=True)


def test_300_mutated_sidecars_give_a_typed_error_or_load(files: Files) -> None:
    rng = random.Random(0)
    whole = files[".json"]
    loaded = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(content))
            edit = rng.choice(["flip", "drop", "repeat"])
            if edit == "flip":
                content[at] = rng.randrange(256)
            elif edit == "drop":
                del content[at : at + rng.randint(1, 200)]
            else:
                content[at:at] = content[at : at + rng.randint(1, 200)]
        with suppress(ModelError):
            read_sidecar(bytes(content), "sidecar")
            loaded += 1
    assert loaded < 150


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", "linux-x86_64"),
        ("win32", "AMD64", "windows-x86_64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("darwin", "arm64", "darwin-aarch64"),
    ],
)
def test_platforms_have_one_name_each(
    system: str, machine: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_sidecar.sys, "platform", system)
    monkeypatch.setattr(engine_sidecar.platform, "machine", lambda: machine)
    assert this_platform() == expected


@pytest.mark.parametrize("name", ["tensorrt-rtx-fp16", "tensorrt-rtx-int8"])
def test_the_precision_is_read_back(network: Network, graph: bytes, name: str, nvidia_smi: Gpu) -> None:
    nvidia_smi(None)
    target = get_target(name)
    made = make(NetworkSource(network), target, of_images(random_textures(4, (3, 16, 16))))
    weighted = [node for node in onnx.load_from_string(graph).graph.node if node.op_type in ("Conv", "Gemm")]
    assert sum(made.precisions.values()) == len(weighted)
    assert target.precision in made.precisions
    assert made.lacks == "runtime tensorrt-rtx runs on an NVIDIA GPU and there is none here"


def test_an_engine_for_another_gpu_is_made_and_says_what_it_lacks_here(
    network: Network, target: Target, nvidia_smi: Gpu
) -> None:
    nvidia_smi("NVIDIA L4, 8.9")
    made = make(NetworkSource(network), target, None)
    assert made.lacks is not None
    assert "built for compute capability 86 and NVIDIA L4 has 89" in made.lacks
    assert set(made.precisions) == {"fp16"}


def test_an_fp16_request_that_builds_fp32_is_caught(
    network: Network, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvidia_smi: Gpu
) -> None:
    nvidia_smi(None)
    write = TensorRtFormat.write
    monkeypatch.setattr(TensorRtFormat, "write", lambda self, _, target, progress=None: write(self, graph, target))
    with pytest.raises(ParityError, match="in fp32, where fp16 was asked"):
        export_network(network, ["tensorrt-rtx-fp16"], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()
    evidence = tmp_path / "artifact.failed"
    assert read_sidecar((evidence / "tensorrt-rtx-fp16.json").read_bytes(), "kept").precisions().keys() == {"fp32"}


def test_a_precision_that_lies_in_no_graph_is_refused(network: Network, target: Target) -> None:
    with pytest.raises(ModelError, match="tensorrt-rtx runs fp32, fp16, int8, not 'bf16'"):
        make(NetworkSource(network), target.model_copy(update={"precision": "bf16"}), None)


needs_gpu = pytest.mark.skipif(gpu_here() is None, reason="needs an NVIDIA GPU")


@needs_gpu
@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_runs_where_a_gpu_is(network: Network, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime.replace("-", "_"))
    here = tmp_path / "here.yaml"
    here.write_text(
        f"{{schema: hwnas-target/1, format: {runtime}, runtime: {runtime}, precision: fp16, "
        "batch: {min: 1, opt: 8, max: 8}, tolerance: {relative: 2.0e-2, top1: 0.9}}"
    )
    artifact = export_network(network, [str(here)], tmp_path / "artifact")
    (file,) = artifact.manifest.files
    assert file.lacks is None
    assert file.latency is not None
    assert "fp16" in file.precisions
    session = artifact.open(file)
    images = random_textures(5, (3, 16, 16), seed=3)
    expected = network(torch.from_numpy(images)).detach().numpy()
    assert np.abs(session.run([images])[0] - expected).max() < 2e-2 * np.abs(expected).max()
    with pytest.raises(ModelError, match="another batch needs an engine whose target has it"):
        session.run([images[[0] * 9]])


@needs_gpu
def test_what_tensorrt_itself_refuses_is_told_in_words(graph: bytes, target: Target) -> None:
    here = target.model_copy(update={"options": {"capability": "here"}})
    files = FORMAT.write(to_half(graph), here)
    cut = files[".engine"][: len(files[".engine"]) // 2]
    told = refusal({**changed(files, engine_sha256=sha256(cut)), ".engine": cut}, here, ModelError)
    assert "can't load the engine on this GPU: " in told


@pytest.mark.parametrize("name", ["tensorrt-fp16", "tensorrt-int8"])
def test_where_tensorrt_isnt_installed_nothing_is_written(network: Network, tmp_path: Path, name: str) -> None:
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeMissingError, match=r"pip install 'hwnas\[tensorrt\]'") as caught:
            export_network(network, [name], tmp_path / "artifact")
        assert "\n" not in str(caught.value)
        assert list(tmp_path.glob("artifact*")) == []
    else:
        assert get_format("tensorrt").runtime(get_target(name)).version()
