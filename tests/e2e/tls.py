"""What the end-to-end tests of TLS share: certificates, and receivers that speak it.

The certificates are made by openssl (tests/certs/make), once for each process. The receivers are
none of ours: OpenSSL's s_server, Python's ssl module on OpenSSL, nginx and haproxy.
"""
import atexit
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import harness

HOST = "hook.example"
_folder = None


def certs():
    """The folder with the certificates."""
    global _folder
    if _folder is None:
        base = os.path.join(harness.BUILD, "e2e-work")
        os.makedirs(base, exist_ok=True)
        _folder = tempfile.mkdtemp(prefix="certs-", dir=base)
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
        subprocess.run([os.path.join(harness.TREE, "tests/certs/make"), _folder], check=True)
    return _folder


def cert(name):
    return os.path.join(certs(), name + ".pem")


def key(name):
    return os.path.join(certs(), name + ".key")


def options(port, trusted="trusted"):
    """So that HOST at this port is on this machine, and what the tests made is trusted."""
    return ["--resolve", f"{HOST}:{port}:127.0.0.1", "--ca-file", cert(trusted)]


class TlsReceiver(harness.RawReceiver):
    """A RawReceiver over TLS. goodbye: whether close_notify goes before the end."""

    def __init__(self, answer=lambda head, body: harness.RawReceiver.OK, name="good",
                 goodbye=True, setup=lambda context: None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert(name), key(name))
        setup(self.context)
        self.goodbye, self.handshakes, self.resumed, self.failures = goodbye, 0, 0, []
        super().__init__(answer)

    def wrap(self, peer):
        try:
            secure = self.context.wrap_socket(peer, server_side=True)
        except (ssl.SSLError, ConnectionError) as why:
            with self.lock:
                self.failures.append(str(why))
            raise OSError(str(why)) from why
        with self.lock:
            self.handshakes += 1
            self.resumed += secure.session_reused
        return _Saying(secure, self.goodbye)

    @property
    def url(self):
        return f"https://{HOST}:{self.port}"


class _Saying:
    """A socket as RawReceiver uses it; an answer that ends with None is followed by the end."""

    def __init__(self, secure, goodbye):
        self.secure, self.goodbye = secure, goodbye

    def recv(self, n):
        return self.secure.recv(n)

    def sendall(self, data):
        last = data.endswith(END)
        self.secure.sendall(data[:-len(END)] if last else data)
        if not last:
            return
        if self.goodbye:
            try:
                self.secure.unwrap()
            except (ssl.SSLError, OSError):
                pass
        self.secure.shutdown(socket.SHUT_RDWR)
        raise OSError("ended")


END = b"\0\0the connection ends here\0\0"


class OpensslServer:
    """openssl s_server: says on its standard output what it decrypted."""

    def __init__(self, folder, *args, name="good"):
        self.out = open(os.path.join(folder, "s_server.out"), "w+b")
        self.child = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert(name), "-cert_chain",
             cert(name), "-key", key(name), "-naccept", "100", *args],
            stdin=subprocess.PIPE, stdout=self.out, stderr=self.out)
        self.port = None
        harness.wait_until(self.started, "s_server listens")

    def text(self):
        with open(self.out.name, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def started(self):
        found = re.search(r"ACCEPT 127\.0\.0\.1:(\d+)", self.text())
        if found:
            self.port = int(found.group(1))
        if self.child.poll() is not None:
            raise AssertionError("s_server ended: " + self.text())
        return found

    @property
    def url(self):
        return f"https://{HOST}:{self.port}"

    def stop(self):
        harness.end(self.child)
        self.child.stdin.close()
        self.out.close()


class SilentReceiver:
    """Takes connections and never says a word; `first`: bytes that it begins with."""

    def __init__(self, first=b""):
        self.listener = harness.listener()
        self.port = self.listener.getsockname()[1]
        self.first, self.held = first, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(peer)
            if self.first:
                peer.sendall(self.first)
                time.sleep(0.2)

    @property
    def url(self):
        return f"https://{HOST}:{self.port}"

    def stop(self):
        self.listener.close()
        for peer in self.held:
            peer.close()
