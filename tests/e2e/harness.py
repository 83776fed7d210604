"""What the end-to-end tests share: folders, servers, runs of hookline, and the bookkeeping checks.

The programs under test come from E2E_BUILD_DIR (default: build/ of the tree). Every test has a
folder of its own below it, which stays only if the test fails. Servers listen on ports that the
kernel chose, on loopback only, and are ended by their process ids. Every wait is bounded; no test
depends on how fast the machine is, only on what happened.
"""
import collections
import errno
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("E2E_BUILD_DIR", os.path.join(TREE, "build"))
KIND = os.environ.get("E2E_BUILD_KIND", "release")
HOOKLINE = os.path.join(BUILD, "hookline")
SINKER = os.path.join(BUILD, "sinker")

SANITIZED = KIND in ("asan", "tsan")
RUN_SECONDS_MAX = 240 if SANITIZED else 120
LOOPBACK = ["--allow-net", "127.0.0.0/8", "--allow-net", "::1/128"]

OUTCOMES = ("delivered", "failed", "exhausted", "expired", "aborted")


def scaled(count):
    """Sanitizers make everything about ten times slower."""
    return count // 10 if SANITIZED else count


def find_program(name):
    """Servers live in sbin, which a user's PATH does not name."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def own_mounts():
    """The words that run a command with mounts of its own; None where that is not permitted (in a
    chroot, say)."""
    for words in (["unshare", "-rm"], ["unshare", "-m"]):
        probe = subprocess.run([*words, "true"], capture_output=True)
        if probe.returncode == 0:
            return words
    return None


def listener(address="127.0.0.1", backlog=128):
    """A listening socket on a free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, 0), family=family, backlog=backlog)


def dead_port():
    """A loopback port that refuses: bound, never listening. Keep the socket until the end."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    return s, s.getsockname()[1]


class Result:
    """One finished run of hookline."""

    def __init__(self, argv, status, out, err, peak_kib):
        self.argv, self.status, self.out, self.err = argv, status, out, err
        self.peak_kib = peak_kib

    @property
    def lines(self):
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def last(self):
        return self.lines[-1] if self.lines else ""

    def __str__(self):
        return (f"{' '.join(map(str, self.argv))}\nstatus {self.status}\n"
                f"stdout: {self.out[:2000]}\nstderr: {self.err[:6000]}")


class Process:
    """A started hookline whose output is collected; finish() waits for it."""

    def __init__(self, argv, folder, stdin=None, env=None, stdout=None, close_stdout=False,
                 limits=()):
        self.argv = argv
        self.files = [tempfile.TemporaryFile(dir=folder) for _ in range(2)]

        def before():
            for which, value in limits:
                resource.setrlimit(which, (value, value))
            if close_stdout:
                os.close(1)

        environ = dict(os.environ)
        environ.update(env or {})
        self.child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=self.files[0] if stdout is None else stdout, stderr=self.files[1],
            env=environ, preexec_fn=before if limits or close_stdout else None)
        self.peak_kib = 0

    def watch_memory(self):
        """The kernel's high-water mark; the last look is at most 20 ms before the end."""
        try:
            with open(f"/proc/{self.child.pid}/status") as f:
                found = re.search(r"VmHWM:\s+(\d+)", f.read())
            if found:
                self.peak_kib = max(self.peak_kib, int(found.group(1)))
        except OSError:
            pass

    def stderr_so_far(self):
        with open(f"/proc/{os.getpid()}/fd/{self.files[1].fileno()}", "rb") as f:
            return f.read().decode("utf-8", "replace")

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def finish(self, seconds=RUN_SECONDS_MAX):
        until = time.monotonic() + seconds
        while self.child.poll() is None:
            if time.monotonic() > until:
                said = self.stderr_so_far()
                self.kill()
                raise AssertionError(f"{self.argv} did not end within {seconds} s; it said: {said}")
            self.watch_memory()
            try:
                self.child.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        texts = []
        for f in self.files:
            f.seek(0)
            texts.append(f.read().decode("utf-8", "replace"))
            f.close()
        return Result(self.argv, self.child.returncode, texts[0], texts[1], self.peak_kib)


