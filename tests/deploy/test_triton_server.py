"""A real Triton server serves a repository: configuration, warm-up, batching and labels are its own.

The server comes without the ONNX Runtime and OpenVINO backends. Triton lets Python stand in for a backend, so both are
the runtimes that are installed here, called by a few lines of Python; they load what was written for the backends.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.parity import random_textures
from hwnas.artifacts.triton import write_repository
from hwnas.nn.network import Network
from tests.artifacts.test_predict import odd_photos
from tests.deploy.artifacts import retargeted
from tests.deploy.conftest import LABELS

pytestmark = pytest.mark.xdist_group("triton-server")

_BACKEND = """
import sys
sys.path += {path}
from pathlib import Path
import numpy
import triton_python_backend_utils as triton

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return config

    def initialize(self, arguments):
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        if (folder / "model.onnx").exists():
            import onnxruntime
            session = onnxruntime.InferenceSession(folder / "model.onnx")
            self.run = lambda images: session.run(["logits"], {{"images": images}})[0]
        else:
            import openvino
            model = openvino.compile_model(folder / "model.xml", "CPU", {{"PERFORMANCE_HINT": "LATENCY"}})
            self.run = lambda images: model({{"images": images}})["logits"]

    def execute(self, requests):
        # by DLPack, which takes no read-only array: the server was built for NumPy 1 and misreads those of NumPy 2
        images = [numpy.from_dlpack(triton.get_input_tensor_by_name(request, "images")) for request in requests]
        logits = [triton.Tensor.from_dlpack("logits", self.run(some).copy()) for some in images]
        return [triton.InferenceResponse([one]) for one in logits]
"""


class RefusedError(Exception):
    """What the server answers instead of a result."""


class Server:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v2"

    def get(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(f"{self._url}/{path}", data, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RefusedError(error.read().decode()) from None
        return json.loads(text) if text else None

    def infer(self, model: str, images: np.ndarray, **parameters: int) -> Any:
        entry = {"name": "images", "datatype": "FP32", "shape": images.shape, "data": images.flatten().tolist()}
        body = {"inputs": [entry], "outputs": [{"name": "logits", "parameters": parameters}]}
        (result,) = self.get(f"models/{model}/infer", body)["outputs"]
        return np.array(result["data"]).reshape(result["shape"])


@pytest.fixture(scope="module")
def served(exported: tuple[Network, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = Path(os.environ.get("TRITON_HOME", ".")) / "tritonserver"
    stub = home / "python_backend_stubs" / f"3.{sys.version_info.minor}" / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip("no Triton server: .ci/deploy-tools triton FOLDER fetches one, TRITON_HOME says where it is")
    folder = tmp_path_factory.mktemp("triton")
    write_repository(exported[1], folder / "repository", name="small", queue_delay_us=10_000_000)
    fixed = retargeted(exported[1], folder / "fixed", {"three": {"batch": {"min": 3, "opt": 3, "max": 3}}})
    write_repository(fixed, folder / "other")
    shutil.copytree(home / "backends" / "python", folder / "backends" / "python")
    shutil.copy(stub, folder / "backends" / "python")
    for name in ("onnxruntime", "openvino"):
        (folder / "backends" / name).mkdir()
        (folder / "backends" / name / "model.py").write_text(_BACKEND.format(path=sys.path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    libraries = [home.parent / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [
                home / "bin" / "tritonserver", f"--model-repository={folder / 'repository'}",
                f"--model-repository={folder / 'other'}", f"--backend-directory={folder / 'backends'}",
                "--http-address=127.0.0.1", f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false",
            ],
            env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield _when_ready(Server(port), server, folder / "log")
        finally:
            server.terminate()
            server.wait(timeout=60)


def _when_ready(served: Server, server: subprocess.Popen[bytes], log: Path) -> Server:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            served.get("health/ready")
            return served
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"Triton serves no model: {log.read_text()}")


def expected(exported: tuple[Network, Artifact], images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(exported[0](torch.from_numpy(images)).numpy())


@pytest.mark.parametrize(("model", "size"), [("onnx-fp32", 64), ("openvino-up-to-8", 8)])
def test_it_gives_pytorchs_answers(served: Server, exported: tuple[Network, Artifact], model: str, size: int) -> None:
    images = random_textures(size, (3, 16, 16), seed=5)  # a full batch, so that nothing waits for others
    logits = served.infer(f"small_{model}", images)
    np.testing.assert_allclose(logits, expected(exported, images), rtol=1e-4, atol=1e-5)
    best = served.infer(f"small_{model}", images, classification=1)
    names = [LABELS[i] for i in logits.argmax(axis=1)]
    assert [str(row[0]).split(":")[2] for row in best] == names
    with pytest.raises(RefusedError, match=f"batch-size must be <= {size}"):
        served.infer(f"small_{model}", random_textures(size + 1, (3, 16, 16)))


def test_photographs_are_prepared_by_the_artifacts_own_script(
    served: Server, exported: tuple[Network, Artifact], tmp_path: Path
) -> None:
    """As deploy/README.md has it: `inputs` of predict.py, and the classes are those that predict.py prints."""
    script = exported[1].path / "predict.py"
    inputs = runpy.run_path(str(script))["inputs"]
    photos = odd_photos(tmp_path / "photos")
    images = np.concatenate([inputs(str(photo), "onnx-fp32") for photo in photos])
    best = served.infer("small_onnx-fp32", images, classification=1)
    told = subprocess.run([sys.executable, script, *photos], check=True, capture_output=True, text=True).stdout
    assert [str(row[0]).split(":")[2] for row in best] == [line.split("  ")[1] for line in told.splitlines()[1::6]]


def test_a_fixed_batch(served: Server, exported: tuple[Network, Artifact]) -> None:
    images = random_textures(3, (3, 16, 16), seed=6)
    logits = served.infer("fixed_three", images)
    np.testing.assert_allclose(logits, expected(exported, images), rtol=1e-4, atol=1e-5)
    with pytest.raises(RefusedError, match="shape"):
        served.infer("fixed_three", images[:2])


def test_requests_wait_for_one_another_up_to_the_preferred_batch(
    served: Server, exported: tuple[Network, Artifact]
) -> None:
    """Four clients with an image each: one batch of four, long before the queue's delay is over."""
    model = "small_openvino-up-to-8"

    def counts() -> tuple[int, int]:
        (stats,) = served.get(f"models/{model}/stats")["model_stats"]
        return stats["inference_count"], stats["execution_count"]

    images = random_textures(4, (3, 16, 16), seed=7)
    before = counts()
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda i: served.infer(model, images[i : i + 1]), range(4)))
    np.testing.assert_allclose(np.concatenate(answers), expected(exported, images), rtol=1e-4, atol=1e-5)
    after = counts()
    assert (after[0] - before[0], after[1] - before[1]) == (4, 1)
