"""Goal: hookline try shows one attempt as it was: the bytes, the times, the verdict, no secret.

Method: what it prints is compared with what a receiver read, and with what the receiver is known
to do.
"""
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import harness

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Try(harness.Case):
    def attempt(self, what, *options, allow=True, **more):
        """Runs `hookline try`; a dict is a record on standard input."""
        argv = [harness.HOOKLINE, "try"] + (harness.LOOPBACK if allow else [])
        record = what if isinstance(what, (dict, bytes)) else None
        if isinstance(what, dict):
            record = json.dumps(what).encode()
        argv += [str(o) for o in options] + ["-" if record is not None else str(what)]
        stdin = None
        if record is not None:
            with open(self.path("record"), "wb") as f:
                f.write(record)
            stdin = open(self.path("record"), "rb")
            self.addCleanup(stdin.close)
        process = harness.Process(argv, self.folder, stdin=stdin, **more)
        self.addCleanup(process.kill)
        result = process.finish()
        for mark in ("Sanitizer", "runtime error:", "CHECK"):
            self.assertNotIn(mark, result.err, str(result))
        return result

    def marked(self, result, mark):
        return [line[2:] for line in result.out.split("\n") if line[:1] == mark]

    def times(self, result):
        """The rows of the last table: name to (milliseconds, note)."""
        units = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}
        rows = {}
        for name, value, note in re.findall(r"(?m)^  (\S.{13})  ( *\S+(?: \S+)?)(?:  (.*))?$",
                                            result.out.split("\n\n")[-2]):
            number = value.split()
            took = 0 if number == ["at", "once"] else float(number[0]) * units[number[1]]
            rows[name.strip()] = (took, note)
        return rows

    def test_what_went_out_and_came_back(self):
        answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\nX-A: b\r\n\r\nthank you\n\n!"
        receiver = self.raw_receiver(lambda head, body: answer)
        result = self.attempt({"id": "a", "url": f"{receiver.url}/p?q=1", "method": "PUT",
                               "headers": {"X-Own": "1"}, "body": {"a": "\u00e9"}})
        self.check_status(result, 0)
        (head, body), = receiver.requests
        wire = (head + b"\r\n\r\n" + body).decode().replace("\r\n", "\n").split("\n")
        self.assertEqual(self.marked(result, ">"), wire)
        self.assertEqual(self.marked(result, "<"),
                         answer.decode().replace("\r\n", "\n").split("\n"))
        self.assertTrue(result.out.endswith("\ndelivered: the receiver answered 202\n"), result.out)
        self.assertEqual(result.err, "")

    def test_a_url_is_a_post_without_a_body(self):
        receiver = self.raw_receiver()
        result = self.attempt(f"{receiver.url}/a b")
        self.check_status(result, 0)
        (head, body), = receiver.requests
        self.assertTrue(head.startswith(b"POST /a%20b HTTP/1.1\r\n"), head)
        self.assertEqual(body, b"")

    def test_times(self):
        """Each phase's, and all together; the receiver's own is the receiver's."""
        sinker = self.sinker()
        result = self.attempt(f"{sinker.url}/delay/300ms")
        self.check_status(result, 0)
        rows = self.times(result)
        self.assertEqual(list(rows), ["DNS", "connect", "send", "first byte", "rest of answer",
                                      "total"])
        self.assertEqual(rows["connect"][1], sinker.url.replace("http://", ""))
        self.assertTrue(295 <= rows["send"][0] + rows["first byte"][0] < 3000, rows)
        parts = sum(took for name, (took, _) in rows.items() if name != "total")
        self.assertAlmostEqual(parts, rows["total"][0], delta=0.02 * rows["total"][0])

    def test_rest_of_a_slow_answer(self):
        listener = harness.listener()
        self.addCleanup(listener.close)

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                time.sleep(0.3)
                peer.sendall(b"cd")
                peer.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        result = self.attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        self.check_status(result, 0)
        self.assertGreater(self.times(result)["rest of answer"][0], 250)
        self.assertEqual(self.marked(result, "<")[-1], "abcd")

    def test_verdicts(self):
        sinker = self.sinker()
        keeps, dead = harness.dead_port()
        self.addCleanup(keeps.close)
        for what, options, status, said in (
                (f"{sinker.url}/status/503", (), 1, "the receiver answered 503"),
                (f"{sinker.url}/status/404", (), 1, "would not try again"),
                (f"{sinker.url}/status/503", (), 1, "at most 5 times within 30m"),
                (f"{sinker.url}/hang/head", ("--timeout", "200ms"), 1, "may have got the request"),
                (f"{sinker.url}/reset/head", (), 1, "failed: "),
                (f"http://127.0.0.1:{dead}/", (), 1, "Nothing of the request reached"),
                (f"http://127.0.0.1:{dead}/", (), 1, "within 1d"),
                ("http://10.0.0.1/", (), 1, "10.0.0.1: private 10.0.0.0/8 (RFC 1918)"),
        ):
            result = self.attempt(what, *options)
            self.check_status(result, status)
            self.assertIn(said, result.out, what)
        self.assertEqual(self.marked(self.attempt("http://10.0.0.1/"), ">"), [])

    def name_server(self, address, wait):
        """Answers each question for an A record with the address (None: no such name)."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve():
            while True:
                try:
                    asked, peer = server.recvfrom(4096)
                except OSError:
                    return
                end = asked.index(b"\0", 12) + 5
                has = address is not None and asked[end - 4:end - 2] == b"\0\1"
                head = asked[:2] + (b"\x85\x80" if address is not None else b"\x85\x83")
                answer = head + b"\0\1" + (b"\0\1" if has else b"\0\0") + b"\0" * 4 + asked[12:end]
                if has:
                    answer += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
                time.sleep(wait)
                server.sendto(answer, peer)

        threading.Thread(target=serve, daemon=True).start()
        return "127.0.0.1:%d" % server.getsockname()[1]

    def test_names(self):
        receiver = self.raw_receiver()
        url = f"http://name.example:{receiver.port}/"
        result = self.attempt(url, "--dns-server", self.name_server("127.0.0.1", 0.1))
        self.check_status(result, 0)
        rows = self.times(result)
        self.assertGreater(rows["DNS"][0], 95)
        self.assertEqual(rows["connect"][1], f"127.0.0.1:{receiver.port}")
        self.assertIn(f"> Host: name.example:{receiver.port}\n", result.out)
        result = self.attempt(url, "--dns-server", self.name_server(None, 0))
        self.check_status(result, 1)
        self.assertIn("failed: dns", result.out)
        self.assertEqual(self.times(result)["DNS"][1], "and there it ended")
        result = self.attempt(url, "--dns-server", self.name_server("10.0.0.1", 0))
        self.check_status(result, 1)
        self.assertIn("10.0.0.1: private 10.0.0.0/8 (RFC 1918)", result.out)

    def tls_server(self, name):
        """A server with one of the certificates of tests/certs/make that answers 200."""
        if not os.path.exists(self.path("ca.pem")):
            make = os.path.join(harness.TREE, "tests/certs/make")
            subprocess.run([make, self.folder], check=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(name + ".pem"), self.path(name + ".key"))
        listener = harness.listener()
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(peer, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(harness.RawReceiver.OK)
                        secured.recv(1)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[1]

    def attempt_tls(self, name, *options):
        port = self.tls_server(name)
        return self.attempt(f"https://hook.example:{port}/", "--ca-file", self.path("ca.pem"),
                            "--resolve", f"hook.example:{port}:127.0.0.1", *options)

    def test_tls(self):
        """Version, suite, and the certificates that the receiver showed, its own first."""
        result = self.attempt_tls("chain")
        self.check_status(result, 0)
        self.assertRegex(result.out, r"(?m)^  TLS  +TLSv1\.3 TLS\S+$")
        self.assertEqual(re.findall(r"(?m)^    (subject|issuer) +(.*)$", result.out),
                         [("subject", "CN=hook.example"),
                          ("issuer", "CN=tests intermediate, O=tests"),
                          ("subject", "CN=tests intermediate, O=tests"),
                          ("issuer", "CN=tests CA, O=tests")])
        self.assertIn("\n    valid     2020-01-01T00:00:00Z to 2049-12-31T00:00:00Z\n", result.out)
        self.assertIn("\n    names     hook.example, *.wild.example, 127.0.0.1, ::1\n", result.out)
        self.assertEqual(list(self.times(result))[:3], ["DNS", "connect", "TLS"])
        self.assertTrue(result.out.endswith("delivered: the receiver answered 200\n"))

    def test_tls_refused(self):
        """What was wrong with it, and the certificate to look at."""
        for name, said in (("expired", "expired"), ("self-signed", "self-signed"),
                           ("chain-missing", "not signed by a trusted authority")):
            result = self.attempt_tls(name)
            self.check_status(result, 1)
            self.assertIn("failed: tls_certificate: ", result.out)
            self.assertIn(said, result.out.split("failed: ")[1])
            self.assertIn("\n    subject   CN=hook.example", result.out)
            self.assertIn("Nothing of the request reached the receiver.", result.out)
            self.assertEqual(self.times(result)["TLS"][1], "and there it ended")

    def test_tls_unverified(self):
        """Works and says so loudly; a certificate that nobody looked at is not shown."""
        result = self.attempt_tls("expired", "--insecure")
        self.check_status(result, 0)
        self.assertIn("WARNING: --insecure", result.err)
        self.assertNotIn("certificate 1", result.out)

    def test_the_phase_it_failed_in(self):
        sinker = self.sinker()
        keeps, dead = harness.dead_port()
        self.addCleanup(keeps.close)
        for what, phase in ((f"http://127.0.0.1:{dead}/", "connect"),
                            (f"{sinker.url}/hang/head", "first byte"),
                            (f"{sinker.url}/hang/body", "rest of answer")):
            rows = self.times(self.attempt(what, "--timeout", "200ms"))
            self.assertEqual([name for name, row in rows.items() if "ended" in row[1]], [phase])

    def test_secrets(self):
        """Masked in the request, and in an answer that gives them back."""
        receiver = self.raw_receiver(lambda head, body: b"HTTP/1.1 200 OK\r\nX-Got: %s\r\n"
                                     b"Content-Length: %d\r\n\r\n%s" % (
                                         head.split(b"uthorization: ")[1].split(b"\r\n")[0],
                                         len(head + body), head + body))
        at = receiver.url.replace("http://", "")
        result = self.attempt({"url": f"http://user:passw0rd@{at}/?token=t0ken-value&a=1",
                               "headers": {"Cookie": "session=c00kie", "X-Api-Key": "k3y-value"},
                               "body": {"pin": "p1n-value"}},
                              "--redact", "token,pin", "--redact", "x-api-key",
                              env={"HOOKLINE_SIGN_SECRET": SECRET})
        self.check_status(result, 0)
        head, _ = receiver.requests[0]
        signature = head.split(b"webhook-signature: v1,")[1].split(b"\r\n")[0].decode()
        for secret in ("passw0rd", "dXNlcjpwYXNzdzByZA", "t0ken-value", "c00kie", "k3y-value",
                       "p1n-value", signature, SECRET[6:]):
            self.assertNotIn(secret, result.out + result.err)
        self.assertIn("> POST /?token=[redacted]&a=1 HTTP/1.1\n", result.out)
        self.assertIn("> webhook-signature: [redacted]\n", result.out)
        self.assertRegex(result.out, r"> webhook-timestamp: \d{10}\n")

    def test_an_answer_does_nothing_to_the_terminal(self):
        body = b"a\x1b[2Jb\x00c\x07\xc2\x9b31md\x9be\x7f\tf\n\xc3\xa9"
        receiver = self.raw_receiver(lambda head, _: b"HTTP/1.1 200 OK\r\nX-A: \x1b[31m\r\n"
                                     b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        result = self.attempt(f"{receiver.url}/")
        lines = self.marked(result, "<")
        self.assertEqual(lines[-2:],
                         ["a\\x1b[2Jb\\x00c\\x07\\xc2\\x9b31md\\x9be\\x7f\tf", "\u00e9"])
        self.assertNotIn("\x1b", result.out)

    def test_much_is_cut(self):
        receiver = self.raw_receiver(lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 50000"
                                     b"\r\n\r\n" + b"y" * 50000)
        result = self.attempt({"url": f"{receiver.url}/", "body": "x" * 100000})
        self.check_status(result, 0)
        self.assertEqual(receiver.requests[0][1], b"x" * 100000)
        self.assertIn("> ... and 95904 bytes more\n", result.out)
        self.assertIn("< ... and 45904 bytes more\n", result.out)
        self.assertLess(len(result.out), 10000)

    def test_input(self):
        receiver = self.raw_receiver()
        path = self.path("records")
        with open(path, "w") as f:
            f.write('\n \r\n{"url":"%s/first"}\n{"url":"%s/second"}\n' % ((receiver.url,) * 2))
        result = self.attempt(path)
        self.check_status(result, 0)
        self.assertIn("only the first record", result.err)
        self.assertEqual(len(receiver.requests), 1)
        self.assertIn(b"/first", receiver.requests[0][0])
        for what, said in ((b"", "holds no record"), (b"\n\n", "holds no record"),
                           (b'\n\n{"url":1}', "standard input:3:8: rejected"),
                           (b'{"url":"http://h/","body":"%s"}' % (b"x" * 2000000), "--max-record")):
            result = self.attempt(what)
            self.check_status(result, 3)
            self.assertIn(said, result.err)
            self.assertEqual(result.out, "")
        result = self.attempt(self.path("none"))
        self.check_status(result, 3)
        self.assertIn("No such file", result.err)
        result = self.attempt("http://127.0.0.1:0/")
        self.check_status(result, 3)

    def test_a_record_of_later_is_sent_now(self):
        receiver = self.raw_receiver()
        result = self.attempt({"url": receiver.url, "not_before": "2199-01-01T00:00:00Z"})
        self.check_status(result, 0)

    def test_usage(self):
        done = subprocess.run([harness.HOOKLINE, "try"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("name what to send", done.stderr)
        done = subprocess.run([harness.HOOKLINE, "try", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        for word in ("first byte", "Examples", "Exit status", "--sign-secret-file", "--timeout"):
            self.assertIn(word, done.stdout)
        self.assertNotIn("--results", done.stdout)


if __name__ == "__main__":
    harness.main()
