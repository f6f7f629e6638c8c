"""Runs every command of deploy/RUNBOOK.md, in its order, against `serve` with a Redis as cache and tokens of the stand-in
issuer.

What happens before a section (a bad file, a Redis killed) and what must hold after it stands here; what is typed stands
in the runbook. What differs from an operator's machine is given by the variables that the runbook introduces.
Usage: tests/deploy/runbook.py PROGRAM
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

RUNBOOK = pathlib.Path("deploy/RUNBOOK.md")
EXAMPLE = pathlib.Path("deploy/kundeforhold.example.toml")
BANK, SUCCESSOR, AGENCY = "210099093", "210011013", "974761076"
CUSTOMER, OTHER_CUSTOMER = "01856867389", "17912099997"
# Everything of one section has to be done within this.
SECTION_SECONDS = 45


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def sections():
    """The headings, in order, and the commands below each."""
    found, commands = {}, None
    for line in RUNBOOK.read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:]
            found[heading] = ""
        elif line == "```sh":
            commands = []
        elif line == "```" and commands is not None:
            found[heading] += "\n".join(commands) + "\n"
            commands = None
        elif commands is not None:
            commands.append(line)
    return found


class Machine:
    """What the operator's machine has: a service that can be started and stopped, a Redis, an issuer, a source."""

    def __init__(self, program, work):
        self.program, self.work = program, work
        self.etc, self.state, self.log = work / "etc", work / "state", work / "serve.log"
        self.service, self.management, self.issuer, self.redis = (free_port() for _ in range(4))
        self.bank_token = ""
        self.children = {}
        for folder in (self.etc, self.state, work / "redis", work / "bin"):
            folder.mkdir()
        self.log.touch()
        self.write_programs()
        self.write_configuration()
        issuer = [program, "issuer", "--listen", f"127.0.0.1:{self.issuer}", "--bank", BANK, "--bank", SUCCESSOR]
        self.children["issuer"] = subprocess.Popen(issuer, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([work / "bin/start-redis"], check=True)
        self.eventually("the issuer", lambda: self.token("sandbox"))

    def write_programs(self):
        """What stands in for systemd. `full` makes the disk of the first place look full, and no other."""
        pid, redis_pid = self.work / "serve.pid", self.work / "redis/redis.pid"
        self.script("kundeforhold", f'exec {self.program} "$@"')
        self.script("new-kundeforhold", f'exec {self.program} "$@"')
        self.script("start", f"""
            if [ -e {self.work}/full ] && grep -q '^url = "sqlite:{self.state}/' {self.etc}/kundeforhold.toml; then
                export KUNDEFORHOLD__DELIVERY__MIN_FREE_MEGABYTES=1000000000
            fi
            setsid {self.work}/bin/kundeforhold serve --config {self.etc}/kundeforhold.toml >>{self.log} 2>&1 </dev/null &
            echo $! >{pid}""")
        self.script("stop", f"""
            kill -TERM $(cat {pid})
            for _ in $(seq 200); do kill -0 $(cat {pid}) 2>/dev/null || exit 0; sleep 0.1; done
            exit 1""")
        self.script("reload", f"kill -HUP $(cat {pid})")
        self.script("start-redis", f"""
            redis-server --port {self.redis} --bind 127.0.0.1 --dir {self.work}/redis --save '' --appendonly no \\
                --maxmemory 64mb --maxmemory-policy allkeys-lru --daemonize yes --pidfile {redis_pid} --logfile log
            for _ in $(seq 100); do redis-cli -p {self.redis} ping >/dev/null && exit 0; sleep 0.1; done
            exit 1""")

    def script(self, name, text):
        path = self.work / "bin" / name
        path.write_text("#!/usr/bin/env bash\n" + text.strip() + "\n")
        path.chmod(0o755)

    def write_configuration(self):
        """The example, with what it says is the operator's own."""
        issuer = f"http://127.0.0.1:{self.issuer}/"
        text = EXAMPLE.read_text()
        for of_example, own in [
            ("/etc/kundeforhold/", f"{self.etc}/"),
            ("/var/lib/kundeforhold/", f"{self.state}/"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.service}"),
            ("127.0.0.1:9090", f"127.0.0.1:{self.management}"),
            ("127.0.0.1:6379", f"127.0.0.1:{self.redis}"),
            ('issuer = "https://maskinporten.no/"', f'issuer = "{issuer}"\njwks_uri = "{issuer}jwk"'),
            ("[server]", "[server]\ndrain_seconds = 0"),
            ("[store]", '[identifiers]\nsynthetic = ["tenor", "helsenett", "dolly"]\n\n[store]'),
        ]:
            assert of_example in text, f"the example has no {of_example}"
            text = text.replace(of_example, own)
        (self.etc / "kundeforhold.toml").write_text(text)
        (self.etc / "participants.toml").write_text(pathlib.Path("deploy/participants.example.toml").read_text())

    def environment(self):
        given = {
            "ETC": self.etc, "KEEP": self.work / "keep", "SOURCE": pathlib.Path.cwd(),
            "OWNER": subprocess.check_output(["id", "-un"], text=True).strip(),
            "BINARY": self.work / "bin/kundeforhold", "PROGRAM": self.work / "bin/kundeforhold",
            "NEW_BINARY": self.work / "bin/new-kundeforhold", "BIGGER": self.work / "bigger",
            "START": self.work / "bin/start", "STOP": self.work / "bin/stop", "RELOAD": self.work / "bin/reload",
            "LOG": f"cat {self.log}", "REDIS": f"redis-cli -p {self.redis}", "REDIS_START": self.work / "bin/start-redis",
            "SERVICE": f"http://127.0.0.1:{self.service}", "MANAGEMENT": f"http://127.0.0.1:{self.management}",
            "BANK_TOKEN": self.work / "bank.token", "RECORDS": self.work / "right.ndjson", "NUMBER": self.work / "number.txt",
        }
        given["STATE"] = self.place()
        return os.environ | {name: str(value) for name, value in given.items()}

    def place(self):
        """Where register and record are."""
        bigger = self.work / "bigger"
        return bigger if bigger.exists() else self.state

    def is_running(self):
        """Is there a process, and one that has not ended and only waits to be noticed?"""
        try:
            status = pathlib.Path("/proc", (self.work / "serve.pid").read_text().strip(), "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return not re.search(r"^State:\s*Z", status, re.M)

    def kill_redis(self):
        os.kill(int((self.work / "redis/redis.pid").read_text()), signal.SIGKILL)

    def run(self, *arguments, **options):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=30, **options)

    def token(self, client):
        got = self.run("token", "--issuer", f"http://127.0.0.1:{self.issuer}/", "--client", client)
        assert got.returncode == 0, got.stderr
        return got.stdout.strip()

    def push(self, *options, bank=BANK, file="right.ndjson"):
        (self.work / "bank.token").write_text(self.token(f"bank-{bank}"))
        return self.run("push", "--url", f"http://127.0.0.1:{self.service}", "--bank", bank, "--register", "KAR",
                        "--token-file", self.work / "bank.token", "--file", self.work / file, "--attempts", "1", *options)

    def lookup(self, customer=CUSTOMER, mandate="Skatteforvaltningsloven § 10-2 første ledd"):
        """What the agency gets: the answer, or the refusal."""
        got = self.run("lookup", "--url", f"http://127.0.0.1:{self.service}", "--token", self.token("skatt"),
                       "--mandate", mandate, input=customer + "\n")
        return got.stdout + got.stderr

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.management}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def eventually(self, what, holds):
        until = time.monotonic() + 20
        while True:
            try:
                if holds():
                    return
            except (AssertionError, OSError):
                pass
            if time.monotonic() > until:
                raise AssertionError(f"{what}: not within 20 seconds")
            time.sleep(0.1)

    def end(self):
        for name in ("serve.pid", "redis/redis.pid"):
            try:
                os.kill(int((self.work / name).read_text()), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, ValueError):
                pass
        for child in self.children.values():
            child.kill()
            child.wait()