class Sinker:
    """The bundled receiver. addresses: what it listens on, in the order given."""

    def __init__(self, folder, listen=("127.0.0.1:0",), shards=1, behave=None, log=True,
                 name="sinker", options=()):
        self.log = os.path.join(folder, f"{name}.log") if log else None
        argv = [SINKER, "--shards", str(shards), *options]
        for at in listen:
            argv += ["--listen", at]
        if self.log:
            argv += ["--log", self.log]
        if behave:
            argv += ["--behave", behave]
        self.err = open(os.path.join(folder, f"{name}.err"), "w+")
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=self.err, text=True)
        self.addresses = []
        for _ in listen:
            line = self.child.stdout.readline()
            if not line.startswith("listening on "):
                self.stop()
                raise AssertionError(f"sinker did not start: {line!r} {open(self.err.name).read()}")
            self.addresses.append(line.split()[2])

    @property
    def url(self):
        return "http://" + self.addresses[0]

    def stop(self):
        """Ends it, which flushes its log; then its log as a list of objects."""
        end(self.child)
        self.child.stdout.close()
        self.err.close()
        if self.child.returncode not in (0, None):
            raise AssertionError(f"sinker ended with {self.child.returncode}: "
                                 + open(self.err.name).read())
        return read_ndjson(self.log) if self.log else []


def end(child, number=signal.SIGTERM, seconds=20):
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Nginx:
    """Debian's nginx on an inherited socket, so that no other process can take its port."""

    def __init__(self, folder, locations, http="", listen="", name="nginx"):
        self.root = os.path.join(folder, name)
        os.makedirs(self.root)
        with listener(backlog=4096) as s:
            self.port = s.getsockname()[1]
            config = os.path.join(self.root, "nginx.conf")
            with open(config, "w") as f:
                f.write(NGINX_CONF.format(root=self.root, port=self.port, http=http, listen=listen,
                                          locations=locations,
                                          user="user root;" if os.geteuid() == 0 else ""))
            env = dict(os.environ, NGINX=f"{s.fileno()};")
            self.child = subprocess.Popen(
                [find_program("nginx"), "-p", self.root, "-c", config, "-e", self.error_log],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=env, pass_fds=(s.fileno(),))
            wait_until(lambda: answers(self.port) or self.child.poll() is not None, "nginx answers")
        if self.child.poll() is not None:
            raise AssertionError("nginx ended: " + open(self.error_log).read())

    @property
    def error_log(self):
        return os.path.join(self.root, "error.log")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        """Ends it after its open connections; then the lines of its access log."""
        end(self.child, signal.SIGQUIT)
        with open(os.path.join(self.root, "access.log")) as f:
            return f.read().splitlines()


NGINX_CONF = """
daemon off;
worker_processes 1;
{user}
pid {root}/pid;
error_log {root}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    log_format ids '$arg_id $http_idempotency_key $request_method $status $connection_requests';
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port}{listen};
        location = /ready {{ return 204; }}
        {locations}
    }}
}}
"""


class Haproxy:
    """Debian's haproxy on an inherited socket; backend: lines for its only backend."""

    def __init__(self, folder, backend, defaults="", bind="", name="haproxy"):
        self.root = os.path.join(folder, name)
        os.makedirs(self.root)
        with listener(backlog=4096) as s:
            self.port = s.getsockname()[1]
            config = os.path.join(self.root, "haproxy.cfg")
            with open(config, "w") as f:
                f.write(HAPROXY_CONF.format(fd=s.fileno(), backend=backend, defaults=defaults,
                                            bind=bind))
            self.err = open(os.path.join(self.root, "err"), "w+")
            self.child = subprocess.Popen([find_program("haproxy"), "-db", "-f", config],
                                          stdin=subprocess.DEVNULL, stdout=self.err,
                                          stderr=self.err, pass_fds=(s.fileno(),))
            ready = accepts if bind else answers
            wait_until(lambda: ready(self.port) or self.child.poll() is not None,
                       "haproxy answers")
        if self.child.poll() is not None:
            raise AssertionError("haproxy ended: " + open(self.err.name).read())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        end(self.child)
        self.err.close()


