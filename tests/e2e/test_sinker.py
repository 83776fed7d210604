"""The receiver itself, from outside: what every other end-to-end test relies on when it believes
sinker's answers and its log.

Method: raw sockets and a strict reader of answers written here, which shares no code with either
program. Each test starts its own sinker on a free loopback port; every wait is bounded.

The binary comes from HOOKLINE_BUILD_DIR, else from E2E_BUILD_DIR, which ctest sets, else from
build/ of the tree.
"""
import contextlib
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = (os.environ.get("HOOKLINE_BUILD_DIR") or os.environ.get("E2E_BUILD_DIR")
         or os.path.join(TREE, "build"))
SINKER = os.path.join(BUILD, "sinker")
WAIT_S = 30  # for things that must happen
QUIET_S = 0.3  # for things that must not

EMPTY_HASH = "2d06800538d394c2"  # XXH3 of nothing, from its specification
HELLO_HASH = "9555e8555c62dcfd"  # of "hello"


class Malformed(Exception):
    pass


class Answer:
    def __init__(self, status, fields, body, interim):
        self.status, self.fields, self.body, self.interim = status, fields, body, interim


class Client:
    """One connection; reads answers as delivery's framing rules say."""

    def __init__(self, address, narrow=False):
        host, port = address.rsplit(":", 1)
        self.sock = socket.socket(socket.AF_INET6 if host[0] == "[" else socket.AF_INET)
        if narrow:  # small segments keep the peer's send buffer small as well
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.sock.settimeout(WAIT_S)
        self.sock.connect((host.strip("[]"), int(port)))
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, path, body=None, method=None, fields=()):
        self.send(request(path, body, method, fields))

    def more(self):
        piece = self.sock.recv(1 << 18)
        self.kept += piece
        return bool(piece)

    def line(self):
        while b"\n" not in self.kept:
            if len(self.kept) > 65536:
                raise Malformed("a line over 64 KiB")
            if not self.more():
                raise Malformed("the head ends early")
        line, self.kept = self.kept.split(b"\n", 1)
        line = line[:-1] if line.endswith(b"\r") else line
        if b"\r" in line or b"\0" in line:
            raise Malformed("CR or NUL in the head")
        return line

    def exactly(self, count):
        while len(self.kept) < count:
            if not self.more():
                raise Malformed("the body ends early")
        data, self.kept = self.kept[:count], self.kept[count:]
        return data

    def head(self):
        while len(self.kept) < 7 and b"HTTP/1.".startswith(self.kept):
            if not self.more():
                raise Malformed("no answer")
        if not self.kept.startswith(b"HTTP/1."):
            raise Malformed("the protocol")
        found = re.fullmatch(rb"HTTP/1\.([01]) ([1-5]\d\d)( .*)?", self.line())
        if not found:
            raise Malformed("the status line")
        fields, size = {}, 0
        while True:
            line = self.line()
            size += len(line) + 2
            if size > 65536:
                raise Malformed("a head over 64 KiB")
            if not line:
                return int(found.group(2)), fields
            if line[:1] in b" \t":
                continue
            field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", line)
            if not field:
                raise Malformed(f"the field line {line!r}")
            fields.setdefault(field.group(1).lower(), []).append(field.group(2))

    def chunks(self):
        body = b""
        while True:
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})(;.*)?", self.line())
            if not size:
                raise Malformed("a chunk's size")
            count = int(size.group(1), 16)
            if count == 0:
                while self.line():
                    pass
                return body
            body += self.exactly(count)
            if self.exactly(2) != b"\r\n":
                raise Malformed("a chunk's end")

    def answer(self, to_head=False):
        interim = []
        while True:
            status, fields = self.head()
            if status == 101:
                raise Malformed("101")
            if status >= 200:
                break
            interim.append(status)
        lengths = set(fields.get(b"content-length", []))
        codings = fields.get(b"transfer-encoding", [])
        if codings and (lengths or codings != [b"chunked"]):
            raise Malformed("Transfer-Encoding")
        if len(lengths) > 1 or not all(re.fullmatch(rb"\d{1,18}", n) for n in lengths):
            raise Malformed("Content-Length")
        if to_head or status in (204, 304):
            body = b""
        elif codings:
            body = self.chunks()
        elif lengths:
            body = self.exactly(int(lengths.pop()))
        else:
            while self.more():
                pass
            body, self.kept = self.kept, b""
        return Answer(status, fields, body, interim)

    def ended(self):
        """Whether the peer has ended the connection, with nothing more to read."""
        try:
            return not self.kept and not self.more()
        except ConnectionResetError:
            return True

    def silent(self):
        """Whether nothing comes for a while, not even the end."""
        self.sock.settimeout(QUIET_S)
        try:
            return not self.more() and False
        except socket.timeout:
            return True
        finally:
            self.sock.settimeout(WAIT_S)