def record(customer, account):
    return f'{{"customerID":"{customer}","accountID":"{account}","role":"owner","fromDate":"2015-03-01"}}\n'


def before_onboarding(machine):
    (machine.work / "right.ndjson").write_text(record(CUSTOMER, "17101002225"))
    (machine.work / "wrong.ndjson").write_text(record(OTHER_CUSTOMER, "86011117947") + "a torn li\n")
    (machine.work / "bank.token").write_text(machine.token(f"bank-{BANK}"))


def before_bad_delivery(machine):
    got = machine.push("--max-rejects", "1", file="wrong.ndjson")
    assert got.returncode == 0, got.stdout + got.stderr


def after_bad_delivery(machine):
    text = (machine.etc / "participants.toml").read_text()
    assert not re.search(r"^paused", text, re.M), "the bank is still paused"
    machine.eventually("the bank may deliver", lambda: machine.push("--changes", file="nothing.ndjson").returncode == 0)


def before_mandate(machine):
    said = machine.lookup()
    assert "ERR-007" in said, said


def answered(machine):
    """The set before the bad one stands, under the successor's name; the bad one's customer is gone."""
    machine.eventually("the mandate", lambda: "Blåbærlia" in machine.lookup())
    said = machine.lookup(OTHER_CUSTOMER)
    assert "Blåbærlia" not in said and "Granskauen" not in said and "ERR" not in said, said


