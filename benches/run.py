"""Benchmarks: our program and its peer against the same simulated Exchange, in one run.

Usage: run.py TRIBUTARY [NAME ...]

NAME is one of: sync, graph, idle, large, many, platform, azure

Rates of one run can be compared with each other; machines differ too much for anything else.
Nothing but the loopback interface is used, and every run is bounded in size and time.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid, what):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+) kB", status, re.M).group(1)) / 1024


class Simulator:
    """`tributary simulate exchange`, and the configuration that it prints."""

    def __init__(self, tributary, folder, *args, auth="basic"):
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "config.json"
        self.process = subprocess.Popen(
            [tributary, "simulate", "exchange", "--bind", "127.0.0.1:0", "--auth", auth,
             "--config-file", self.config, *map(str, args)],
            stdout=open(self.folder / "simulator.log", "w"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not self.read_settings():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the simulator did not start:\n" + (self.folder / "simulator.log").read_text())
            time.sleep(0.05)

    def read_settings(self):
        """Whether the configuration is there and whole."""
        try:
            self.settings = json.loads(self.config.read_text())
        except (OSError, ValueError):
            return False
        return True

    def over_graph(self):
        """Has the mailboxes read over Microsoft Graph."""
        found = re.search(r"^Microsoft Graph: (\S+)$", (self.folder / "simulator.log").read_text(), re.M)
        for key in ("ews_endpoint", "auth_type", "access_type"):
            self.settings.pop(key)
        self.settings |= {"microsoft_api": "graph", "graph_endpoint": found.group(1)}
        self.config.write_text(json.dumps(self.settings))
        return self

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


class Appliance:
    """`tributary appliance` writing to a folder, watched from outside."""

    def __init__(self, tributary, simulator, settings=None, wrap=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=simulator.folder))
        config = self.folder / "appliance.json"
        config.write_text(json.dumps({**simulator.settings, **(settings or {})}))
        self.mailboxes = len(simulator.settings["mailboxes"])
        self.log = self.folder / "appliance.log"
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*wrap, tributary, "appliance", "--local-files-prefix", self.folder / "mail",
             "--log-format", "text"],
            env={"PATH": os.environ["PATH"], "REINFER_EWS_CONFIG": str(config)},
            stdout=subprocess.DEVNULL, stderr=open(self.log, "w"))

    def wait_until_caught_up(self, limit):
        """Returns (seconds, CPU seconds) of the first sync."""
        while self.log.read_text().count("is up to date") < self.mailboxes:
            if self.process.poll() is not None:
                sys.exit(f"the appliance ended with {self.process.returncode}:\n" + self.log.read_text()[-3000:])
            if time.monotonic() - self.started > limit:
                sys.exit(f"not up to date after {limit} s:\n" + self.log.read_text()[-3000:])
            time.sleep(0.02)
        return time.monotonic() - self.started, cpu_seconds(self.process.pid)

    def emails(self):
        return sum(1 for _ in (self.folder / "mail" / "data").rglob("*.eml"))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextlib.contextmanager
def closing(*things):
    try:
        yield things
    finally:
        for thing in reversed(things):
            with contextlib.suppress(Exception):
                thing.close()


def peers():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "peers"


def python_with(name, *packages):
    """The Python of an environment of its own that has `packages`."""
    place = peers() / name
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def exchangelib():
    return python_with("bench", "exchangelib==5.6.0")


def measured(command, **options):
    """Runs `command`; returns its seconds and its CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([str(part) for part in command], check=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def folder_of_emails(tributary, folder, count):
    """A folder of `count` emails of 20 KB in four mailboxes, as the appliance writes it."""
    simulator = Simulator(tributary, folder, "--mailboxes", 4, "--messages", count // 4, "--size", 20_000)
    with closing(simulator, Appliance(tributary, simulator)) as (_, appliance):
        appliance.wait_until_caught_up(600)
        if appliance.emails() != count:
            sys.exit(f"{appliance.emails()} emails arrived instead of {count}")
    return simulator, appliance.folder / "mail"


def compare(title, count, ours, theirs, peer):
    print(f"\n{title}\n")
    row("program", "emails/s", "CPU ms per email")
    row("---", "--:", "--:")
    for name, (seconds, cpu) in (("tributary", ours), (peer, theirs)):
        row(name, f"{count / seconds:.0f}", f"{1000 * cpu / count:.2f}")
    row("ratio", f"{theirs[0] / ours[0]:.1f}x", f"{theirs[1] / ours[1]:.1f}x less")


def buckets(simulator):
    return sorted({f"{box['bucket']['owner']}/{box['bucket']['name']}"
                   for box in simulator.settings["mailboxes"].values()})


def row(*columns):
    print("| " + " | ".join(str(column) for column in columns) + " |", flush=True)


def bench_sync(tributary, folder):
    """20,000 emails of 20 KB; exchangelib copies 2,000 of them, and rates are compared."""
    simulator = Simulator(tributary, folder, *SYNC)
    command = [exchangelib(), HERE / "peer_exchangelib.py"]
    sync(tributary, folder, simulator, command, {}, "exchangelib 5.6.0", "EWS")


def bench_graph(tributary, folder):
    """The same over Microsoft Graph, beside Microsoft's SDK for Python."""
    simulator = Simulator(tributary, folder, *SYNC, auth="oauth2").over_graph()
    python = python_with("bench-graph", "msgraph-sdk==1.65.0", "azure-identity==1.27.0", "deprecated")
    ca_file = simulator.settings["ews_ca_file"]
    trust = {"SSL_CERT_FILE": ca_file, "REQUESTS_CA_BUNDLE": ca_file}
    command = [python, HERE / "peer_graph.py"]
    sync(tributary, folder, simulator, command, trust, "msgraph-sdk 1.65.0", "Graph")


SYNC_COUNT = 20_000
SYNC = ("--mailboxes", 4, "--messages", SYNC_COUNT // 4, "--size", 20_000)


def sync(tributary, folder, simulator, peer, peer_env, peer_name, api):
    peer_count = SYNC_COUNT // 10
    with closing(simulator):
        appliance = Appliance(tributary, simulator)
        with closing(appliance):
            seconds, cpu = appliance.wait_until_caught_up(600)
            found = appliance.emails()
            peak = memory(appliance.process.pid, "VmHWM")
        peer_folder = pathlib.Path(folder) / "peer"
        peer_seconds, peer_cpu = measured([*peer, simulator.config, peer_folder, peer_count],
                                          env=os.environ | peer_env)
        copied = sum(1 for _ in peer_folder.rglob("*.eml"))
    print(f"\nFull sync, emails of 20 KB from the simulated Exchange over {api} into files\n")
    row("program", "emails", "seconds", "emails/s", "CPU ms per email", "peak memory")
    row("---", "--:", "--:", "--:", "--:", "--:")
    row("tributary", found, f"{seconds:.1f}", f"{found / seconds:.0f}", f"{1000 * cpu / found:.2f}", f"{peak:.0f} MiB")
    row(peer_name, copied, f"{peer_seconds:.1f}", f"{copied / peer_seconds:.0f}",
        f"{1000 * peer_cpu / copied:.2f}", "")
    row("ratio", "", "", f"{(found / seconds) / (copied / peer_seconds):.1f}x",
        f"{(peer_cpu / copied) / (cpu / found):.1f}x less", "")
    if found != SYNC_COUNT:
        sys.exit(f"{found} emails arrived instead of {SYNC_COUNT}")


def bench_idle(tributary, folder):
    """1,000 mailboxes of 15 folders, nothing new: CPU at the default poll_frequency."""
    simulator = Simulator(tributary, folder, "--mailboxes", 1000, "--messages", 5, "--size", 2000, "--minimal-folders")
    with closing(simulator, Appliance(tributary, simulator, {"poll_frequency": 15})) as (_, appliance):
        appliance.wait_until_caught_up(600)
        time.sleep(15)
        before, began = cpu_seconds(appliance.process.pid), time.monotonic()
        time.sleep(60)
        cores = (cpu_seconds(appliance.process.pid) - before) / (time.monotonic() - began)
        rss = memory(appliance.process.pid, "VmRSS")
    print("\nNo-change rounds, 1,000 mailboxes of 15 folders, `poll_frequency` 15\n")
    row("CPU", "memory")
    row("--:", "--:")
    row(f"{cores:.3f} core", f"{rss:.0f} MiB")


def bench_large(tributary, folder):
    """Eight emails of 150 MB at once in a control group of 128 MiB."""
    group = pathlib.Path("/sys/fs/cgroup/memory/tributary-bench")
    version2 = pathlib.Path("/sys/fs/cgroup/tributary-bench")
    if (group.parent / "memory.limit_in_bytes").exists():
        limit, peak_file = "memory.limit_in_bytes", "memory.max_usage_in_bytes"
    else:
        group, limit, peak_file = version2, "memory.max", "memory.peak"
    group.mkdir(exist_ok=True)
    (group / limit).write_text(str(128 << 20))
    enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    simulator = Simulator(tributary, folder, "--mailboxes", 8, "--messages", 1, "--size", 150_000_000)
    try:
        with closing(simulator, Appliance(tributary, simulator, wrap=enter)) as (_, appliance):
            seconds, cpu = appliance.wait_until_caught_up(900)
            own = memory(appliance.process.pid, "VmHWM")
            peak = int((group / peak_file).read_text()) / (1 << 20)
            found = appliance.emails()
            time.sleep(0.5)
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
    print("\nEight emails of 150 MB at once under 128 MiB\n")
    row("emails", "seconds", "CPU s", "peak resident", "peak of the group, with page cache")
    row("--:", "--:", "--:", "--:", "--:")
    row(found, f"{seconds:.1f}", f"{cpu:.1f}", f"{own:.0f} MiB", f"{peak:.0f} MiB")
    if found != 8:
        sys.exit(f"{found} emails arrived instead of 8")


def bench_many(tributary, folder):
    """10,000 mailboxes, idle: memory."""
    simulator = Simulator(tributary, folder, "--mailboxes", 10_000, "--messages", 1, "--size", 2000, "--minimal-folders")
    with closing(simulator, Appliance(tributary, simulator, {"poll_frequency": 60})) as (_, appliance):
        appliance.wait_until_caught_up(900)
        time.sleep(5)
        rss = memory(appliance.process.pid, "VmRSS")
    print("\nIdle with 10,000 mailboxes of 15 folders\n")
    row("memory")
    row("--:")
    row(f"{rss:.0f} MiB")


def bench_platform(tributary, folder):
    """8,000 emails of 20 KB from a folder to the simulated platform, 8 uploads at a time."""
    count, token, results = 8_000, "benchmark", []
    simulator, mail = folder_of_emails(tributary, folder, count)
    python = python_with("bench-upload", "requests==2.32.5", "azure-storage-blob==12.27.1")

    def ours(endpoint):
        return measured([tributary, "replay", "--from", mail, "--reinfer-api-endpoint", endpoint],
                        env={"PATH": os.environ["PATH"], "REINFER_API_TOKEN": token}, stdout=subprocess.DEVNULL)

    def theirs(endpoint):
        return measured([python, HERE / "peer_upload.py", "platform", mail, endpoint, token, 80])

    for send in (ours, theirs):
        wanted = [part for name in buckets(simulator) for part in ("--bucket", name)]
        log = open(pathlib.Path(folder) / "platform.log", "w+")
        server = subprocess.Popen([tributary, "simulate", "platform", "--bind", "127.0.0.1:0", "--token", token,
                                   "--forget-bodies", *wanted], stdout=log, stderr=subprocess.STDOUT)
        try:
            results.append(send(address_in(log, server)))
        finally:
            server.terminate()
            server.wait(20)
    compare("Emails of 20 KB from a folder to the simulated platform", count, *results, "Python, requests, 8 threads")


def address_in(log, server):
    """The address that a server prints when it is ready."""
    deadline = time.monotonic() + 60
    while True:
        log.seek(0)
        found = re.search(r"https?://[0-9.]+:[0-9]+\S*", log.read())
        if found:
            return found.group(0).rstrip("`.,/") + "/"
        if server.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            sys.exit("the server did not start:\n" + log.read())
        time.sleep(0.05)


def bench_azure(tributary, folder):
    """2,000 emails of 20 KB, two blobs each, from a folder to Azurite, 8 uploads at a time, twice."""
    count = 2_000
    simulator, mail = folder_of_emails(tributary, folder, count)
    python = python_with("bench-upload", "requests==2.32.5", "azure-storage-blob==12.27.1")
    home = peers() / "azurite-bench"
    if not (home / "node_modules").exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "azurite@3.37.0"], cwd=home, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The account that every Azurite has; its key is public.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    connection = (f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};"
                  f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;")
    server = subprocess.Popen(
        [home / "node_modules/.bin/azurite-blob", "--silent", "--inMemoryPersistence", "--skipApiVersionCheck",
         "--blobPort", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    make = ("import sys,time\nfrom azure.storage.blob import ContainerClient\n"
            "for _ in range(100):\n  try:\n    ContainerClient.from_connection_string(*sys.argv[1:]).create_container(); break\n"
            "  except Exception as err:\n    time.sleep(0.1)\nelse: raise SystemExit(str(err))")

    def ours(container):
        return measured([tributary, "replay", "--from", mail,
                         "--private-file-prefix", f"az://devstoreaccount1/{container}"],
                        env={"PATH": os.environ["PATH"], "AZURE_STORAGE_CONNECTION_STRING": connection},
                        stdout=subprocess.DEVNULL)

    def theirs(container):
        return measured([python, HERE / "peer_upload.py", "azure", mail, connection, container])

    # Azurite is slow until it has compiled itself, and becomes slower with what it holds: who comes
    # first must not come last as well.
    turns = ((0, "warm", theirs), (1, "ours-1", ours), (2, "theirs-1", theirs), (2, "theirs-2", theirs),
             (1, "ours-2", ours))
    results = [[0, 0], [0, 0], [0, 0]]
    try:
        for who, name, send in turns:
            subprocess.run([python, "-c", make, connection, name], check=True)
            results[who] = [sum(both) for both in zip(results[who], send(name))]
    finally:
        # It does not end by itself while connections are kept.
        server.kill()
        server.wait(20)
    compare("Emails of 20 KB from a folder to Azurite, two blobs each", 2 * count, *results[1:],
            "Python, azure-storage-blob, 8 threads")


def main():
    tributary, *names = sys.argv[1:]
    known = {"sync": bench_sync, "graph": bench_graph, "idle": bench_idle, "large": bench_large, "many": bench_many,
             "platform": bench_platform, "azure": bench_azure}
    for name in names or known:
        if name not in known:
            sys.exit(f"unknown benchmark `{name}`; one of {', '.join(known)}")
        folder = tempfile.mkdtemp(prefix=f"tributary-bench-{name}-")
        try:
            known[name](tributary, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


main()
