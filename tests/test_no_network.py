"""No command needs a network, and none asks for one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from program import ROOT

OFFLINE = ("unshare", "--net", "--map-root-user")
# Ends a process that opens a connection or looks up a name, whatever the network is.
NO_SOCKET = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        os.write(2, f"NETWORK: {event} {arguments}\\n".encode())
        os._exit(99)

sys.addaudithook(refuse)
"""
SUITE = """
title = "Offline"
[[grid]]
module = ["simam", "srm"]
[shapes]
batch = 1
stages = [[8, 8, 8]]
"""


def is_possible() -> bool:
    if shutil.which(OFFLINE[0]) is None:
        return False
    return subprocess.run([*OFFLINE, "true"], capture_output=True, check=False).returncode == 0


def test_run_check_verify_and_report_without_a_network(tmp_path: Path) -> None:
    """They work in a network namespace without any interface, and open no connection."""
    (tmp_path / "sitecustomize.py").write_text(NO_SOCKET)
    (tmp_path / "offline.toml").write_text(SUITE)
    prefix = OFFLINE if is_possible() else ()  # else the audit alone tells
    short = ("--suite", "offline.toml", "--sessions", "1", "--budget", "1", "--threads", "1")
    for words, expected in (
        (("run", *short, "--out", "run"), (0, 4)),
        (("check", *short, "--baseline", "run", "--out", "checked"), (0, 1, 4)),
        (("verify", "simam"), (0,)),
        (("report", "run"), (0,)),
    ):
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "attn_bench", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert "NETWORK" not in done.stderr
        assert done.returncode in expected, done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").exists()


def test_the_audit_sees_a_connection(tmp_path: Path) -> None:
    """The test above can fail."""
    (tmp_path / "sitecustomize.py").write_text(NO_SOCKET)
    script = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=0.1)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 99
    assert "NETWORK: socket." in done.stderr
