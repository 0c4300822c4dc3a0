"""Who vouches for an artifact: an Ed25519 signature of its manifest, which has the hashes of all the rest.

Keys are PEM files as ``openssl genpkey -algorithm ed25519`` and ``openssl pkey -pubout`` write them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.artifacts.archive import artifact_folder, packed
from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.check_file import NotCheckedError
from hwnas.errors import ConfigError, ModelError, OutputError, RuntimeMissingError, first_line
from hwnas.files import read_bytes, write_atomic
from hwnas.records.artifact import MANIFEST, SIGNATURE, SignatureRecord

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_artifact(path: Path, key: Path) -> str:
    """Write a signature into an artifact, a folder or a zip file, and return the public key in hexadecimal digits.

    Args:
        path: of the folder or the zip file; that it is unaltered is checked.
        key: the private key's file.

    Raises:
        ConfigError: the key isn't one.
        ModelError: it isn't an artifact, or a file is missing or was altered.
        OutputError: another key has signed it, or the signature can't be written.
        RuntimeMissingError: what signs isn't installed.
    """
    private = _read_private_key(key)
    public = private.public_key().public_bytes_raw().hex()
    with artifact_folder(path) as folder:
        load_artifact(folder)
        if (folder / SIGNATURE).exists() and (its := SignatureRecord.read(folder / SIGNATURE).public_key) != public:
            raise OutputError(f"{path} is signed with key {its[:16]}… already; take {SIGNATURE} out of it first")
        signature = private.sign((folder / MANIFEST).read_bytes()).hex()
        SignatureRecord(public_key=public, signature=signature).write(folder / SIGNATURE)
        if folder != path:
            write_atomic(path, packed(folder))
    return public


def check_signature(folder: Path, public: str | None) -> str:
    """Hold an artifact's signature against its manifest and, where it is given, a public key.

    Raises:
        ModelError: it has none, a wrong one, or that of another key.
        NotCheckedError: it is right, and no key is given.
        RuntimeMissingError: what checks it isn't installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise _not_installed(error) from None
    path = folder / SIGNATURE
    if not os.path.lexists(path):
        raise ModelError("it isn't signed")
    if path.is_symlink():
        raise ModelError(f"{SIGNATURE} is a link, not a file of the artifact: it isn't signed")
    found = SignatureRecord.read(path)
    its = f"key {found.public_key[:16]}…"
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.public_key))
        key.verify(bytes.fromhex(found.signature), (folder / MANIFEST).read_bytes())
    except (InvalidSignature, ValueError):
        raise ModelError(f"{MANIFEST} isn't what {its} signed: it was altered since, or the signature was") from None
    if public is None:
        raise NotCheckedError(f"{MANIFEST} is what {its} signed; whose key that is, only --key tells")
    if found.public_key != public:
        raise ModelError(f"it is signed with another key: {its} instead of {public[:16]}…")
    return f"{MANIFEST}, and so all that it has the hashes of, is what {its} signed"


def read_public_key(path: Path) -> str:
    """A public key in hexadecimal digits.

    Raises:
        ConfigError: the file can't be read, or isn't an Ed25519 public key in PEM.
        RuntimeMissingError: what reads it isn't installed.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise _not_installed(error) from None
    data = read_bytes(path, ConfigError)
    try:
        key = load_pem_public_key(data) if data.count(b"-----BEGIN") == 1 else None  # of two it would take the first
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} isn't an Ed25519 public key in PEM, as `openssl pkey -in KEY -pubout` writes it")
    return key.public_bytes_raw().hex()


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise _not_installed(error) from None
    data = read_bytes(path, ConfigError)
    try:
        key = load_pem_private_key(data, password=None) if data.count(b"-----BEGIN") == 1 else None
    except TypeError:
        raise ConfigError(f"{path} has a passphrase; `openssl pkey -in {path} -out FILE` writes it without") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path} isn't an Ed25519 private key in PEM, as `openssl genpkey -algorithm ed25519` makes it"
        )
    return key


def _not_installed(error: ImportError) -> RuntimeMissingError:
    return RuntimeMissingError(f"signatures take cryptography ({first_line(error)}); pip install 'hwnas[sign]'")
