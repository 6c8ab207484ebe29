"""The peer of the sync benchmark: copies emails out of Exchange into files with exchangelib.

Usage: peer_exchangelib.py CONFIG FOLDER COUNT

It does what our program does for each email: list, fetch the MIME content, write it to a file and
bring the file to the disk.
"""

import hashlib
import json
import os
import pathlib
import sys
import urllib3

from exchangelib import Account, Configuration, Credentials, DELEGATE
from exchangelib.protocol import BaseProtocol, NoVerifyHTTPAdapter

urllib3.disable_warnings()
BaseProtocol.HTTP_ADAPTER_CLS = NoVerifyHTTPAdapter

config = json.loads(pathlib.Path(sys.argv[1]).read_text())
target = pathlib.Path(sys.argv[2])
left = int(sys.argv[3])
credentials = Credentials(config["auth_user"], config["auth_password"])

for address in config["mailboxes"]:
    account = Account(
        address, access_type=DELEGATE, autodiscover=False,
        config=Configuration(service_endpoint=config["ews_endpoint"], credentials=credentials, auth_type="basic"))
    folder = target / address
    folder.mkdir(parents=True)
    for place in account.msg_folder_root.walk():
        if left <= 0:
            break
        if (place.folder_class or "IPF.Note") != "IPF.Note" or place.total_count == 0:
            continue
        items = place.all().only("mime_content", "message_id", "datetime_received")
        for item in items[:left]:
            name = hashlib.sha256((item.message_id or item.id).encode()).hexdigest()[:32]
            with open(folder / f"{name}.eml", "wb") as file:
                file.write(item.mime_content)
                file.flush()
                os.fsync(file.fileno())
            left -= 1
            if left <= 0:
                break
    if left <= 0:
        break
