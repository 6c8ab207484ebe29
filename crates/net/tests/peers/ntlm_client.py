"""Signs in over plain HTTP with NTLM, by pyspnego.

    ntlm_client.py HOST PORT USER PASSWORD

Prints the last status, then whether pyspnego sent a message integrity code.
"""

import base64
import http.client
import sys

import spnego
from spnego._ntlm_raw.messages import Authenticate

host, port, user, password = sys.argv[1:]
context = spnego.client(user, password, hostname=host, service="HTTP", protocol="ntlm")
connection = http.client.HTTPConnection(host, int(port))
message, mic = context.step(), None
while True:
    header = {"Authorization": "NTLM " + base64.b64encode(message).decode()}
    connection.request("POST", "/", b"", header)
    reply = connection.getresponse()
    reply.read()
    challenge = (reply.getheader("WWW-Authenticate") or "").split(", ")[-1]
    if reply.status != 401 or not challenge.startswith("NTLM "):
        break
    message = context.step(base64.b64decode(challenge[5:]))
    mic = Authenticate.unpack(message).mic
print(reply.status, bool(mic))
