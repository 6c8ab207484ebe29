"""How many emails `tributary serve` takes durably: prepared uploads over several connections.

Usage: platform_load.py TRIBUTARY [CONNECTIONS [SECONDS [EMAILS_OF_AN_UPLOAD [BYTES_OF_AN_EMAIL]]]]

Each connection is a process that sends uploads prepared beforehand, with ids of their own, one
after the other. The content is base64 of random bytes with a header, as an attachment is.
"""

import base64
import http.client
import json
import multiprocessing
import os
import pathlib
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


def email(number, size):
    text = base64.encodebytes(os.urandom(size * 3 // 4)).decode().replace("\n", "\r\n")
    return {
        "id": f"<{number}@example.com>",
        "mailbox": "abc@example.com",
        "timestamp": "2026-01-01T00:00:00Z",
        "mime_content": f"Subject: {number}\r\n\r\n{text[:size]}",
        "metadata": {"folder": ["Inbox"], "size": size, "received_at": "2026-01-01T00:00:00Z"},
    }


def upload(port, token, process, seconds, emails, size, start, results):
    template = json.dumps({"emails": [email(f"MARK.{n}", size) for n in range(emails)]}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start.wait()
    taken, slowest, number = 0, 0.0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # Another id is another email, and another subject makes another content of it.
        body = template.replace(b"MARK", f"{process}-{number}".encode())
        began = time.monotonic()
        connection.request("PUT", f"{BUCKET}/emails?no_charge=false", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        slowest = max(slowest, time.monotonic() - began)
        taken += emails
        number += 1
    results.put((taken, slowest))


def main():
    program = sys.argv[1]
    connections, seconds, emails, size = (
        int(given) for given in (sys.argv[2:] + ["8", "10", "80", "20000"][len(sys.argv) - 2 :])
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
        ask(port, token, "PUT", BUCKET, {"bucket": {"bucket_type": "emails"}})
        start, results = multiprocessing.Event(), multiprocessing.Queue()
        processes = [
            multiprocessing.Process(
                target=upload, args=(port, token, n, seconds, emails, size, start, results)
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
        f"{taken / took:.0f}/s, slowest upload {max(result[1] for result in all_results):.2f} s, "
        f"peak {peak} MiB, {stored:.0f} MB stored, "
        f"{used.ru_utime + used.ru_stime:.0f} CPU seconds of server and clients"
    )


main()
