"""Signatures prove that nothing was altered since the owner of a key signed it; OpenSSL has the last word."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hwnas.artifacts.archive import unzipped, zip_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.signature import sign_artifact
from hwnas.errors import ConfigError, ModelError, OutputError, RuntimeMissingError
from hwnas.records.artifact import Finding
from tests.artifacts.conftest import Copy

pytestmark = pytest.mark.usefixtures("in_this_process")


def pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, how: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption())


def public_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path


def keys_in(folder: Path, name: str) -> Keys:
    key = ed25519.Ed25519PrivateKey.generate()
    found = Keys(folder / f"{name}.pem", folder / f"{name}-public.pem")
    found.private.write_bytes(pem(key))
    found.public.write_bytes(public_pem(key))
    return found


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return keys_in(tmp_path, "ours")


def signature(path: Path, public: Path | None = None) -> Finding:
    (found,) = [each for each in check_artifact(path, key=public).checks if each.about == "signature"]
    return found


def test_what_is_signed_and_unaltered_passes(copy: Copy, keys: Keys) -> None:
    public = sign_artifact(copy.path, keys.private)
    found = check_artifact(copy.path, key=keys.public)
    assert found.passed
    assert f"is what key {public[:16]}… signed" in signature(copy.path, keys.public).text
    signed = (copy.path / "signature.json").read_bytes()
    assert sign_artifact(copy.path, keys.private) == public
    assert (copy.path / "signature.json").read_bytes() == signed


def test_missing_wrong_and_foreign_are_told_apart(copy: Copy, keys: Keys, tmp_path: Path) -> None:
    assert check_artifact(copy.path).passed  # nobody asked
    assert signature(copy.path, keys.public).text == "it isn't signed"
    sign_artifact(copy.path, keys.private)
    others = keys_in(tmp_path, "theirs")
    foreign = check_artifact(copy.path, key=others.public)
    assert not foreign.passed
    assert "signed with another key" in signature(copy.path, others.public).text
    assert {each.text for each in foreign.checks if each.about == "onnx-fp32"} == {"not run: see signature"}
    unasked = signature(copy.path)
    assert unasked.passed is None
    assert "only --key tells" in unasked.text
    copy.edit(lambda manifest: manifest.update(accuracy={"test": 0.99}))
    copy.rewrite()
    for key in (None, keys.public, others.public):
        wrong = signature(copy.path, key)
        assert wrong.passed is False
        assert "altered since" in wrong.text


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_no_signature(copy: Copy, keys: Keys, kind: str) -> None:
    path = copy.path / "signature.json"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "dangling link": lambda: path.symlink_to("no")}[kind]()
    for key in (None, keys.public):
        found = signature(copy.path, key)
        assert found.passed is False
        assert kind.split()[-1] in found.text


@pytest.mark.parametrize("change", ["signature", "key", "text", "schema", "link"])
def test_a_signature_that_was_altered(copy: Copy, keys: Keys, change: str) -> None:
    sign_artifact(copy.path, keys.private)
    path = copy.path / "signature.json"
    record = json.loads(path.read_text())
    if change == "text":
        path.write_text("nonsense")
    elif change == "link":
        path.rename(copy.path.parent / "signature.json")
        path.symlink_to(copy.path.parent / "signature.json")
    else:
        name = {"signature": "signature", "key": "public_key", "schema": "schema"}[change]
        record[name] = "0" * len(record[name])
        path.write_text(json.dumps(record))
    for key in (None, keys.public):
        assert signature(copy.path, key).passed is False


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_openssl_makes_the_keys_and_agrees(copy: Copy, tmp_path: Path) -> None:
    def openssl(*words: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["openssl", *map(str, words)], capture_output=True)

    private, public, raw = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "raw"
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", private).returncode == 0
    assert openssl("pkey", "-in", private, "-pubout", "-out", public).returncode == 0
    sign_artifact(copy.path, private)
    assert signature(copy.path, public).passed is True
    raw.write_bytes(bytes.fromhex(json.loads((copy.path / "signature.json").read_text())["signature"]))
    words = ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", copy.path / "manifest.json"]
    assert openssl(*words, "-sigfile", raw).returncode == 0
    raw.write_bytes(bytes(64))
    assert openssl(*words, "-sigfile", raw).returncode != 0


def test_archives(copy: Copy, keys: Keys, tmp_path: Path) -> None:
    """A signed folder is packed with its signature; an archive is signed as it is; both are the same bytes."""
    zip_artifact(copy.path, tmp_path / "a.zip")
    assert signature(tmp_path / "a.zip", keys.public).text == "it isn't signed"
    sign_artifact(tmp_path / "a.zip", keys.private)
    sign_artifact(copy.path, keys.private)
    zip_artifact(copy.path, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert check_artifact(tmp_path / "a.zip", key=keys.public).passed
    with unzipped(tmp_path / "a.zip", tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "signature.json").read_bytes() == (copy.path / "signature.json").read_bytes()


def test_what_is_altered_or_signed_by_somebody_else_is_not_signed(copy: Copy, keys: Keys, tmp_path: Path) -> None:
    sign_artifact(copy.path, keys.private)
    others = keys_in(tmp_path, "theirs")
    before = (copy.path / "signature.json").read_bytes()
    with pytest.raises(OutputError, match=r"is signed with key .* already"):
        sign_artifact(copy.path, others.private)
    (copy.path / "README.md").write_text("better")
    with pytest.raises(ModelError, match="hash differs"):
        sign_artifact(copy.path, keys.private)
    assert (copy.path / "signature.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["absent", "folder", "noise", "public", "rsa", "passphrase", "private", "two"])
def test_keys_that_are_none(copy: Copy, keys: Keys, tmp_path: Path, kind: str) -> None:
    path, ours = tmp_path / "key", ed25519.Ed25519PrivateKey.generate()
    content = {
        "noise": b"\xff\x00" * 50, "public": public_pem(ours), "private": pem(ours),
        "rsa": pem(rsa.generate_private_key(65537, 1024)) if kind == "rsa" else b"",
        "two": public_pem(ours) + public_pem(ed25519.Ed25519PrivateKey.generate()),
        "passphrase": pem(ours, BestAvailableEncryption(b"x")) if kind == "passphrase" else b"",
    }.get(kind)  # fmt: skip
    if kind == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    if kind != "private":
        with pytest.raises(ConfigError, match="passphrase" if kind == "passphrase" else f"{path}"):
            sign_artifact(copy.path, path)
    if kind != "public":
        with pytest.raises(ConfigError, match=f"{path}"):
            check_artifact(copy.path, key=path)
    assert not (copy.path / "signature.json").exists()


def test_without_what_checks_signatures(copy: Copy, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a key's owner isn't told that all is well."""
    sign_artifact(copy.path, keys.private)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert signature(copy.path).passed is None
    for call in (lambda: check_artifact(copy.path, key=keys.public), lambda: sign_artifact(copy.path, keys.private)):
        with pytest.raises(RuntimeMissingError, match=r"hwnas\[sign\]"):
            call()


def test_the_hash_in_the_manifest_is_what_is_signed(copy: Copy, keys: Keys) -> None:
    """So a file that was altered alone is found by its hash, and one that was vouched for by the signature."""
    sign_artifact(copy.path, keys.private)
    (copy.path / "predict.py").write_bytes(b"print('hello')\n")
    found = {each.about: each.passed for each in check_artifact(copy.path, key=keys.public).checks}
    assert (found["predict.py"], found["signature"]) == (False, True)
    digest = hashlib.sha256(b"print('hello')\n").hexdigest()
    copy.edit(lambda manifest: manifest["sha256"].update({"predict.py": digest}))
    found = {each.about: each.passed for each in check_artifact(copy.path, key=keys.public).checks}
    assert (found["predict.py"], found["signature"]) == (True, False)