HAPROXY_CONF = """
global
    maxconn 2000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    {defaults}
frontend in
    bind fd@{fd}{bind}
    http-request return status 204 if {{ path /ready }}
    default_backend out
backend out
    {backend}
"""


def answers(port):
    """Whether the server takes a request on /ready, with any answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.settimeout(1)
            s.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            return s.recv(16).startswith(b"HTTP/1.")
    except OSError:
        return False


def accepts(port):
    """Whether a server has taken the socket over: a connection to it is closed or answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.settimeout(1)
            s.sendall(b"no TLS\r\n\r\n")
            s.recv(16)
            return True
    except ConnectionResetError:
        return True
    except OSError:
        return False


def wait_until(ready, what, seconds=30):
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)


class RawReceiver:
    """Answers each request with the bytes that answer(head, body) gives and keeps what it read.

    answer may return None: the connection is then closed without an answer. One thread for each
    connection; requests: list of (head, body) bytes, in the order of their ends.
    """

    OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self, answer=lambda head, body: RawReceiver.OK, address="127.0.0.1"):
        self.answer, self.requests, self.lock = answer, [], threading.Lock()
        self.connections = 0
        self.listener = listener(address)
        self.port = self.listener.getsockname()[1]
        self.ended = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def wrap(self, peer):
        """For a receiver that speaks something else below HTTP."""
        return peer

    def serve(self, peer):
        kept = b""
        with peer:
            peer.settimeout(RUN_SECONDS_MAX)
            try:
                peer = self.wrap(peer)
                while not self.ended:
                    head, body, kept = self.read_one(peer, kept)
                    if head is None:
                        return
                    with self.lock:
                        self.requests.append((head, body))
                    said = self.answer(head, body)
                    if said is None:
                        return
                    peer.sendall(said)
            except OSError:
                return

    @staticmethod
    def read_one(peer, kept):
        while b"\r\n\r\n" not in kept:
            piece = peer.recv(65536)
            if not piece:
                return None, None, kept
            kept += piece
        head, rest = kept.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        need = int(length.group(1)) if length else 0
        while len(rest) < need:
            piece = peer.recv(65536)
            if not piece:
                return None, None, rest
            rest += piece
        return head, rest[:need], rest[need:]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.ended = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


def read_ndjson(path):
    """Every line must be a JSON object and end with a newline."""
    found = []
    with open(path, "rb") as f:
        for number, line in enumerate(f, 1):
            if not line.endswith(b"\n"):
                raise AssertionError(f"{path}:{number}: the last line has no end: {line[:200]!r}")
            try:
                value = json.loads(line)
            except ValueError as why:
                raise AssertionError(f"{path}:{number}: {why}: {line[:300]!r}") from None
            if not isinstance(value, dict):
                raise AssertionError(f"{path}:{number}: no object")
            found.append(value)
    return found


def write_lines(path, records):
    """Records as objects (written compactly) or as bytes (written as they are, and a newline)."""
    with open(path, "wb") as f:
        for record in records:
            if not isinstance(record, bytes):
                record = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
            f.write(record + b"\n")
    return path


SUMMARY_ROW = re.compile(r"^ {2,}(?:[+=] )?([a-z][a-z0-9_ ]*?) {2,}([\d][\d,.' _]*)(?:  .*)?$")


def summary(result):
    """The numbers of the account on stderr by their names."""
    found = {}
    for line in result.err.splitlines():
        row = SUMMARY_ROW.match(line)
        if row:
            found.setdefault(row.group(1).strip(), int(re.sub(r"\D", "", row.group(2))))
    return found


