"""Reads a mailbox of the simulated Exchange with exchangelib and compares it with the truth.

Argument: a JSON file with the address of the server, how to sign in, and what is true.
"""

import hashlib
import json
import sys

from exchangelib import (
    DELEGATE,
    IMPERSONATION,
    NTLM,
    BASIC,
    OAUTH2,
    Account,
    Configuration,
    Credentials,
    EWSDateTime,
    Identity,
    OAuth2Credentials,
    UTC,
)
from exchangelib.folders import Messages

task = json.load(open(sys.argv[1]))


class LocalCredentials(OAuth2Credentials):
    """Takes its tokens from the simulated authority."""

    @property
    def token_url(self):
        return task["token_url"]


def account():
    if task["scheme"] == "oauth2":
        credentials = LocalCredentials(
            client_id=task["client_id"],
            client_secret=task["client_secret"],
            tenant_id=task["tenant"],
            identity=Identity(primary_smtp_address=task["mailbox"]),
        )
        kind = OAUTH2
    else:
        credentials = Credentials(task["user"], task["password"])
        # Left to exchangelib for NTLM: it asks the server what it offers.
        kind = {"basic": BASIC, "ntlm": None}[task["scheme"]]
    return Account(
        task["mailbox"],
        config=Configuration(
            service_endpoint=task["url"], credentials=credentials, auth_type=kind
        ),
        autodiscover=False,
        access_type=IMPERSONATION if task["scheme"] == "oauth2" else DELEGATE,
    )


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")
    print(f"{what}: {got if isinstance(got, int) else 'as expected'}")


account = account()
truth = task["truth"]

# Folders.
folders = {}
for folder in account.msg_folder_root.walk():
    path = folder.absolute.removeprefix(account.msg_folder_root.absolute).strip("/")
    folders[folder.id] = (path, folder)
names = {path for path, _ in folders.values()}
for item in truth:
    if item["folder_id"] not in folders:
        sys.exit(f"folder {item['folder']} was not found in {sorted(names)}")
print(f"folders: {len(folders)}")
check("inbox", account.inbox.id, task["inbox"])

# Every message of every mail folder, byte for byte.
seen = 0
for id in {item["folder_id"] for item in truth}:
    _, folder = folders[id]
    expected = {i["id"]: i for i in truth if i["folder_id"] == id}
    got = {}
    items = folder.all().only("subject", "mime_content", "datetime_received", "size")
    for item in items.order_by("datetime_received"):
        if isinstance(item, Exception):
            sys.exit(f"an item of {folder} is an error: {item!r}")
        got[item.id] = item
    check(f"items of {folder.name}", set(got), set(expected))
    for id, item in got.items():
        sha256 = hashlib.sha256(item.mime_content).hexdigest()
        if sha256 != expected[id]["sha256"]:
            sys.exit(f"the content of {expected[id]} is another one")
        if item.size != expected[id]["size"]:
            sys.exit(f"the size of {expected[id]} is {item.size}")
    times = [item.datetime_received for item in got.values()]
    check(f"order of {folder.name}", times == sorted(times), True)
    seen += len(got)
check("messages byte for byte", seen, len(truth))

# A restriction.
inbox = [i for i in truth if i["folder_id"] == task["inbox"]]
middle = sorted(i["received"] for i in inbox)[len(inbox) // 2]
since = EWSDateTime.fromtimestamp(middle, tz=UTC)
count = account.inbox.filter(datetime_received__gt=since).count()
check("restricted count", count, sum(i["received"] > middle for i in inbox))

# The first listing of a folder, and what changed since.
changes = list(account.inbox.sync_items(only_fields=["subject"], max_changes_returned=5))
check("kinds of changes", {kind for kind, _ in changes}, {"create"})
check("listed", {item.id for _, item in changes}, {i["id"] for i in inbox})
check("nothing new", list(account.inbox.sync_items(only_fields=["subject"])), [])
moved = changes[0][1]
old = moved.id
moved.move(to_folder=account.junk)
if moved.id == old:
    sys.exit("a moved item kept its id")
check("after a move", [k for k, _ in account.inbox.sync_items(only_fields=["subject"])], ["delete"])
listed = {item.id for _, item in account.junk.sync_items(only_fields=["subject"])}
check("moved to junk", moved.id in listed, True)

# The list of folders.
hierarchy = list(account.root.sync_hierarchy())
check("folders are created", {kind for kind, _ in hierarchy}, {"create"})
check("all folders are listed", set(folders) <= {folder.id for _, folder in hierarchy}, True)
new = Messages(parent=account.inbox, name="New/2026")
new.save()
new.name = "Renamed"
new.save()
changes = list(account.root.sync_hierarchy())
check("a new folder", [(kind, folder.name) for kind, folder in changes], [("create", "Renamed")])
new.delete()
check("a folder that is gone", [k for k, _ in account.root.sync_hierarchy()], ["delete"])
print("passed")