def before_no_answers(machine):
    """Killed in the middle of everything: what was acknowledged is there again."""
    os.kill(int((machine.work / "serve.pid").read_text()), signal.SIGKILL)


def before_redis_gone(machine):
    """Agencies notice nothing; the first lookup finds out."""
    machine.kill_redis()
    answered(machine)
    machine.eventually("Redis is missed", lambda: "Blåbærlia" in machine.lookup() and
                       "kundeforhold_cache_reachable 0" in machine.metrics())
    assert "kundeforhold_ready 1" in machine.metrics(), "not ready without a cache"


def before_wrong_key(machine):
    subprocess.run([machine.work / "bin/stop"], check=True)
    (machine.etc / "pseudonym.key").unlink()
    got = machine.run("key", "new", machine.etc / "pseudonym.key")
    assert got.returncode == 0, got.stderr
    subprocess.run([machine.work / "bin/start"], check=True)
    machine.eventually("it ends by itself", lambda: not machine.is_running())


def before_clock(machine):
    """As if the clock had been eleven years behind when it was last found to be right."""
    with contextlib.closing(sqlite3.connect(machine.place() / "register.sqlite", timeout=10)) as register:
        register.execute("UPDATE clock SET seen_at = seen_at - 11 * 365 * 86400000")
        register.commit()


def before_full_disk(machine):
    """The bank itself is merged by now."""
    (machine.work / "full").touch()
    subprocess.run([machine.work / "bin/stop"], check=True)
    subprocess.run([machine.work / "bin/start"], check=True)
    machine.eventually("ready", lambda: "kundeforhold_ready 1" in machine.metrics())
    got = machine.push("--changes", bank=SUCCESSOR, file="nothing.ndjson")
    assert got.returncode == 1 and "503" in got.stderr + got.stdout, got.stderr + got.stdout


def after_full_disk(machine):
    got = machine.push("--changes", bank=SUCCESSOR, file="nothing.ndjson")
    assert got.returncode == 0, got.stdout + got.stderr
    answered(machine)


def before_damaged(machine):
    with contextlib.closing(sqlite3.connect(machine.place() / "register.sqlite")) as register:
        changed = register.execute("UPDATE sets SET records = records + 5 WHERE bank = ?", [int(BANK)]).rowcount
        register.commit()
    assert changed == 1, changed


def before_request(machine):
    (machine.work / "number.txt").write_text(CUSTOMER + "\n")


