"""Another machine by ssh: a real sshd on this one, which starts with nothing but a bare Python; and adb's arguments."""

from __future__ import annotations

import getpass
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, DeviceError, KitError
from hwnas.flow.profile import profile
from hwnas.profiling import kit_main, transports
from hwnas.profiling.kit import Kit
from hwnas.profiling.remote import check_python, clean_up, measure_on
from hwnas.profiling.returned import read_result
from hwnas.profiling.transports import Adb, Remote, Ssh
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.profiling.kits import make_device, small_kit
from tests.profiling.ssh_server import Server, client_config, free_port, make_key

HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)  # sshd begins there, whatever $HOME says
pytestmark = pytest.mark.xdist_group("ssh")  # one folder of kits, in the home of whoever runs the tests


def test_profile_on_another_machine(server: Server, device: Path, tiny: ChainSpace, tmp_path: Path) -> None:
    table = tmp_path / "table.yaml"
    words = ["profile", "--space", "scarlet-tiny", "--resolution", "32", "--networks", "4", "--held-out", "5"]
    words += ["--seconds", "1", "--on", server.address, "--python", device, "--ssh-config", server.config, "-o", table]
    kits = HOME / ".cache" / "hwnas-kits"
    before = set(kits.glob("*"))
    done = subprocess.run([sys.executable, "-m", "hwnas", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = LatencyTable.load(table)
    assert set(loaded.ops) == set(tiny.distinct_ops)
    assert loaded.calibration is not None
    assert len(loaded.held_out) == 5
    assert set(kits.glob("*")) == before
    shown = done.stderr.splitlines()
    assert any(line.startswith(f"{getpass.getuser()}@127.0.0.1: loading") for line in shown), done.stderr


def test_a_space_of_ones_own_comes_back_with_its_table(
    server: Server, device: Path, small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_yaml.parent)
    there, told = Remote(server.address, str(device), server.config), list[str]()
    made = profile(small_yaml.name, networks=3, seconds=0.2, on=there, output="t.yaml", tell=told.append)
    small = get_space(small_yaml.name)
    small_yaml.unlink()
    monkeypatch.chdir("/")
    table = LatencyTable.load(tmp_path / "t.yaml")
    assert table == made
    assert table.get_space() == small
    assert any("copying" in line for line in told)
    assert not any("take it to where hwnas is" in line for line in told)  # it is fetched from there


@pytest.mark.parametrize("other", [False, True], ids=["damaged", "of another kit"])
def test_a_bad_result_there_is_not_found_again(
    server: Server, kit: Kit, device: Path, tiny: ChainSpace, tmp_path: Path, other: bool
) -> None:
    """It is removed, so that the same command measures again."""
    folder = HOME / ".cache" / "hwnas-kits" / kit.sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text("{}")
    if other:
        (tmp_path / "other.pyz").write_bytes(small_kit(tiny, seconds=0.2).data)
        (folder / "result.json").unlink()
        assert kit_main.main(str(tmp_path / "other.pyz"), ["-o", str(folder / "result.json")]) == 0
    words = ["profile", "--space", "scarlet-tiny", "--resolution", "32", "--networks", "4", "--held-out", "5"]
    words += ["--seconds", "2", "--confidence", "1e-4", "--on", server.address, "--python", device]
    words += ["--ssh-config", server.config, "-o", tmp_path / "t.yaml"]
    done = subprocess.run([sys.executable, "-m", "hwnas", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    reason = "is of another kit; measure again" if other else "isn't what python KIT.pyz -o RESULT writes"
    assert done.stderr.splitlines()[-1].startswith("hwnas: ")
    assert reason in done.stderr
    assert not folder.exists()


def measure(server: Server, kit: Kit, device: Path, result: Path) -> list[str]:
    lines: list[str] = []
    measure_on(server.ssh(), kit, result, python=str(device), on_line=lines.append)
    return lines


def test_the_kit_is_copied_once_and_the_result_fetched_again(
    server: Server, kit: Kit, device: Path, tmp_path: Path
) -> None:
    first = measure(server, kit, device, tmp_path / "first.json")
    assert first[0].startswith("copying ")
    assert measure(server, kit, device, tmp_path / "second.json") == []  # as after a fetch that dropped
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    folder = server.home / "kits" / kit.sha256[:16]
    assert sorted(os.listdir(folder)) == ["kit.pyz", "result.json"]
    (folder / "result.json").unlink()
    (folder / "kit.pyz").write_bytes(kit.data[:-1])
    assert measure(server, kit, device, tmp_path / "third.json")[0].startswith("copying ")
    assert read_result(tmp_path / "third.json").kit_sha256 == kit.sha256
    clean_up(server.ssh(), kit)
    assert not folder.exists()


def sessions_of(sshd: int) -> list[int]:
    children = Path(f"/proc/{sshd}/task/{sshd}/children").read_text().split()
    return [int(child) for child in children]


def test_a_connection_that_drops(server: Server, device: Path, tiny: ChainSpace, tmp_path: Path) -> None:
    slow = small_kit(tiny, seconds=6.0)
    kept = server.home / "kits" / slow.sha256[:16] / "result.json.journal"

    def drop() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (kept.exists() and kept.read_bytes().count(b"\n") > 3):
            time.sleep(0.01)
        for session in sessions_of(server.process.pid):
            os.kill(session, signal.SIGKILL)

    dropping = threading.Thread(target=drop)
    dropping.start()
    with pytest.raises(DeviceError, match=r"dropped .* run the same command again, it goes on from where it was"):
        measure(server, slow, device, tmp_path / "r.json")
    dropping.join()
    lines = measure(server, slow, device, tmp_path / "r.json")
    assert not any(line.startswith("copying") for line in lines)
    assert any(line.startswith("going on after ") for line in lines)
    assert read_result(tmp_path / "r.json").kit_sha256 == slow.sha256
    clean_up(server.ssh(), slow)


def test_a_machine_that_lacks_something(
    server: Server, kit: Kit, device: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ssh = server.ssh()
    with pytest.raises(ConfigError, match=r"can't run 'python9' .* install Python there, or say --python PATH"):
        check_python(ssh, "python9")
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho python 3 7\n")
    old.chmod(0o755)
    with pytest.raises(ConfigError, match=r"is Python 3\.7, a kit needs 3\.8 or later"):
        check_python(ssh, str(old))
    bare = make_device(tmp_path_factory.mktemp("bare") / "venv")
    check_python(ssh, str(bare))
    with pytest.raises(KitError, match=rf"on .*numpy isn't usable here .*{bare} -m pip install numpy"):
        measure(server, kit, bare, tmp_path / "r.json")
    packages = bare.parent.parent / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    source = device.parent.parent / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    for name in ("numpy", "numpy.libs"):
        (packages / name).symlink_to(source / name)
    with pytest.raises(KitError, match=rf"onnxruntime isn't usable .*run: {bare} -m pip install onnxruntime$"):
        measure(server, kit, bare, tmp_path / "r.json")
    assert not (tmp_path / "r.json").exists()
    clean_up(ssh, kit)


def test_what_a_shell_prints_at_login_gets_into_no_file(server: Server, tmp_path: Path) -> None:
    authorized = server.config.parent / "authorized_keys"
    key = authorized.read_text()
    (server.home / "made").write_bytes(b"\0\xff{}\n")
    authorized.write_text(f'command="echo Welcome to my board; eval $SSH_ORIGINAL_COMMAND" {key}')
    try:
        server.ssh().fetch(str(server.home / "made"), tmp_path / "fetched")
    finally:
        authorized.write_text(key)
    assert (tmp_path / "fetched").read_bytes() == b"\0\xff{}\n"


def test_hosts_that_cannot_be_reached(server: Server, tmp_path: Path) -> None:
    user = getpass.getuser()
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    wrong_key = client_config(stranger, server.port, make_key(stranger / "key"), server.config.parent / "host")
    other_host = tmp_path / "other"
    other_host.mkdir()
    wrong_host = client_config(other_host, server.port, server.config.parent / "user", make_key(other_host / "host"))
    unknown = tmp_path / "unknown"
    unknown.write_text(server.config.read_text().replace("known_hosts", "nothing"))
    for address, config, reason in [
        ("ssh://nobody@no-such-host.invalid", server.config, "no such host"),
        (f"ssh://{user}@127.0.0.1:{free_port()}", server.config, "nothing listens there"),
        (server.address, wrong_key, "accepts none of your keys"),
        (server.address, wrong_host, "its host key isn't the one that ssh knows.* ssh-keygen -R"),
        (server.address, unknown, "its host key isn't known; connect once by hand"),
        (server.address, tmp_path / "absent", "can't read .*absent: No such file"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            check_python(Ssh(address, config), "python3")


def test_a_host_that_accepts_and_says_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_ANSWERS_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ConfigError, match="it doesn't answer within 2 s"):
            check_python(Ssh(f"ssh://127.0.0.1:{silent.getsockname()[1]}", server.config), "python3")


@pytest.mark.parametrize(
    "address",
    ["somewhere", "http://host", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://host/path", "ssh://u:p@host",
     "ssh://host:99999", "ssh://host:x", "ssh://ho st", "ssh://a@b;c", "ssh://[::1", "adb://", "adb://-s", "adb://a b",
     "ssh://host?x", "ssh://$(id)", "", "ssh://ho\nst", "ssh://host\n", "\nssh://host", "ssh://me\t@host", "ssh://ho\x00st",
     "ssh://a%0Ab", "ssh://%2DoProxyCommand=x", "ssh://%2D@host", "ssh://host:0", "ssh://host:", "ssh://ho\u017ft", "ssh://@host",
     "ssh://[fe80::1%25]", "ssh://[fe80::1%25a%0Ab]", "ssh://fe80::1", "adb://a\n", "adb://a%0Ab", "adb://%2Da"],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ConfigError, match=r"ssh://|adb://"):
        Remote(address).transport()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://host", "nor adb://SERIAL$"),
        ("ssh://u:p@host", ": ssh takes keys, no password"),
        ("ssh://host/path", ": no path belongs there"),
        ("ssh://host:99999", ": '99999' is no port"),
        ("ssh://-l@host", ": '-l' is no user"),
        ("ssh://ho st", ": 'ho st' is no host"),
    ],
)
def test_what_is_wrong_with_an_address_is_told(address: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"'{address}' is neither ssh://.*{why}"):
        Remote(address).transport()


@pytest.mark.parametrize(
    ("address", "name"),
    [("ssh://host", "host"), ("ssh://me@host:22", "me@host"), ("ssh://10.0.0.7", "10.0.0.7"), ("ssh://[::1]:22", "::1"),
     ("ssh://my_alias", "my_alias"), ("ssh://MyBoard", "MyBoard"),
     ("ssh://Pi@MyBoard:22/", "Pi@MyBoard"), ("ssh://[fe80::1%25eth0.1]:22", "fe80::1%eth0.1"), ("SSH://Host", "Host"),
     ("ssh://me%40corp@host", "me@corp@host"), ("ssh://CORP%5Cme@host", "CORP\\me@host"),
     ("adb://10.0.0.7%3A55", "10.0.0.7:55"),
     ("adb://emulator-5554", "emulator-5554"), ("adb://10.0.0.7:55", "10.0.0.7:55")],
)  # fmt: skip
def test_addresses(address: str, name: str) -> None:
    assert Remote(address).transport().name == name


def test_words_reach_the_other_side_as_they_are(server: Server) -> None:
    awkward = ["a b", "$HOME", "`id`", "it's", '"', "*", ";", "-n", "ü", "\\", "&& false"]
    assert server.ssh().run(["printf", "%s\n", *awkward]) == (0, awkward)
    assert server.ssh().run(["false"]).status == 1


def test_no_ssh_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no program 'ssh' here"):
        check_python(Ssh("ssh://host"), "python3")


# No Android here: the script below stands for adb, after its documentation (adb -s SERIAL push|shell|pull …; shell
# joins its arguments and gives them to a shell, and passes on the exit status). That real devices agree isn't tested.
FAKE_ADB = """#!/bin/sh
[ "$1" = -s ] || exit 9
[ "$2" = emulator-5554 ] || { echo "adb: device '$2' not found" >&2; exit 1; }
shift 2
verb=$1; shift
case $verb in
  shell) exec sh -c "$*";;
  push|pull) [ $# = 2 ] || exit 9; exec cp "$1" "$2";;
esac
exit 9
"""


def test_adb_by_its_documented_arguments(
    kit: Kit, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adb").write_text(FAKE_ADB)
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    adb = Adb("adb://emulator-5554")
    adb.folder = str(tmp_path / "kits of android")
    check_python(adb, str(device))
    measure_on(adb, kit, tmp_path / "r.json", python=str(device), on_line=lambda line: None)
    assert read_result(tmp_path / "r.json").kit_sha256 == kit.sha256
    clean_up(adb, kit)
    assert not list((tmp_path / "kits of android").iterdir())
    with pytest.raises(ConfigError, match="device 'other' not found; see adb devices"):
        check_python(Adb("adb://other"), "python3")


def test_an_alias_keeps_its_case(tmp_path: Path) -> None:
    """ssh's own configuration finds it: its patterns tell capital letters from small ones."""
    (tmp_path / "config").write_text("Host MyBoard\n  HostName 192.0.2.7\n  User pi\n  Port 2222\n")
    command = Ssh("ssh://MyBoard", tmp_path / "config")._command
    told = subprocess.run(["ssh", "-G", *command[1:]], capture_output=True, text=True, check=True).stdout
    assert {"hostname 192.0.2.7", "user pi", "port 2222"} <= set(told.splitlines())