def request(path, body=None, method=None, fields=()):
    method = method or ("GET" if body is None else "POST")
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


class Sinker:
    def __init__(self, *options, listen=("127.0.0.1:0",), log=None, before=None):
        argv = [SINKER, *options]
        for text in listen:
            argv += ["--listen", text]
        if log:
            argv += ["--log", log]
        self.err = tempfile.TemporaryFile()
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=self.err, preexec_fn=before)
        self.said = None
        self.addresses = []
        for _ in listen:
            line = self.child.stdout.readline().decode()
            if not line.startswith("listening on "):
                self.stop()
                raise AssertionError(f"{argv} did not start: {self.said}")
            self.addresses.append(line[len("listening on "):].strip())
        self.address = self.addresses[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def client(self, narrow=False):
        return Client(self.address, narrow)

    def stop(self, number=signal.SIGTERM):
        """Ends it; returns its exit status. What it said is in self.said."""
        if self.said is None:
            self.child.send_signal(number)
            try:
                self.child.wait(WAIT_S)
            finally:
                self.child.kill()
                self.child.wait()
            self.child.stdout.close()
            self.err.seek(0)
            self.said = self.err.read().decode()
            self.err.close()
        return self.child.returncode


def run(*options):
    """For command lines that must end by themselves."""
    return subprocess.run([SINKER, *options], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=WAIT_S)


def read_log(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text and not text.endswith("\n"):
        raise AssertionError(f"the log's last line is torn: {text[-100:]!r}")
    return [json.loads(line) for line in text.splitlines()]


def names(group):
    """The NAMEs that --help lists for /bad or /odd."""
    text = run("--help").stdout
    found = re.search(rf"  /{group}/NAME .*\n((?: {{23}} .*\n)+)", text)
    return found.group(1).split()


class Base(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = os.path.join(folder.name, "log")

    def start(self, *options, **more):
        sinker = Sinker(*options, **more)
        self.addCleanup(sinker.stop)
        return sinker

    def logged(self, sinker):
        self.assertEqual(sinker.stop(), 0, sinker.said)
        return read_log(self.log)


class CommandLine(Base):
    def test_help_and_version(self):
        text = run("--help")
        self.assertEqual(text.returncode, 0)
        for word in ("--listen", "--shards", "--log", "--behave", "/hang/head", "garbage-after"):
            self.assertIn(word, text.stdout)
        self.assertTrue(all(len(line) <= 100 for line in text.stdout.splitlines()))
        self.assertRegex(run("--version").stdout, r"^sinker \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        here = ("--listen", "127.0.0.1:0")
        for options in [(), ("--listen", "nonsense"), ("--listen", "127.0.0.1"),
                        ("--listen", "127.0.0.1:65536"), ("--listen", "127.0.0.1:"),
                        ("--listen", "127.0.0.1:80x"), ("--listen", "localhost:80"),
                        ("--listen", "127.0.0.1:0-5"), ("--listen", "127.0.0.1:9-8"),
                        ("--listen", "127.0.0.9-127.0.0.1:80"), ("--listen", "::1:80"),
                        ("--listen", "127.0.0.1-:80"), ("--listen", "[::1]80"),
                        ("--listen", "[::g]:80"), ("--listen", "127.0.0.0-127.9.0.0:80"),
                        ("--listen", "127.0.0.0-127.0.10.0:1-100"),
                        here + ("--shards", "0"), here + ("--shards", "65"),
                        here + ("--shards", "two"), here + ("--shards", ""),
                        here + ("--behave", "nonsense"), here + ("--behave", "status/99"),
                        here + ("--behave", "status/600"), here + ("--behave", "status/503/more"),
                        here + ("--behave", "status"), here + ("--behave", "delay/5"),
                        here + ("--behave", "delay/25h"), here + ("--behave", "flaky/101"),
                        here + ("--behave", "close+"), here + ("--behave", "bad/none-such"),
                        here + ("--nonsense",), here + ("word",)]:
            with self.subTest(options=options):
                said = run(*options)
                self.assertEqual(said.returncode, 2, said)
                self.assertEqual(said.stdout, "")
                self.assertTrue(said.stderr.startswith(("sinker: ", SINKER + ": ")), said)
                self.assertIn("sinker --help", said.stderr)

    def test_addresses_that_cannot_be_had(self):
        with self.start() as sinker:
            said = run("--listen", sinker.address)
            self.assertEqual(said.returncode, 5)
            self.assertIn(f"cannot listen on {sinker.address}: Address already in use", said.stderr)
            said = run("--listen", "192.0.2.1:0")  # reserved for documentation: nobody's own
            self.assertEqual(said.returncode, 5)
            self.assertIn("192.0.2.1", said.stderr)
            self.assertEqual(len(said.stderr.splitlines()), 1)

    def test_log_that_cannot_be_opened(self):
        said = run("--listen", "127.0.0.1:0", "--log", self.log + "/none/such")
        self.assertEqual(said.returncode, 4)
        self.assertEqual(len(said.stderr.splitlines()), 1)
        self.assertIn("/none/such", said.stderr)

    def test_signals_end_it_with_a_summary(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            sinker = self.start()
            with sinker.client() as c:
                for path in ("/a", "/status/503", "/hang/head"):
                    c.ask(path)
                    if path != "/hang/head":
                        c.answer()
                self.assertTrue(c.silent())
                self.assertEqual(sinker.stop(number), 0)
            self.assertEqual(sinker.said, "sinker: 3 requests on 1 connections; "
                             "status 200: 1, 503: 1; no status: 1\n")


class Listening(Base):
    def check(self, address):
        with Client(address) as c:
            c.ask("/")
            self.assertEqual(c.answer().status, 200)

    def test_several_addresses(self):
        sinker = self.start(listen=("127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"))
        self.assertEqual(len(set(sinker.addresses)), 3)
        for address in sinker.addresses:
            self.check(address)

    def test_range_of_addresses_with_several_shards(self):
        sinker = self.start("--shards", "2", listen=("127.0.1.1-127.0.1.120:0",))
        found = re.fullmatch(r"127\.0\.1\.1-127\.0\.1\.120:(\d+)", sinker.address)
        self.assertTrue(found, sinker.address)
        for last in range(1, 121):
            self.check(f"127.0.1.{last}:{found.group(1)}")

    def test_whole_loopback_network(self):
        sinker = self.start("--shards", "2", listen=("127.0.0.0/8:0",))
        found = re.fullmatch(r"127\.0\.0\.0/8:(\d+)", sinker.address)
        self.assertTrue(found, sinker.address)
        for host in ("127.0.0.1", "127.1.2.3", "127.255.255.254"):
            self.check(f"{host}:{found.group(1)}")

    def test_range_of_ports(self):
        for _ in range(20):  # until nobody else has one of them
            first = random.randint(20000, 30000)
            text = f"127.0.0.1:{first}-{first + 9}"
            try:
                sinker = self.start(listen=(text,))
                break
            except AssertionError as why:
                self.assertIn("already in use", str(why))
        self.assertEqual(sinker.address, text)
        for port in range(first, first + 10):
            self.check(f"127.0.0.1:{port}")

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        sinker = self.start(listen=("[::1]:0",))
        self.assertRegex(sinker.address, r"^\[::1\]:\d+$")
        self.check(sinker.address)

    def test_soft_limit_of_descriptors_is_raised(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (24, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        sinker = self.start(before=limit)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(sinker.client()) for _ in range(40)]
            for c in clients:
                c.ask("/")
                self.assertEqual(c.answer().status, 200)

    def test_few_descriptors_are_survived(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
        sinker = self.start(before=limit)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(sinker.client()) for _ in range(40)]
            for c in clients[:5]:
                c.ask("/")
                self.assertEqual(c.answer().status, 200)
        # The first forty are gone: those that waited in the queue must be served now.
        self.check(sinker.address)
        self.assertEqual(sinker.stop(), 0)


class Requests(Base):
    def test_usual_answer_is_100_bytes(self):
        with self.start() as sinker, sinker.client() as c:
            for _ in range(3):
                c.ask("/hook", b"{}")
                while len(c.kept) < 100:
                    self.assertTrue(c.more())
                self.assertEqual(len(c.kept), 100)
                self.assertEqual(c.answer().body, b"200 OK from sinker\n")

    def test_head_in_single_bytes(self):
        with self.start() as sinker, sinker.client() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i, byte in enumerate(request("/status/404", b"hello")):
                c.send(bytes([byte]))
                if i % 20 == 0:
                    time.sleep(0.002)
            self.assertEqual(c.answer().status, 404)

    def test_pipelined(self):
        with self.start(log=self.log) as sinker, sinker.client() as c:
            paths = ["/a", "/status/503", "/delay/20ms", "/status/404", "/body/100000", "/x"] * 20
            c.send(b"".join(request(f"{p}?id={i}", b"hello") for i, p in enumerate(paths)))
            status = {"/status/503": 503, "/status/404": 404}
            for path in paths:
                answer = c.answer()
                self.assertEqual(answer.status, status.get(path, 200))
                if path == "/body/100000":
                    self.assertEqual(answer.body, b"x" * 100000)
            self.assertEqual([r["id"] for r in self.logged(sinker)],
                             [str(i) for i in range(len(paths))])

    def test_reader_that_falls_behind(self):
        """More answers than the sockets hold: what cannot be sent waits, and nothing is lost or
        changes places, neither while requests flow nor while one of them is delayed."""
        dice = random.Random(5)
        choices = ["/", "/status/503", "/status/x", "/status/x", "/status/418", "/body/777"]
        for delayed, narrow, count in ((0, False, 6000), (0, True, 1500), (60, True, 1500)):
            paths = []
            for _ in range(count):
                paths.append(dice.choice(choices))
                if delayed and len(paths) % delayed == 0:
                    paths.append("/delay/1ms+status/202")
            expected = {"/": (200, 19), "/status/503": (503, 36), "/status/418": (418, 23),
                        "/body/777": (200, 777), "/delay/1ms+status/202": (202, 25)}
            with (self.subTest(delayed=delayed, narrow=narrow), self.start() as sinker,
                  sinker.client(narrow) as c):
                whole = b"".join(map(request, paths))
                sender = threading.Thread(target=c.send, args=(whole,), daemon=True)
                sender.start()
                time.sleep(1)  # until both sockets are full
                for path in paths:
                    answer = c.answer()
                    if path == "/status/x":
                        self.assertEqual(answer.status, 404)
                        self.assertTrue(answer.body.endswith(b"early slow-bytes\n"))
                    else:
                        self.assertEqual((answer.status, len(answer.body)), expected[path])
                sender.join(WAIT_S)
                self.assertFalse(c.kept)

    def test_methods_and_versions(self):
        with self.start() as sinker:
            with sinker.client() as c:
                for method in ("GET", "PUT", "DELETE", "PATCH", "BREW"):
                    c.ask("/", method=method)
                    self.assertEqual(c.answer().status, 200)
                c.ask("/body/1000", method="HEAD")
                answer = c.answer(to_head=True)
                self.assertEqual(answer.fields[b"content-length"], [b"1000"])
                c.ask("http://other/status/202")
                self.assertEqual(c.answer().status, 202)
                c.ask("/", fields=[("Connection", "x, close")])
                self.assertEqual(c.answer().fields[b"connection"], [b"close"])
                self.assertTrue(c.ended())
            with sinker.client() as c:
                c.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
                self.assertEqual(c.answer().fields[b"connection"], [b"keep-alive"])
                self.assertEqual(c.answer().fields[b"connection"], [b"close"])
                self.assertTrue(c.ended())

    def test_malformed_requests(self):
        good = "POST / HTTP/1.1\r\nHost: a\r\n"
        bad = ["\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
               "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
               "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\n\r\n",
               good + "Host: b\r\n\r\n", good + "A : b\r\n\r\n", good + "A\r\n\r\n",
               good + "A: b\rc\r\n\r\n", good + "A: b\0c\r\n\r\n", good + " A: b\r\n\r\n",
               good + "Content-Length: +1\r\n\r\n", good + "Content-Length:\r\n\r\n",
               good + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
               good + "Transfer-Encoding: gzip\r\n\r\n",
               good + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\nz\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\n\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\n0\r\n\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\n1234567890abcdef\r\n",
               good + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n"]
        sinker = self.start(log=self.log)
        for text in bad:
            with self.subTest(text=text), sinker.client() as c:
                c.send(text.encode())
                self.assertEqual(c.answer().status, 400)
                self.assertTrue(c.ended())
        with sinker.client() as c:
            c.send((good + "A: " + "x" * 70000).encode())
            self.assertEqual(c.answer().status, 431)
        self.assertEqual(self.logged(sinker), [])
        self.assertIn(f"malformed: {len(bad) + 1}", sinker.said)

    def test_incomplete_requests_are_counted_not_logged(self):
        sinker = self.start(log=self.log)
        whole = request("/", b"hello")
        for cut in (10, len(whole) - 1):
            with sinker.client() as c:
                c.send(whole[:cut])
                c.sock.shutdown(socket.SHUT_WR)
                self.assertTrue(c.ended())
        with sinker.client() as c:
            c.send(whole[:-1])
            self.assertTrue(c.silent())
            self.assertEqual(self.logged(sinker), [])
        self.assertIn("incomplete: 3", sinker.said)

    def test_half_closed_sender_gets_its_answer(self):
        with self.start() as sinker:
            for path in ("/", "/delay/50ms"):
                with sinker.client() as c:
                    c.ask(path)
                    c.sock.shutdown(socket.SHUT_WR)
                    self.assertEqual(c.answer().status, 200)
                    self.assertTrue(c.ended())

    def test_expect_100_continue(self):
        with self.start() as sinker, sinker.client() as c:
            head = (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    b"Content-Length: 5\r\n\r\n")
            c.send(head)
            self.assertEqual(c.line(), b"HTTP/1.1 100 Continue")
            self.assertEqual(c.line(), b"")
            c.send(b"hello")
            self.assertEqual(c.answer().interim, [])
            c.send(head + b"hello")  # nothing to wait for
            self.assertEqual(c.answer().interim, [])


class Bodies(Base):
    def chunked(self, body, sizes):
        out, at, turn = b"", 0, 0
        while at < len(body):
            piece = body[at:at + sizes[turn % len(sizes)]]
            out += b"%x;ext=1\r\n%s\r\n" % (len(piece), piece)
            at += len(piece)
            turn += 1
        return out + b"0\r\nTrailer: x\r\n\r\n"

    def test_large_bodies_are_counted_and_hashed(self):
        """Each size by length, by chunks and in pieces: three ways to the same hash."""
        sinker = self.start(log=self.log)
        sizes = [0, 1, 239, 241, 65535, 131072, 131073, (16 << 20) + 7]
        noise = random.Random(7).randbytes(sizes[-1])
        chunk_head = b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        with sinker.client() as c:
            for size in sizes:
                body = noise[:size]
                c.ask("/b", body)
                c.answer()
                c.send(chunk_head + self.chunked(body, [1 << 20, 1, 4095]))
                c.answer()
                whole = request("/b", body)
                c.send(whole[:100])
                c.send(whole[100:70000])
                c.send(whole[70000:])
                c.answer()
        log = self.logged(sinker)
        self.assertEqual([r["body_bytes"] for r in log], [n for n in sizes for _ in range(3)])
        hashes = [r["body_hash"] for r in log]
        self.assertEqual(hashes[0::3], hashes[1::3])
        self.assertEqual(hashes[0::3], hashes[2::3])
        self.assertEqual(len(set(hashes)), len(sizes))
        self.assertEqual(hashes[0], EMPTY_HASH)

    def test_many_uploads_at_once(self):
        """No upload keeps the others from their turn, and each keeps its own id."""
        sinker = self.start(log=self.log)
        body = b"y" * (2 << 20)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(sinker.client()) for _ in range(8)]
            for i, c in enumerate(clients):
                whole = request(f"/up/{i}?id=u{i}", body)
                threading.Thread(target=c.send, args=(whole,), daemon=True).start()
            for c in clients:
                self.assertEqual(c.answer().status, 200)
        log = self.logged(sinker)
        self.assertEqual(sorted((r["id"], r["path"]) for r in log),
                         [(f"u{i}", f"/up/{i}") for i in range(8)])
        self.assertEqual({r["body_bytes"] for r in log}, {len(body)})


class Behaviours(Base):
    def one(self, path, sinker=None):
        sinker = sinker or self.start()
        with sinker.client() as c:
            c.ask(path, b"hello")
            return c.answer()

    def test_status(self):
        with self.start() as sinker, sinker.client() as c:
            for status in (200, 201, 204, 302, 304, 404, 408, 410, 429, 500, 503, 599):
                c.ask(f"/status/{status}/and/more?x=y", b"hello")
                self.assertEqual(c.answer().status, status)

    def test_delay(self):
        with self.start() as sinker, sinker.client() as slow, sinker.client() as fast:
            start = time.monotonic()
            slow.ask("/delay/400ms+status/503")
            for _ in range(10):
                fast.ask("/delay/1ms")
                fast.answer()
            self.assertFalse(slow.kept)
            self.assertEqual(slow.answer().status, 503)
            self.assertGreaterEqual(time.monotonic() - start, 0.4)

    def test_many_delays_come_in_their_order(self):
        """Timers of connections that are reset go from the middle of the others."""
        with self.start() as sinker, contextlib.ExitStack() as stack:
            dice = random.Random(3)
            start = time.monotonic()
            kept, gone = [], []
            for i in range(300):
                c = stack.enter_context(sinker.client())
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if i % 3:
                    c.ask(f"/delay/{dice.randrange(600, 1200)}s")
                    gone.append(c)
                else:
                    ms = dice.randrange(500, 1500)
                    c.ask(f"/delay/{ms}ms")
                    kept.append((ms, c))
            self.assertTrue(gone[-1].silent())
            dice.shuffle(gone)
            for c in gone[:150]:
                c.sock.close()
            for ms, c in sorted(kept, key=lambda pair: pair[0]):
                self.assertEqual(c.answer().status, 200)
                self.assertGreaterEqual(time.monotonic() - start, ms / 1000)
            self.assertTrue(all(c.silent() for c in gone[150:152]))

    def test_body(self):
        for size, text in ((0, "0"), (1, "1"), (2048, "2K"), (5 << 20, "5M")):
            self.assertEqual(self.one(f"/body/{text}+status/202").body, b"x" * size)

    def test_flaky(self):
        with self.start() as sinker, sinker.client() as c:
            def share(path, count=2000):
                c.send(request(path) * count)
                found = [c.answer().status for _ in range(count)]
                return {s: found.count(s) for s in set(found)}
            self.assertEqual(share("/flaky/0"), {200: 2000})
            self.assertEqual(share("/flaky/100+status/429"), {429: 2000})
            third = share("/flaky/30")
            self.assertEqual(set(third), {200, 503})
            self.assertTrue(500 < third[503] < 700, third)  # five standard deviations
            self.assertIn(404, share("/flaky/50.5+status/404"))

    def test_hang(self):
        with self.start(log=self.log) as sinker:
            with sinker.client() as c:
                c.ask("/hang/head", b"hello")
                self.assertTrue(c.silent())
            with sinker.client() as c:
                c.ask("/hang/body+body/1000+status/404", b"hello")
                self.assertEqual(c.head()[0], 404)
                self.assertEqual(c.exactly(500), b"x" * 500)
                self.assertTrue(c.silent())
            self.assertEqual([(r["path"], r["status"]) for r in self.logged(sinker)],
                             [("/hang/head", 0), ("/hang/body+body/1000+status/404", 404)])

    def test_hang_connect(self):
        for count, listen in ((1, "127.0.0.1:0"), (3, "127.0.2.1-127.0.2.3:0")):
            with self.start("--behave", "hang/connect", "--shards", "2",
                            listen=(listen,)) as sinker:
                port = int(sinker.address.rsplit(":", 1)[1])
                for i in range(count):
                    host = "127.0.0.1" if count == 1 else f"127.0.2.{i + 1}"
                    with self.assertRaises(socket.timeout):
                        socket.create_connection((host, port), timeout=QUIET_S)
                self.assertEqual(sinker.stop(), 0)

    def test_reset(self):
        with self.start(log=self.log) as sinker:
            with sinker.client() as c:
                c.ask("/reset/head", b"hello")
                with self.assertRaises(ConnectionResetError):
                    c.more()
            with sinker.client() as c:
                c.ask("/reset/body", b"hello")
                with self.assertRaises(ConnectionResetError):
                    while True:
                        self.assertTrue(c.more())
            self.assertEqual([r["status"] for r in self.logged(sinker)], [0, 200])

    def test_reset_after_accept(self):
        with self.start("--behave", "reset/after-accept") as sinker:
            for _ in range(3):
                with self.assertRaises(ConnectionError):
                    with sinker.client() as c:
                        c.more()
                        time.sleep(QUIET_S)
                        c.more()

    def test_close(self):
        with self.start() as sinker:
            with sinker.client() as c:
                c.ask("/close+status/503")
                answer = c.answer()
                self.assertEqual((answer.status, answer.fields[b"connection"]), (503, [b"close"]))
                self.assertTrue(c.ended())
            with sinker.client() as c:
                c.ask("/close-silent")
                self.assertNotIn(b"connection", c.answer().fields)
                self.assertTrue(c.ended())

    def test_unknown_names_are_explained(self):
        with self.start() as sinker, sinker.client() as c:
            for path in ("/status/abc", "/status/99", "/status/600", "/status", "/delay/1",
                         "/bad/none-such", "/hang/connect", "/reset/after-accept", "/flaky/-1",
                         "/status/503+nonsense", "/close+", "/body/2T", "/flaky/100.5"):
                c.ask(path)
                answer = c.answer()
                self.assertEqual(answer.status, 404, path)
                self.assertIn(b"/close-silent", answer.body)
            for path in ("/", "*", "/hook", "/a/status/503", "/statuses/503", "/closed"):
                c.ask(path)
                self.assertEqual(c.answer().status, 200, path)

    def test_behave_option_rules_over_the_path(self):
        with self.start("--behave", "delay/1ms+status/418") as sinker:
            self.assertEqual(self.one("/status/200", sinker).status, 418)


class Framing(Base):
    """Every /bad answer is refused by a strict reader, every /odd one is taken."""

    WHOLE = {"garbage-after", "two-answers"}  # complete, but then there is more

    def test_bad(self):
        listed = names("bad")
        self.assertGreater(len(listed), 30)
        with self.start() as sinker:
            for name in listed:
                with self.subTest(name=name), sinker.client() as c:
                    c.ask(f"/bad/{name}", b"hello")
                    if name in self.WHOLE:
                        self.assertEqual(c.answer().body, b"ok\n")
                        self.assertTrue(c.kept or c.more())
                        continue
                    c.sock.settimeout(2)  # waiting for bytes that never come is no refusal
                    with self.assertRaises(Malformed):
                        c.answer()

    def test_bad_says_what_its_name_says(self):
        part = {"http09": rb"\Aok\n\Z", "http2": rb"\A\0\0\0\x04", "bare-cr": rb"a\rb",
                "nul": rb"a\0b", "space-colon": rb"X-Odd : ", "cl-empty": rb"Content-Length:\r\n",
                "cl-signed": rb": \+3\r", "cl-twice": rb": 5\r\nContent-Length: 3\r",
                "cl-te": rb"chunked\r\nContent-Length", "te-unknown": rb"Encoding: gzip",
                "chunk-size": rb"\r\n\r\nzz\r\n", "chunk-end": rb"3\r\nok\nab0", "101": rb" 101 ",
                "big-head": rb"(?s)\AHTTP/1.1 200.{66000}", "short-body": rb": 30\r\n\r\nok\n\Z",
                "garbage-after": rb"\r\n\r\nok\ngarbage\Z", "no-answer": rb"\A\Z"}
        with self.start() as sinker:
            for name, pattern in part.items():
                with self.subTest(name=name), sinker.client() as c:
                    c.ask(f"/bad/{name}")
                    c.sock.shutdown(socket.SHUT_WR)
                    while c.more():
                        pass
                    self.assertRegex(c.kept, pattern)

    def test_odd(self):
        listed = names("odd")
        self.assertGreater(len(listed), 10)
        ends = {"http10", "close-delimited"}
        with self.start() as sinker:
            for name in listed:
                with self.subTest(name=name), sinker.client() as c:
                    for _ in range(1 if name in ends else 2):
                        c.ask(f"/odd/{name}", b"hello")
                        answer = c.answer()
                        self.assertEqual(answer.status, 200)
                        self.assertIn(answer.body, (b"ok\n", b"200 OK from sinker\n"))
                    if name in ends:
                        self.assertTrue(c.ended())
                    if name == "100-continue":
                        self.assertEqual(answer.interim, [100])

    def test_early_comes_before_the_body(self):
        sinker = self.start(log=self.log)
        with sinker.client() as c:
            whole = request("/odd/early+status/503?id=e", b"hello")
            for _ in range(2):
                c.send(whole[:-3])
                self.assertEqual(c.answer().status, 503)
                c.send(whole[-3:])
            c.ask("/?id=last")
            self.assertEqual(c.answer().status, 200)
        log = self.logged(sinker)
        self.assertEqual([(r["id"], r["attempt"], r["status"], r["body_hash"]) for r in log],
                         [("e", 1, 503, HELLO_HASH), ("e", 2, 503, HELLO_HASH),
                          ("last", 1, 200, EMPTY_HASH)])

    def test_slow_bytes_are_slow(self):
        with self.start() as sinker, sinker.client() as c:
            start = time.monotonic()
            c.ask("/odd/slow-bytes+status/503")
            self.assertEqual(c.answer().status, 503)
            self.assertGreater(time.monotonic() - start, 0.3)


class Log(Base):
    def test_fields(self):
        sinker = self.start(log=self.log)
        before = time.time()
        with sinker.client() as c:
            c.ask("/status/503/p?q=1", b"hello",
                  fields=[("webhook-id", "w1"), ("X-Hookline-Attempt", "4")])
            c.answer()
        record, = self.logged(sinker)
        stamp = record.pop("time")
        self.assertEqual(record, {"id": "w1", "path": "/status/503/p", "attempt": 1, "status": 503,
                                  "body_bytes": 5, "body_hash": HELLO_HASH, "sender_attempt": 4})
        found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})Z", stamp)
        seconds = time.mktime(time.strptime(found.group(1) + " UTC", "%Y-%m-%dT%H:%M:%S %Z"))
        seconds += -time.timezone + int(found.group(2)) / 1e6
        self.assertTrue(before - 1 <= seconds <= time.time() + 1, stamp)

    def test_where_the_id_comes_from(self):
        every = [("Idempotency-Key", '"k"'), ("X-Hookline-Id", "h"), ("webhook-id", "w")]
        sinker = self.start(log=self.log)
        with sinker.client() as c:
            for fields in (every, every[:2], every[:1], []):
                c.ask("/?a=b&id=q%201%zz&id=r", fields=fields)
                c.answer()
            for target in ("/", "/?identity=5&aid=6&id=", "/?id"):
                c.ask(target)
                c.answer()
        self.assertEqual([r["id"] for r in self.logged(sinker)],
                         ["w", "h", "k", "q 1%zz", None, None, None])

    def test_attempts_are_counted_for_each_id(self):
        sinker = self.start("--shards", "2", log=self.log)
        for turn in range(3):
            with sinker.client() as c:
                for i in range(3000):
                    c.ask(f"/?id=i{i}")
                    if i % 100 == 99:
                        for _ in range(100):
                            c.answer()
        seen = {}
        for r in self.logged(sinker):
            seen.setdefault(r["id"], []).append(r["attempt"])
        self.assertEqual(len(seen), 3000)
        self.assertEqual({tuple(sorted(v)) for v in seen.values()}, {(1, 2, 3)})

    def test_attempts_of_very_many_ids(self):
        """Enough for every part of the table to grow."""
        sinker = self.start(log=self.log)
        count, batch = 120000, 2000
        with sinker.client() as c:
            for turn in range(2):
                for first in range(0, count, batch):
                    c.send(b"".join(b"GET /?id=m%d HTTP/1.1\r\nHost: a\r\n\r\n" % i
                                    for i in range(first, first + batch)))
                    c.exactly(100 * batch)
        attempts = [r["attempt"] for r in self.logged(sinker)]
        self.assertEqual(attempts, [1] * count + [2] * count)

    def test_any_bytes_make_a_valid_line(self):
        sinker = self.start(log=self.log)
        with sinker.client() as c:
            for value in (b'a"b\\c', b"tab\there", "grün €".encode(), b"bad\xff\xc3", b"\x01\x7f"):
                c.send(b"GET /\x80 HTTP/1.1\r\nHost: a\r\nwebhook-id: " + value + b"\r\n\r\n")
                c.answer()
            c.ask("/" + '"' * 60000)
            c.answer()
        log = self.logged(sinker)
        self.assertEqual([r["id"] for r in log[:3]], ['a"b\\c', "tab\there", "grün €"])
        self.assertTrue(log[3]["id"].startswith("bad"))
        self.assertEqual(log[4]["id"], "\x01\x7f")
        self.assertEqual(log[5]["path"], "/" + '"' * 60000)

    def test_line_is_there_soon_and_before_a_hung_answer(self):
        sinker = self.start(log=self.log)
        with sinker.client() as c:
            c.ask("/hang/head?id=soon")
            until = time.monotonic() + WAIT_S
            while not os.path.getsize(self.log):
                self.assertLess(time.monotonic(), until)
                time.sleep(0.01)
            self.assertEqual(read_log(self.log)[0]["id"], "soon")

    def test_delayed_answer_is_logged_when_the_request_came(self):
        sinker = self.start(log=self.log)
        with sinker.client() as c:
            c.ask("/delay/60s+status/503?id=d")
            self.assertTrue(c.silent())
        self.assertEqual([(r["id"], r["status"]) for r in self.logged(sinker)], [("d", 503)])

    def test_file_is_emptied_first(self):
        with open(self.log, "w") as f:
            f.write("old\n")
        self.assertEqual(self.logged(self.start(log=self.log)), [])

    def test_full_disk(self):
        sinker = self.start(log="/dev/full")
        with sinker.client() as c:
            for _ in range(3):
                c.ask("/")
                self.assertEqual(c.answer().status, 200)
        self.assertEqual(sinker.stop(), 4)
        self.assertIn("cannot write the log: No space left on device", sinker.said)
        self.assertIn("3 requests are not in the log", sinker.said)

    def test_many_connections_and_shards_mix_no_lines(self):
        sinker = self.start("--shards", "4", log=self.log)
        count, each = 32, 500

        def send(which):
            with sinker.client() as c:
                for i in range(0, each, 50):
                    c.send(b"".join(request(f"/p{which}?id={which}-{i + k}", b"x" * which)
                                    for k in range(50)))
                    for _ in range(50):
                        c.answer()

        threads = [threading.Thread(target=send, args=(n,)) for n in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(WAIT_S)
        log = self.logged(sinker)
        self.assertEqual(sorted(r["id"] for r in log),
                         sorted(f"{n}-{i}" for n in range(count) for i in range(each)))
        for r in log:
            which = r["id"].split("-")[0]
            self.assertEqual((r["path"], r["body_bytes"]), (f"/p{which}", int(which)))
        self.assertIn(f"{count * each} requests on {count} connections", sinker.said)

    def test_connections_that_come_and_go(self):
        """Numbers of descriptors are used again at once, by other shards too."""
        sinker = self.start("--shards", "3", log=self.log)
        kinds = ["/", "/close", "/close-silent", "/reset/head", "/reset/body", "/hang/head",
                 "/delay/5ms", "/bad/short-body", "/body/300000", "/status/503"]

        def send(which):
            for i in range(60):
                with sinker.client() as c:
                    c.ask(f"{kinds[(which + i) % len(kinds)]}?id={which}-{i}", b"hello")
                    if i % 3 == 0:
                        linger = struct.pack("ii", 1, 0)
                        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    elif i % 3 == 1:
                        with contextlib.suppress(OSError):
                            c.sock.settimeout(0.02)
                            c.more()

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(WAIT_S)
        with sinker.client() as c:
            c.ask("/?id=end")
            self.assertEqual(c.answer().status, 200)
        log = self.logged(sinker)
        ids = [r["id"] for r in log]
        self.assertEqual(len(ids), len(set(ids)))
        # Requests whose sender waited a moment, or just left, came in; one may be lost to a reset.
        sure = {f"{n}-{i}" for n in range(8) for i in range(60) if i % 3 == 2} | {"end"}
        self.assertFalse(sure - set(ids))


if __name__ == "__main__":
    unittest.main()