class Case(unittest.TestCase):
    """A test with a folder of its own; whatever it starts is ended with it."""

    maxDiff = 4000
    schedule = False  # see start()

    @classmethod

    def setUpClass(cls):
        for program in (HOOKLINE, SINKER):
            if not os.access(program, os.X_OK):
                raise AssertionError(f"{program} is not there: build first")

    def setUp(self):
        base = os.path.join(BUILD, "e2e-work")
        os.makedirs(base, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix=f"{self.id().split('.', 1)[-1]}-", dir=base)
        self.addCleanup(self.leave_folder)

    def leave_folder(self):
        outcome = getattr(self._outcome, "result", None)
        troubles = (outcome.failures + outcome.errors) if outcome else []
        if not any(test is self for test, _ in troubles) and self._outcome.success:
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sinker(self, *args, **more):
        s = Sinker(self.folder, *args, **more)
        self.addCleanup(end, s.child)
        return s

    def raw_receiver(self, *args, **more):
        r = RawReceiver(*args, **more)
        self.addCleanup(r.stop)
        return r

    def nginx(self, *args, **more):
        s = Nginx(self.folder, *args, **more)
        self.addCleanup(end, s.child)
        return s

    def haproxy(self, *args, **more):
        s = Haproxy(self.folder, *args, **more)
        self.addCleanup(end, s.child)
        return s

    # ---- running hookline ------------------------------------------------------------------

    def start(self, *args, stdin=None, prefix=(), env=None, allow=True, results=True,
              schedule=None, **more):
        """Starts `hookline send` with results in self.path("results"). Every attempt is a record's
        only one, whatever became of others to its host, unless the options say otherwise or
        schedule is true (here, or of the class)."""
        argv = list(prefix) + [HOOKLINE, "send"] + (LOOPBACK if allow else [])
        argv += ["--progress", "none"]
        if not (self.schedule if schedule is None else schedule):
            argv += ["--retries", "0", "--health-ratio", "100"]
        if results:
            argv += ["--results", self.path("results")]
        argv += [str(a) for a in args]
        p = Process(argv, self.folder, stdin=stdin, env=env, **more)
        self.addCleanup(p.kill)
        return p

    def send(self, *args, **more):
        """Runs `hookline send` to its end and checks that its books balance."""
        result = self.start(*args, **more).finish()
        self.check_sane(result)
        return result

    def send_records(self, records, *args, **more):
        path = write_lines(self.path("input"), records)
        return self.send(*args, path, **more)

    def check(self, *args, allow=True):
        """Runs `hookline check`."""
        argv = [HOOKLINE, "check"] + (LOOPBACK if allow else []) + [str(a) for a in args]
        p = Process(argv, self.folder)
        self.addCleanup(p.kill)
        result = p.finish()
        self.check_sane(result)
        return result

    def results(self):
        return read_ndjson(self.path("results"))

    # ---- what must always hold -------------------------------------------------------------

    def check_sane(self, result):
        """No crash, no sanitizer report, and a summary that adds up if there is one."""
        self.assertGreaterEqual(result.status, 0, f"killed by a signal\n{result}")
        self.assertNotIn(result.status, (66, 134, 139), str(result))
        for mark in ("Sanitizer", "runtime error:", "check failed", "CHECK", "This is a bug"):
            self.assertNotIn(mark, result.err, str(result))
        numbers = summary(result)
        if "accepted" in numbers:
            outcomes = sum(numbers.get(name, 0) for name in OUTCOMES)
            self.assertEqual(numbers["accepted"], outcomes + numbers["pending"], str(result))

    def check_books(self, result, records=None):
        """The summary and the results file tell the same story; returns the results by id."""
        numbers, lines = summary(result), self.results()
        self.assertIn("accepted", numbers, str(result))
        told = collections.Counter(line["outcome"] for line in lines)
        for name in OUTCOMES:
            self.assertEqual(told.get(name, 0), numbers.get(name, 0), f"{name}\n{result}")
        by_id = {line["id"]: line for line in lines}
        self.assertEqual(len(by_id), len(lines), "two outcomes for one id")
        self.assertEqual(len(lines) + numbers["pending"], numbers["accepted"], str(result))
        if records is not None:
            self.assertEqual(numbers["accepted"], records, str(result))
        return by_id

    def check_status(self, result, status, *words):
        """Exit status, and one last line on stderr that says what happened."""
        self.assertEqual(result.status, status, str(result))
        for word in words:
            self.assertIn(word.lower(), result.last.lower(), str(result))

    def check_one_line(self, result, status, *words):
        """A start-up failure: nothing but that one line."""
        self.check_status(result, status, *words)
        self.assertEqual(len(result.lines), 1, str(result))


def main():
    """Runs the tests of a file: names as arguments choose some, as unittest does."""
    unittest.main(verbosity=2, warnings="ignore")
