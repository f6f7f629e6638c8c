"""The system calls that the service makes, held against those that its unit lets through.

One that is refused need not show: whoever asks to be less urgent than lookups, and may not, is as urgent as they are.
The demo makes them: its service takes deliveries, and answers. Usage: tests/deploy/syscalls.py PROGRAM
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

UNIT = pathlib.Path("deploy/systemd/kundeforhold.service")
# Seen in every start; without them nothing was looked at.
EXPECTED = {"accept4", "fdatasync", "setpriority", "prlimit64"}
# SQLite gives its log to the owner of the database. Only root can, so only as root it tries; the service is not root.
OF_ROOT = {"fchown"} if os.geteuid() == 0 else set()


def of_group(name):
    """The calls of a group of systemd's, and of those in it."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    members = [line.strip() for line in listed.stdout.splitlines()[1:] if not line.strip().startswith("#")]
    return set().union(*(of_group(it) if it.startswith("@") else {it} for it in members if it))


def let_through():
    """By the lines of the unit, each of which adds or takes away."""
    calls = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        words = line.removeprefix("~").split()
        named = set().union(*(of_group(word) if word.startswith("@") else {word} for word in words))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def made(program):
    """By the demo, from its start to its end."""
    loopback = [f"--{name}=127.0.0.1:0" for name in ("listen", "management-listen", "issuer-listen")]
    with tempfile.TemporaryDirectory() as work:
        log = pathlib.Path(work) / "calls"
        demo = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", log, program, "demo", "--json", *loopback],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            demo.stdout.readline()
            # The program of the first line, which strace hands the signal no further.
            pid = int(log.read_text().split(maxsplit=1)[0])
            subprocess.run(["kill", f"-{signal.SIGINT.value}", str(pid)], check=True)
            demo.wait(timeout=60)
        finally:
            demo.kill()
        return set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z]\w*)(?:\(| resumed)", log.read_text(), re.M))


calls = made(sys.argv[1])
if missing := EXPECTED - calls:
    sys.exit(f"the demo made no call of {sorted(missing)}: was it watched?")
if refused := calls - OF_ROOT - let_through():
    sys.exit(f"the unit refuses {sorted(refused)}")
