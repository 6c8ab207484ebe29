"""An idle fleet over Microsoft Graph and real sockets: what docs/scale.md computes, measured.

Usage: fleet.py TRIBUTARY [MAILBOXES [IDLE_POLL_LIMIT [MINUTES]]]

Starts a simulated Exchange, reads all of its mailboxes over its Graph face, waits until they are
idle, and compares the requests that are then made with the formulas.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) / 1024


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
        text = reply.read().decode()
    requests = {}
    for labels, value in re.findall(r"^tributary_source_requests_total\{(.*)\} (\S+)$", text, re.M):
        operation = re.search(r'op="([^"]*)"', labels).group(1)
        requests[operation] = requests.get(operation, 0) + float(value)
    return requests


def main():
    tributary, *numbers = sys.argv[1:]
    defaults = [10_000, 300, 10]
    mailboxes, limit, minutes = [int(number) for number in numbers] + defaults[len(numbers):]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-fleet-"))
    processes = []
    try:
        measure(tributary, mailboxes, limit, minutes, folder, processes)
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def measure(tributary, mailboxes, limit, minutes, folder, processes):
    written = folder / "simulator.json"
    processes.append(subprocess.Popen(
        [tributary, "simulate", "exchange", "--bind", "127.0.0.1:0", "--auth", "oauth2", "--mailboxes",
         str(mailboxes), "--messages", "1", "--size", "2000", "--minimal-folders",
         # Quiet for as long as the longest pause takes to be reached.
         "--newest-age", str(20 * limit), "--config-file", written],
        stdout=open(folder / "simulator.log", "w"), stderr=subprocess.STDOUT))
    deadline = time.monotonic() + 300
    settings = None
    while settings is None:
        if processes[0].poll() is not None or time.monotonic() > deadline:
            sys.exit("the simulator did not start:\n" + (folder / "simulator.log").read_text())
        time.sleep(0.1)
        try:
            settings = json.loads(written.read_text())
        except (OSError, ValueError):
            pass
    server = re.match(r"https?://[^/]+", settings.pop("ews_endpoint")).group(0)
    for key in ("auth_oauth_scope", "access_type", "auth_type"):
        settings.pop(key, None)
    settings |= {"microsoft_api": "graph", "graph_endpoint": server + "/v1.0", "idle_poll_limit": limit,
                 "max_concurrent_mailboxes": 32}
    (folder / "appliance.json").write_text(json.dumps(settings))
    port, began = free_port(), time.monotonic()
    log = folder / "appliance.log"
    appliance = subprocess.Popen(
        [tributary, "appliance", "--local-files-prefix", folder / "mail", "--log-format", "text",
         "--bind", f"127.0.0.1:{port}"],
        env={"PATH": os.environ["PATH"], "REINFER_EWS_CONFIG": str(folder / "appliance.json")},
        stdout=subprocess.DEVNULL, stderr=open(log, "w"))
    processes.append(appliance)
    while log.read_text().count("is up to date") < mailboxes:
        if appliance.poll() is not None or time.monotonic() - began > 3600:
            sys.exit("the appliance did not come to its end:\n" + log.read_text()[-3000:])
        time.sleep(1)
    first, cpu = time.monotonic() - began, cpu_seconds(appliance.pid)
    made = sum(metrics(port).values())
    print(f"first round: {first:.0f} s, {made:.0f} requests, {made / first:.0f} a second, "
          f"{1000 * cpu / made:.2f} ms of processor time each", flush=True)
    # The pause after the first round is drawn from the whole range; then all have their own time.
    time.sleep(limit)
    before, cpu, began = metrics(port), cpu_seconds(appliance.pid), time.monotonic()
    busiest, last = 0, sum(before.values())
    while time.monotonic() - began < minutes * 60:
        time.sleep(10)
        now = sum(metrics(port).values())
        busiest, last = max(busiest, now - last), now
    after, seconds = metrics(port), time.monotonic() - began
    cpu = cpu_seconds(appliance.pid) - cpu
    counted = {name: after[name] - before.get(name, 0) for name in after}
    total = sum(counted.values())
    surveys = max(counted.get("mailFolders", 0), 1)
    folders = round(counted.get("messages", 0) / surveys)
    computed = mailboxes * (1 + folders) * 1.1 / limit
    print(f"{mailboxes} idle mailboxes of {folders} folders, {seconds:.0f} s: {total / seconds:.1f} requests a second "
          f"({computed:.1f} computed), {busiest / 10:.1f} in the busiest ten seconds")
    print(f"{1000 * cpu / total:.2f} ms of processor time a request, {cpu / seconds:.3f} cores, "
          f"{memory(appliance.pid):.0f} MiB")
    print(counted)


main()
