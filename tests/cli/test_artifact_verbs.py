"""``hwnas artifact``, and the chain of hashes from a shipped file back to the table that was measured."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.cli.conftest import Flow
from tests.cli.run import Shell


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_chain_of_hashes(hwnas: Shell, flow: Flow) -> None:
    """Each is that of a file which the flow left: what sha256sum prints."""
    manifest = json.loads((flow.artifact / "manifest.json").read_text())
    made_from = manifest["made_from"]
    assert made_from == {
        "supernet": "supernet",
        "supernet_sha256": sha256(flow.supernet / "supernet.safetensors"),
        "data_sha256": json.loads((flow.supernet / "supernet.json").read_text())["data"]["sha256"],
        "search": "search",
        "search_sha256": sha256(flow.search / "search.json"),
        "table": "table.yaml",
        "table_sha256": sha256(flow.table),
        "weights_sha256": sha256(flow.model / "weights.safetensors"),
    }
    found = json.loads((flow.search / "search.json").read_text())
    searched = manifest["searched"]
    (device,) = searched.pop("devices")
    assert searched == {"strategy": "nsga2", "evaluations": 12, "seed": 0}
    assert device["predicted_ms"] == found["values"][found["winner_index"]][1]
    assert "onnxruntime" in device["device"]
    card = (flow.artifact / "README.md").read_text("utf-8")
    assert all(value in card for name, value in made_from.items() if name.endswith("sha256"))
    assert str(flow.root) not in card + json.dumps(manifest)


def test_the_interval_is_that_of_predict(hwnas: Shell, flow: Flow) -> None:
    (device,) = json.loads((flow.model / "model.json").read_text())["info"]["searched"]["devices"]
    assert (device["low_ms"] is None) == (device["high_ms"] is None)
    if device["low_ms"] is not None:
        assert device["low_ms"] <= device["predicted_ms"] <= device["high_ms"]


def test_the_chain_goes_on_when_it_is_trained(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    config = tmp_path / "tune.yaml"
    config.write_text(
        f"data: digits\nlearner: {{kind: network, network: {flow.model}}}\nepochs: 1\nwarmup_epochs: 0.5\nbatch: 256\n"
    )
    assert hwnas("train", config, "-o", tmp_path / "run").status == 0
    before = json.loads((flow.model / "model.json").read_text())
    after = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert after["info"]["searched"] == before["info"]["searched"]
    assert after["info"]["made_from"] == {
        **before["info"]["made_from"],
        "data_sha256": after["info"]["made_from"]["data_sha256"],
        "initial_weights_sha256": before["weights_sha256"],
    }


def test_another_supernets_search_is_not_claimed(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    search = Path(shutil.copytree(flow.search, tmp_path / "search"))
    found = json.loads((search / "search.json").read_text())
    (search / "search.json").write_text(json.dumps({**found, "supernet": {**found["supernet"], "sha256": "0" * 64}}))
    words = ["derive", search / "winner.json", "--supernet", flow.supernet, "-o"]
    assert hwnas(*words, tmp_path / "model").status == 0
    described = json.loads((tmp_path / "model" / "model.json").read_text())["info"]
    assert "search" not in described["made_from"]
    assert described["searched"] is None
    (search / "search.json").write_text("{}")
    assert "search.json" in hwnas.refused(*words, tmp_path / "again")


@pytest.mark.usefixtures("quick")
def test_check_zip_and_unzip(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    found = hwnas("artifact", "check", flow.artifact, "--json")
    assert found.status == 0, found
    assert found.json["passed"] is True
    assert "ok     onnx-fp32: parity" in hwnas("artifact", "check", flow.artifact).out
    assert hwnas("artifact", "zip", flow.artifact, "-o", tmp_path / "a.zip").status == 0
    assert hwnas("artifact", "unzip", tmp_path / "a.zip", "-o", tmp_path / "out").status == 0
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert hwnas("artifact", "check", tmp_path / "elsewhere").status == 0
    assert hwnas("artifact", "check", tmp_path / "a.zip").status == 0
    assert len(hwnas("bench", tmp_path / "elsewhere", "--json").json["results"]) == 1


def test_a_missed_check_exits_with_1(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(flow.artifact, tmp_path / "artifact"))
    (artifact / "predict.py").write_text("import os")
    found = hwnas("artifact", "check", artifact)
    assert found.status == 1
    assert "MISSED predict.py: " in found.out
    assert len([line for line in found.err.splitlines() if line.startswith("hwnas: ")]) == 1
    assert hwnas("artifact", "check", artifact, "--json").json["passed"] is False
    labels = json.dumps(["a", "b"]).encode()
    shutil.rmtree(artifact)
    shutil.copytree(flow.artifact, artifact)
    (artifact / "labels.json").write_bytes(labels)
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["sha256"]["labels.json"] = hashlib.sha256(labels).hexdigest()
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    assert hwnas("artifact", "zip", artifact, "-o", tmp_path / "a.zip").status == 0
    found = hwnas("artifact", "unzip", tmp_path / "a.zip", "-o", tmp_path / "out")
    assert found.status == 1
    assert "labels" in found.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["artifact", "check", "nothing"], "can't read"),
        (["artifact", "zip", "nothing", "-o", "a.zip"], "there is no folder nothing"),
        (["artifact", "unzip", "nothing", "-o", "out"], "can't read"),
        (["artifact", "check"], "Missing argument"),
        (["export", "scarlet-a", "--target", "mine.yaml", "-o", "x"], "keep_flot"),
        (["export", "scarlet-a", "--target", "manifest.yaml", "-o", "x"], "manifest.json"),
        (["export", "scarlet-a", "--target", "my own.yaml", "-o", "x"], "my own"),
    ],
)
def test_refused(hwnas: Shell, words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = "schema: hwnas-target/1\nformat: onnx\nprecision: fp32\nruntime: onnxruntime\n"
    plain += "tolerance: {relative: 0.1, top1: 0.9}\n"
    (tmp_path / "mine.yaml").write_text(f"{plain}quantization: {{keep_flot: [se]}}\n")
    (tmp_path / "manifest.yaml").write_text(plain.replace("onnx\n", "tensorrt-rtx\n", 1))
    (tmp_path / "my own.yaml").write_text(plain)
    before = sorted(tmp_path.iterdir())
    assert part in hwnas.refused(*words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["export", "zip", "unzip"])
def test_a_disk_that_fills_up(hwnas: Shell, flow: Flow, tmp_path: Path, verb: str) -> None:
    """No file may grow beyond 20 kB: one line, exit 2, nothing half-written."""
    hwnas("artifact", "zip", flow.artifact, "-o", tmp_path / "whole.zip")
    words = {
        "export": ["export", flow.model, "--target", "onnx-fp32", "-o", tmp_path / "out"],
        "zip": ["artifact", "zip", flow.artifact, "-o", tmp_path / "out"],
        "unzip": ["artifact", "unzip", tmp_path / "whole.zip", "-o", tmp_path / "out"],
    }[verb]
    result = subprocess.run(
        [sys.executable, "-m", "hwnas", *map(str, words)], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("hwnas: ")]
    assert "can't write" in line
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["whole.zip"]


def test_signed_and_checked_by_its_key(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    private, public, signed = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "signed.zip"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    hwnas("artifact", "zip", flow.artifact, "-o", signed)
    unsigned = hwnas("artifact", "unzip", signed, "--key", public, "-o", tmp_path / "out")
    assert (unsigned.status, "it isn't signed" in unsigned.err, (tmp_path / "out").exists()) == (1, True, False)
    told = hwnas("artifact", "sign", signed, "--key", private, "--json").json
    assert told == {"artifact": str(signed), "public_key": key.public_key().public_bytes_raw().hex()}
    assert hwnas("artifact", "check", signed, "--key", public, "--seconds", 200).status == 0
    assert hwnas("artifact", "unzip", signed, "--key", public, "-o", tmp_path / "out").status == 0
    (tmp_path / "out" / "predict.py").write_text("print('hello')\n")
    altered = hwnas("artifact", "check", tmp_path / "out", "--key", public)
    assert (altered.status, "MISSED predict.py" in altered.out) == (1, True)
    assert "Ed25519 public key" in hwnas.refused("artifact", "check", signed, "--key", private)
    assert "Ed25519 private key" in hwnas.refused("artifact", "sign", signed, "--key", public)


def test_one_target_of_two_that_fails(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    text = "schema: hwnas-target/1\nformat: onnx\nprecision: fp32\nruntime: onnxruntime\n"
    (tmp_path / "strict.yaml").write_text(f"{text}tolerance: {{relative: 1.0e-12, top1: 1.0}}\n")
    words = [
        "export",
        flow.model,
        "--target",
        tmp_path / "strict.yaml",
        "--target",
        "onnx-fp32",
        "--data",
        "none",
        "-o",
    ]
    told = hwnas(*words, tmp_path / "out", "--json")
    assert told.status == 1
    assert (told.json["artifact"], told.json["files"]) == (str(tmp_path / "out"), ["onnx-fp32.onnx"])
    assert told.json["failed"]["strict"].startswith("differs from PyTorch by ")
    assert told.json["evidence"] == str(tmp_path / "out.failed")
    (line,) = [line for line in told.err.splitlines() if line.startswith("hwnas: ")]
    assert line.startswith(f"hwnas: 1 of 2 targets failed and aren't in {tmp_path / 'out'}: strict: differs")
    assert line.endswith(f"the evidence is in {tmp_path / 'out.failed'}")
    assert hwnas("artifact", "check", tmp_path / "out").status == 0
    nothing = hwnas(*words, tmp_path / "none", "--all-or-nothing")
    assert (nothing.status, nothing.out) == (1, "")
    assert "nothing was shipped" in nothing.err
    assert not (tmp_path / "none").exists()
