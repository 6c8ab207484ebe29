"""The peer of the upload benchmarks: sends a folder of emails with eight threads of Python.

Usage: peer_upload.py platform FOLDER ENDPOINT TOKEN BATCH
       peer_upload.py azure FOLDER CONNECTION_STRING CONTAINER

`platform` puts batches with requests, as a script against the API would; `azure` uploads both
files of each email with Microsoft's azure-storage-blob. It sends what our program sends.
"""

import concurrent.futures
import json
import pathlib
import sys
import threading
import urllib.parse

WORKERS = 8


def emails(folder):
    for sidecar in sorted((folder / "data").rglob("*.json")):
        yield sidecar, sidecar.with_suffix(".eml")


def batches(folder, size):
    batch = []
    for pair in emails(folder):
        if batch and (len(batch) == size or batch[0][0].parent != pair[0].parent):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def bounded(work, items):
    """Runs `work` over `items` with all workers, without a queue of everything."""
    room = threading.Semaphore(2 * WORKERS)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        futures = []
        for item in items:
            room.acquire()
            future = pool.submit(work, item)
            future.add_done_callback(lambda _: room.release())
            futures.append(future)
        for future in futures:
            future.result()


def platform(folder, endpoint, token, batch):
    import requests
    local = threading.local()

    def put(pairs):
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.headers["Authorization"] = f"Bearer {token}"
        owner, bucket = pairs[0][0].relative_to(folder / "data").parts[:2]
        documents = []
        for sidecar, eml in pairs:
            known = json.loads(sidecar.read_text())
            documents.append({
                "id": known["id"], "mailbox": known["mailbox"], "timestamp": known["timestamp"],
                "metadata": known["metadata"],
                # The platform takes no NUL; what is not UTF-8 is lost here, our program keeps it.
                "mime_content": eml.read_bytes().decode("utf-8", errors="replace").replace("\0", ""),
            })
        name = urllib.parse.quote(f"{owner}/{bucket}", safe="")
        url = f"{endpoint.rstrip('/')}/api/_private/buckets/{name}/emails?no_charge=false"
        answer = local.session.put(url, json={"emails": documents}, timeout=240)
        if not answer.ok:
            raise SystemExit(f"{answer.status_code}: {answer.text[:500]}")

    bounded(put, batches(folder, int(batch)))


def azure(folder, connection, container):
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import ContainerClient
    client = ContainerClient.from_connection_string(connection, container)

    def put(pair):
        sidecar, eml = pair
        for path in (eml, sidecar):
            try:
                client.upload_blob(str(path.relative_to(folder)), path.read_bytes(), overwrite=False)
            except ResourceExistsError:
                pass

    bounded(put, emails(folder))


what, folder, *rest = sys.argv[1:]
{"platform": platform, "azure": azure}[what](pathlib.Path(folder), *rest)
