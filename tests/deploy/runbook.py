"""Runs every command of deploy/RUNBOOK.md, in its order, against `serve` with a Redis as cache and tokens of the stand-in
issuer: most of it on one machine with SQLite, and the rest on two instances behind the proxy of compose.yaml, with a
PostgreSQL and its standby.

What happens before a section (a bad file, a Redis killed) and what must hold after it stands here; what is typed stands
in the runbook. What differs from an operator's machine is given by the variables that the runbook introduces.
Usage: tests/deploy/runbook.py PROGRAM
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

RUNBOOK = pathlib.Path("deploy/RUNBOOK.md")
EXAMPLE = pathlib.Path("deploy/kundeforhold.example.toml")
BANK, SUCCESSOR, AGENCY = "210099093", "210011013", "974761076"
CUSTOMER, OTHER_CUSTOMER = "01856867389", "17912099997"
# Of the built-in terms.
MANDATE = "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1"
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
        # Where banks and agencies call.
        self.asked = self.service
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
            "SERVICE": f"http://127.0.0.1:{self.asked}", "MANAGEMENT": f"http://127.0.0.1:{self.management}",
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
        return self.run("push", "--url", f"http://127.0.0.1:{self.asked}", "--bank", bank, "--register", "KAR",
                        "--token-file", self.work / "bank.token", "--file", self.work / file, "--attempts", "1", *options)

    def lookup(self, customer=CUSTOMER, mandate="Skatteforvaltningsloven § 10-2 første ledd"):
        """What the agency gets: the answer, or the refusal."""
        got = self.run("lookup", "--url", f"http://127.0.0.1:{self.asked}", "--token", self.token("skatt"),
                       "--mandate", mandate, input=customer + "\n")
        return got.stdout + got.stderr

    def metrics(self, management=None):
        with urllib.request.urlopen(f"http://127.0.0.1:{management or self.management}/metrics", timeout=5) as answer:
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


class Cluster:
    """A PostgreSQL with an archive of its log, run by an unprivileged user, since it refuses to run as root."""

    def __init__(self, work, name):
        self.data, self.archive, self.port, self.sockets = work / name, work / "archive", free_port(), work
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        root = os.geteuid() == 0
        self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
        self.prefix += ["env", f"PATH={programs}:{os.environ['PATH']}", f"PGHOST={work}", f"PGPORT={self.port}", "PGUSER=postgres"]

    def make(self):
        self.run("initdb", "-D", self.data, "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--no-sync")
        self.data.joinpath("postgresql.auto.conf").write_text(f"""
            listen_addresses = '127.0.0.1'
            unix_socket_directories = '{self.sockets}'
            fsync = off
            archive_mode = on
            archive_command = 'cp "%p" "{self.archive}/%f"'
            log_min_messages = fatal
            """)

    def follow(self, primary):
        """Makes it a standby, which what is acknowledged waits for."""
        login = f"host={self.sockets} port={primary.port} user=postgres application_name=standby"
        self.run("pg_basebackup", "-d", login, "-D", self.data, "-c", "fast", "-R", "--no-sync")
        self.start()
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.sql("SELECT pg_reload_conf()")

    def start(self):
        self.run("bash", "-c", self.starting())

    def starting(self):
        return f"pg_ctl -D {self.data} -o '-p {self.port}' -l {self.sockets}/{self.data.name}.log -w start >/dev/null"

    def stop(self, how="immediate"):
        self.run("pg_ctl", "-D", self.data, "-m", how, "-w", "stop", check=False)

    def sql(self, text):
        return self.run("psql", "-X", "-At", "-c", text, "-d", "kundeforhold").stdout

    def run(self, *command, check=True):
        got = subprocess.run([*self.prefix, *command], capture_output=True, text=True, timeout=30, cwd="/")
        assert got.returncode == 0 or not check, got.stderr
        return got


class Several(Machine):
    """The machine of one of two instances, with that of PostgreSQL and of its standby."""

    def __init__(self, program, work):
        work.chmod(0o755)
        place = work / "postgres"
        for folder in (place, place / "archive", place / "backups"):
            folder.mkdir()
            if os.geteuid() == 0:
                shutil.chown(folder, "postgres", "postgres")
        # What the primary is now, and what is promoted when it is gone.
        self.primary, self.standby = Cluster(place, "one"), Cluster(place, "two")
        self.others = free_port(), free_port()
        super().__init__(program, work)
        for name in ("pseudonym.key", "record.key"):
            assert self.run("key", "new", self.etc / name).returncode == 0
        self.primary.make()
        self.primary.start()
        self.asked = free_port()
        self.start_proxy()

    def write_configuration(self):
        super().write_configuration()
        path = self.etc / "kundeforhold.toml"
        hosts = ",".join(f"127.0.0.1:{cluster.port}" for cluster in (self.primary, self.standby))
        text = path.read_text().replace(
            f'url = "sqlite:{self.state}/register.sqlite"',
            f'url = "postgres://kundeforhold_service@{hosts}/kundeforhold?sslmode=disable"\n'
            f'password_file = "{self.etc}/service.password"\nmigrate = false')
        text = text.replace("drain_seconds = 0", "drain_seconds = 2")
        path.write_text(text)
        for own, other in zip((self.service, self.management), self.others):
            text = text.replace(f"127.0.0.1:{own}", f"127.0.0.1:{other}")
        (self.etc / "other.toml").write_text(text)

    def start_proxy(self):
        """That of compose.yaml, with the ports that there are here."""
        text = pathlib.Path("deploy/compose/haproxy.cfg").read_text().replace(":8080\n    default", f"127.0.0.1:{self.asked}\n    default")
        text = text.replace("log stdout format raw daemon notice", "").replace("check port 9090 ", "check ")
        instances = (self.service, self.management), self.others
        for number, (service, management) in zip((1, 2), instances):
            text = text.replace(f"kundeforhold-{number}:8080", f"127.0.0.1:{service} port {management}")
        (self.work / "haproxy.cfg").write_text(text)
        self.children["proxy"] = subprocess.Popen(["haproxy", "-q", "-db", "-f", self.work / "haproxy.cfg"])

    def start_other(self):
        """The instance on the other machine."""
        command = [self.program, "serve", "--config", self.etc / "other.toml"]
        with self.log.open("a") as log:
            self.children["other"] = subprocess.Popen(command, stdout=log, stderr=log)
        self.eventually("the other instance", lambda: "kundeforhold_ready 1" in self.metrics(self.others[1]))

    def environment(self):
        postgres, standby = (" ".join(cluster.prefix) for cluster in (self.primary, self.standby))
        return super().environment() | {
            "PG": postgres, "STANDBY": standby, "PG_DATA": str(self.primary.data),
            "PG_BACKUPS": str(self.primary.sockets / "backups"), "PG_ARCHIVE": str(self.primary.archive),
            "PG_START": self.as_script("start-postgres", self.primary.prefix, self.primary.starting()),
            "PG_STOP": self.as_script("stop-postgres", self.primary.prefix, f"pg_ctl -D {self.primary.data} -m fast -w stop >/dev/null"),
            "NEW_PROGRAM": str(self.work / "bin/new-kundeforhold"), "LEFT_FOR": "1 second", "SLOT": "gone",
            "TO": getattr(self, "last_right_moment", ""),
        }

    def as_script(self, name, prefix, command):
        self.script(name, f"cd / && exec {' '.join(prefix)} bash -c {shlex.quote(command)}")
        return str(self.work / "bin" / name)

    def end(self):
        super().end()
        for cluster in (self.primary, self.standby):
            cluster.stop()


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


def after_first_start(machine):
    """The other machine is set up as well, PostgreSQL has a standby, and a bank has delivered."""
    machine.standby.follow(machine.primary)
    machine.start_other()
    deliver(machine, CUSTOMER)
    said = machine.primary.sql("SELECT has_table_privilege('kundeforhold_service', 'record.entries', 'DELETE')")
    assert said == "f\n", f"who serves can remove what is recorded: {said}"


def deliver(machine, *customers):
    lines = [record(customer, account) for customer, account in zip(customers, ("17101002225", "86011117947"))]
    (machine.work / "right.ndjson").write_text("".join(lines))
    got = machine.push(bank=SUCCESSOR)
    assert got.returncode == 0, got.stdout + got.stderr


def is_known(machine, customer=CUSTOMER):
    said = machine.lookup(customer, MANDATE)
    assert "ERR" not in said and "503" not in said, said
    return "Blåbærlia" in said


def answers(machine):
    """Both instances do, with what stands."""
    for _ in range(4):
        machine.eventually("an answer", lambda: is_known(machine))


@contextlib.contextmanager
def asked_meanwhile(machine):
    """Every answer is right, by whichever instance."""
    ended, wrong = threading.Event(), []

    def ask():
        while not ended.is_set():
            try:
                assert is_known(machine), "the customer is not known"
            except (AssertionError, OSError, subprocess.SubprocessError) as cause:
                wrong.append(str(cause))
                return

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not wrong, f"meanwhile: {wrong}"


def before_lost_instance(machine):
    os.kill(int((machine.work / "serve.pid").read_text()), signal.SIGKILL)
    answers(machine)


def before_connections(machine):
    """Somebody has left a transaction open that holds a set; a delivery waits for it."""
    opened = "BEGIN; SELECT id FROM sets FOR UPDATE; SELECT pg_sleep(0);"
    machine.forgotten = subprocess.Popen([*machine.primary.prefix, "psql", "-X", "-q", "-d", "kundeforhold"], stdin=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, cwd="/")
    machine.children["forgotten"] = machine.forgotten
    machine.forgotten.stdin.write(opened + "\n")
    machine.forgotten.stdin.flush()
    held = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = 'psql'"
    machine.eventually("it is held", lambda: machine.primary.sql(held) == "1\n")
    (machine.work / "bank.token").write_text(machine.token(f"bank-{SUCCESSOR}"))
    machine.waiting = threading.Thread(target=lambda: deliver(machine, CUSTOMER))
    machine.waiting.start()
    time.sleep(1)
    assert machine.waiting.is_alive(), "nothing waits for it"


def after_connections(machine):
    machine.waiting.join(10)
    assert not machine.waiting.is_alive(), "it still waits"
    answers(machine)


def before_full(machine):
    """A standby has gone whose place in the log is kept for it."""
    machine.primary.sql("SELECT pg_create_physical_replication_slot('gone', true)")


def after_full(machine):
    slots = machine.primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'gone'")
    assert slots == "0\n", "the slot is still there"


def before_gone(machine):
    machine.primary.stop()
    said = machine.lookup(CUSTOMER, MANDATE)
    assert "503" in said and "Blåbærlia" not in said, said


def after_gone(machine):
    """What was acknowledged by the former primary is there."""
    machine.primary, machine.standby = machine.standby, machine.primary
    answers(machine)
    deliver(machine, CUSTOMER)


def before_read_only(machine):
    """As after a restart: sessions that there were go on writing."""
    machine.primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    machine.primary.sql("SELECT pg_reload_conf()")
    machine.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kundeforhold'")
    machine.eventually("nobody is answered", lambda: "503" in machine.lookup(CUSTOMER, MANDATE))


def before_point_in_time(machine):
    """Another set comes after the moment that is gone back to; all instances are stopped."""
    machine.last_right_moment = machine.primary.sql("SELECT now()").strip()
    deliver(machine, CUSTOMER, OTHER_CUSTOMER)
    assert is_known(machine, OTHER_CUSTOMER)
    machine.children["other"].terminate()
    machine.children["other"].wait(30)


def after_point_in_time(machine):
    answers(machine)
    assert not is_known(machine, OTHER_CUSTOMER), "what came later is still there"
    machine.start_other()
    deliver(machine, CUSTOMER)
    answers(machine)


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
STORY_OF_SEVERAL = {
    "PostgreSQL: first start": (None, after_first_start),
    "A lost instance": (before_lost_instance, answers),
    "PostgreSQL: connections used up, or waiting": (before_connections, after_connections),
    "PostgreSQL: full disk": (before_full, after_full),
    "PostgreSQL: gone, or failing over": (before_gone, after_gone),
    "PostgreSQL: read-only": (before_read_only, answers),
    "PostgreSQL: back to a point in time": (before_point_in_time, after_point_in_time),
    "PostgreSQL: upgrade and downgrade": (None, answers),
}
# Nobody notices them.
UNNOTICED = {"A lost instance", "PostgreSQL: full disk", "PostgreSQL: upgrade and downgrade"}
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
    "PostgreSQL: first start": r'up to date(.|\n)*store: 0 sets(.|\n)*"ready":true(.|\n)*entries proved',
    "A lost instance": r'"ready":true(.|\n)*entries proved(.|\n)*entries proved',
    "PostgreSQL: connections used up, or waiting": r'idle in transaction(.|\n)*\| t\n(.|\n)*"ready":true',
    "PostgreSQL: full disk": r"gone +\| f(.|\n)*nothing to remove(.|\n)*kundeforhold_store_writable 1",
    "PostgreSQL: gone, or failing over": r'PostgreSQL: error(.|\n)*a standby, as of(.|\n)*"ready":true(.|\n)*entries proved',
    "PostgreSQL: read-only": r"does not allow writes(.|\n)*default_transaction_read_only \| on(.|\n)*\"ready\":true",
    "PostgreSQL: back to a point in time": rf'"ready":true(.|\n)*{SUCCESSOR}(.|\n)*entries proved',
    "PostgreSQL: upgrade and downgrade": r'up to date(.|\n)*kundeforhold_build_info(.|\n)*"ready":true',
}


def run_section(machine, story, heading, commands):
    before, after = story[heading]
    started = time.monotonic()
    if before:
        before(machine)
    with asked_meanwhile(machine) if heading in UNNOTICED else contextlib.nullcontext():
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], env=machine.environment(), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECTION_SECONDS)
    if ran.returncode != 0:
        raise AssertionError(f"a command failed with {ran.returncode}:\n{ran.stdout}\n{tail(machine)}")
    if not re.search(PRINTED.get(heading, ""), ran.stdout):
        raise AssertionError(f"printed only:\n{ran.stdout}")
    if after:
        after(machine)
    print(f"  {heading}: {time.monotonic() - started:.1f} s", flush=True)


def tail(machine):
    return "\n".join(machine.log.read_text().splitlines()[-20:])


def run_story(program, made, story, common, found):
    heading = None
    with tempfile.TemporaryDirectory(prefix="runbook-") as work:
        machine = made(program, pathlib.Path(work))
        (machine.work / "nothing.ndjson").touch()
        try:
            for heading, commands in found.items():
                if heading in story:
                    run_section(machine, story, heading, "set -x\n" * bool(os.environ.get("TRACE")) + common + commands)
        except (AssertionError, OSError, subprocess.SubprocessError) as cause:
            sys.exit(f"runbook, {heading}: {cause}")
        finally:
            machine.end()


def main(program):
    found = sections()
    common = found.pop("Before you type")
    if set(found) != set(STORY) | set(STORY_OF_SEVERAL):
        sys.exit(f"headings of the runbook that are not run, or are missing: {set(found) ^ set(STORY) ^ set(STORY_OF_SEVERAL)}")
    run_story(program, Machine, STORY, common, found)
    run_story(program, Several, STORY_OF_SEVERAL, common, found)


main(os.path.realpath(sys.argv[1]))