def after_request(machine):
    assert not (machine.work / "number.txt").exists(), "the number is still there"


# What happens before a section, and what holds after it, beyond that its commands succeed.
STORY = {
    "First start": (None, lambda machine: (machine.work / "keep/heads.jsonl").stat()),
    "Onboarding a bank": (before_onboarding, None),
    "A bank's bad delivery": (before_bad_delivery, after_bad_delivery),
    "A bank asks about a receipt": (None, None),
    "A merger": (None, None),
    "An agency's new mandate": (before_mandate, answered),
    "Key rotation": (None, answered),
    "No answers": (before_no_answers, answered),
    "A store that cannot be written": (None, answered),
    "Redis gone, slow or emptied": (before_redis_gone, answered),
    "Full disk": (before_full_disk, after_full_disk),
    "Wrong key": (before_wrong_key, answered),
    "The clock has jumped": (before_clock, answered),
    "A damaged register": (before_damaged, answered),
    "Backup and restore": (None, answered),
    "Suspected misuse": (None, answered),
    "An access request": (before_request, after_request),
    "Upgrade and downgrade": (None, answered),
}
# What the commands of a section must have printed.
PRINTED = {
    "Onboarding a bank": rf'stale_after_seconds{{bank="{BANK}"(.|\n)*kundeforhold_records{{bank="{BANK}"',
    "A bank's bad delivery": "answered with 303",
    "A bank asks about a receipt": r"kundeforhold_running_deliveries 0",
    "A merger": "Merged",
    "Key rotation": r"key_set_age_seconds(.|\n)*entries proved(.|\n)*heads: [1-9]",
    "No answers": r'"ready":true',
    "A store that cannot be written": r"kundeforhold_store_writable 1",
    "Redis gone, slow or emptied": r"kundeforhold_cache_reachable 0(.|\n)*kundeforhold_cache_reachable 1",
    "Full disk": "entries proved",
    "Wrong key": r'pseudonym key(.|\n)*"ready":true',
    "The clock has jumped": r"nothing is removed(.|\n)*believed from now on(.|\n)*is believed",
    "A damaged register": r"the count of records is wrong(.|\n)*counts of 1 sets(.|\n)*kundeforhold_store_faults 0",
    "Backup and restore": r'backup-\d.tar: \d+ bytes(.|\n)*nothing restored(.|\n)*restored\.(.|\n)*"ready":true',
    "Suspected misuse": AGENCY,
    "An access request": AGENCY,
    "Upgrade and downgrade": "kundeforhold_build_info",
}


def run_section(machine, heading, commands):
    before, after = STORY[heading]
    if before:
        before(machine)
    started = time.monotonic()
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], env=machine.environment(), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECTION_SECONDS)
    if ran.returncode != 0:
        raise AssertionError(f"a command failed with {ran.returncode}:\n{ran.stdout}\n{tail(machine)}")
    if not re.search(PRINTED.get(heading, ""), ran.stdout):
        raise AssertionError(f"printed only:\n{ran.stdout}")
    if after:
        after(machine)
    print(f"  {heading}: {time.monotonic() - started:.1f} s")


def tail(machine):
    return "\n".join(machine.log.read_text().splitlines()[-20:])


def main(program):
    found = sections()
    common = found.pop("Before you type")
    if set(found) != set(STORY):
        sys.exit(f"headings of the runbook that are not run, or are missing: {set(found) ^ set(STORY)}")
    with tempfile.TemporaryDirectory(prefix="runbook-") as work:
        machine = Machine(program, pathlib.Path(work))
        (machine.work / "nothing.ndjson").touch()
        try:
            for heading, commands in found.items():
                run_section(machine, heading, "set -x\n" * bool(os.environ.get("TRACE")) + common + commands)
        except (AssertionError, OSError, subprocess.SubprocessError) as cause:
            sys.exit(f"runbook, {heading}: {cause}")
        finally:
            machine.end()


main(os.path.realpath(sys.argv[1]))
