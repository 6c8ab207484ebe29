"""An HTTPS server that signs clients in with NTLM, by pyspnego.

    ntlm_server.py CERTIFICATE KEY TOKEN_HEX USER PASSWORD

Requires the channel binding TOKEN_HEX, or none if it is "-". Prints its port, then serves until
its standard input ends. The body of an answer is the name of the user and the request's body.
"""

import base64
import http.server
import os
import ssl
import sys
import tempfile
import threading

import spnego
from spnego._ntlm_raw.messages import Authenticate, AvId
from spnego.channel_bindings import GssChannelBindings

certificate, key, token, user, password = sys.argv[1:]
bindings = None if token == "-" else GssChannelBindings(application_data=bytes.fromhex(token))

accounts = tempfile.NamedTemporaryFile("w", suffix=".txt")
accounts.write(f"{user}:{password}\n")
accounts.flush()
os.environ["NTLM_USER_FILE"] = accounts.name


def presents_binding(message):
    """pyspnego takes a binding of zeros for a right one; a strict server does not."""
    pairs = Authenticate.unpack(message).nt_challenge_response
    value = bytes(16)
    if pairs and len(pairs) > 24:
        from spnego._ntlm_raw.messages import NTClientChallengeV2

        target_info = NTClientChallengeV2.unpack(pairs[16:]).av_pairs
        value = target_info.get(AvId.channel_bindings, value)
    return value != bytes(16)


class Handler(http.server.BaseHTTPRequestHandler):
    """One object a connection, so its attributes are the state of the connection."""

    protocol_version = "HTTP/1.1"
    context = None
    user = None

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", challenge=None):
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Negotiate")
            self.send_header("WWW-Authenticate", "NTLM" + (" " + challenge if challenge else ""))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        header = self.headers.get("Authorization", "")
        if not header.startswith("NTLM "):
            if self.user is None:
                return self.answer(401)
            return self.answer(200, self.user.encode() + b" " + body)
        message = base64.b64decode(header[5:])
        self.user = None
        try:
            if message[8] == 1:
                self.context = spnego.server(protocol="ntlm", channel_bindings=bindings)
                challenge = base64.b64encode(self.context.step(message)).decode()
                return self.answer(401, challenge=challenge)
            self.context.step(message)
            if bindings and not presents_binding(message):
                return self.answer(401)
        except spnego.exceptions.SpnegoError:
            return self.answer(401)
        self.user = self.context.client_principal
        return self.answer(200, self.user.encode() + b" " + body)

    do_GET = do_POST


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
server.socket = tls.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
