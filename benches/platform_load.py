"""How many emails `tributary serve` takes durably: prepared uploads over several connections.

Usage: platform_load.py [--source] [--scattered] TRIBUTARY [CONNECTIONS [SECONDS [EMAILS [BYTES]]]]

EMAILS are those of one upload, BYTES those of one email. With --source, a source is attached to the
bucket, and the time until the last email is a comment is told.

Each connection is a process that sends uploads prepared beforehand, with ids of their own, one
after the other. An email is a letter of 2 KB and an attachment of random bytes. Each connection
reads a mailbox from its oldest email to its newest, as appliances do, and each mailbox begins in
another year; --scattered spreads the emails of each upload over years, which no mailbox does.
"""

import base64
import datetime
import email.utils
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time

BUCKET = "/api/_private/buckets/load/mail"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, token, method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 200, said
    return said


def date_of(number, scattered):
    if scattered:
        return email.utils.formatdate(random.randrange(10**9, 17 * 10**8))
    return f"HOUR:{number // 60:02}:{number % 60:02} +0000"


def letter_of(number, size, date):
    words = "Please find the figures of this month in the attachment. ".split()
    letter = "\r\n".join(" ".join(random.choices(words, k=12)) for _ in range(30))
    head = (
        f"From: ann@example.com\r\nTo: bob@example.com\r\nSubject: {number}\r\n"
        f"Date: {date}\r\n"
        f"Message-ID: <{number}@example.com>\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        f"{letter}\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    rest = max(size - len(head) - 10, 0)
    text = base64.encodebytes(os.urandom(rest * 3 // 4)).decode().replace("\n", "\r\n")
    return {
        "id": f"<{number}@example.com>",
        "mailbox": "abc@example.com",
        "timestamp": "2026-01-01T00:00:00Z",
        "mime_content": f"{head}{text[:rest]}\r\n--b--\r\n",
        "metadata": {"folder": ["Inbox"], "size": size, "received_at": "2026-01-01T00:00:00Z"},
    }


def upload(port, token, process, seconds, emails, size, scattered, start, results):
    letters = [letter_of(f"MARK.{n}", size, date_of(n, scattered)) for n in range(emails)]
    template = json.dumps({"emails": letters}).encode()
    oldest = datetime.datetime(2001 + process, 1, 1)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start.wait()
    taken, slowest, number = 0, 0.0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # Another id is another email, and another subject makes another content of it.
        hour = oldest + datetime.timedelta(hours=number)
        body = template.replace(b"MARK", f"{process}-{number}".encode())
        body = body.replace(b"HOUR", hour.strftime("%a, %d %b %Y %H").encode())
        began = time.monotonic()
        connection.request("PUT", f"{BUCKET}/emails?no_charge=false", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        slowest = max(slowest, time.monotonic() - began)
        taken += emails
        number += 1
    results.put((taken, slowest))


def converted(port, token):
    path = "/api/_private/sources/load/letters/conversion"
    return ask(port, token, "GET", path, {})["conversion"]


def main():
    arguments = [own for own in sys.argv[1:] if not own.startswith("--")]
    with_source, scattered = "--source" in sys.argv, "--scattered" in sys.argv
    program = arguments[0]
    connections, seconds, emails, size = (
        int(given) for given in (arguments[1:] + ["8", "10", "80", "20000"][len(arguments) - 1 :])
    )
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        server = subprocess.Popen(
            [program, "serve", "--bind", f"127.0.0.1:{port}", "--data", data, "--debug-level", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        token = None
        for line in server.stdout:
            found = re.search("tri_[0-9a-f]{64}", line)
            token = found.group() if found else token
            if line.startswith("Try it"):
                break
        ask(port, token, "PUT", "/api/_private/projects/load", {"project": {}})
        made = ask(port, token, "PUT", BUCKET, {"bucket": {"bucket_type": "emails"}})
        if with_source:
            source = {"source": {"bucket_id": made["bucket"]["id"]}}
            ask(port, token, "PUT", "/api/v1/sources/load/letters", source)
        start, results = multiprocessing.Event(), multiprocessing.Queue()
        processes = [
            multiprocessing.Process(
                target=upload,
                args=(port, token, n, seconds, emails, size, scattered, start, results),
            )
            for n in range(connections)
        ]
        for process in processes:
            process.start()
        time.sleep(2)
        began = time.monotonic()
        start.set()
        all_results = [results.get() for _ in processes]
        took = time.monotonic() - began
        for process in processes:
            process.join()
        taken = sum(result[0] for result in all_results)
        comments = ""
        if with_source:
            behind = converted(port, token)["waiting"]
            while converted(port, token)["waiting"]:
                time.sleep(0.05)
            late = time.monotonic() - began - took
            path = "/api/v1/sources/load/letters/statistics"
            said = ask(port, token, "POST", path, {"comment_filter": {}})
            assert said["statistics"]["num_comments"] == taken, said
            comments = f"all of them comments {late:.1f} s later ({behind} were not yet), "
        said = ask(port, token, "GET", f"{BUCKET}/statistics", {})
        assert said["statistics"]["count"]["value"] == taken, said
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024
        server.terminate()
        server.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        stored = sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) / 1e6
    print(
        f"{taken} emails of {size} bytes in {took:.1f} s over {connections} connections: "
        f"{taken / took:.0f}/s, slowest upload {max(result[1] for result in all_results):.2f} s, {comments}"
        f"peak {peak} MiB, {stored:.0f} MB stored, "
        f"{used.ru_utime + used.ru_stime:.0f} CPU seconds of server and clients"
    )


if __name__ == "__main__":
    main()
