"""A PostgreSQL server of the tests' own, on a port that nobody uses."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ibis
import pytest

# Debian does not put them on the path.
PROGRAMS = [os.environ.get("POSTGRES", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]


def _program(name: str) -> str:
    path = os.pathsep.join(filter(None, [*PROGRAMS, os.environ.get("PATH", "")]))
    found = shutil.which(name, path=path)
    if found is not None:
        return found
    if os.environ.get("NO_POSTGRES"):
        pytest.skip("NO_POSTGRES is set, and there is no PostgreSQL")
    pytest.fail(
        f"These tests need PostgreSQL, and there is no {name}. On Debian: apt-get install postgresql. "
        "Elsewhere name its programs, POSTGRES=/path/to/bin, or leave them out: NO_POSTGRES=1."
    )


@contextmanager
def postgres_server() -> Generator[str]:
    """A server with nothing in it; gives its URL for ``ibis.connect``, without a database."""
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory() as folder, socket.socket() as found:
        data = Path(folder) / "data"
        data.mkdir()
        if user is not None:
            for place in (Path(folder), data):
                shutil.chown(place, user)
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        options = f"-p {port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run(
            [_program("initdb"), "-D", data, "-U", "relspec", "--auth=trust", "-N"],
            user=user, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        control = [_program("pg_ctl"), "-D", data, "-w"]
        with (Path(folder) / "log").open("w") as log:
            subprocess.run(
                [*control, "-o", options, "start"], user=user, cwd=folder, check=True, stdout=log, stderr=log
            )
        try:
            yield f"postgres://relspec@127.0.0.1:{port}"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], user=user, cwd=folder, check=True, capture_output=True
            )


def new_database(server: str) -> str:
    """The URL of a database with nothing in it."""
    name = f"shop_{uuid4().hex}"
    admin: Any = ibis.connect(f"{server}/postgres")
    admin.raw_sql(f"CREATE DATABASE {name}").close()
    admin.disconnect()
    return f"{server}/{name}"
