"""Goal: receivers with TLS are served as those without: every record once, over kept connections
that are resumed when they were closed; and nothing is sent to one that does not prove who it is,
with a detail that says what was wrong.

Method: receivers that nobody here wrote (nginx, haproxy, openssl s_server, Python's ssl), with
certificates made for each run; the servers' own logs and what they decrypted are compared with the
results.
"""
import collections
import json
import ssl
import unittest

import harness
import tls
from harness import scaled, summary


class TlsCase(harness.Case):
    def secure(self, *args, **more):
        receiver = tls.TlsReceiver(*args, **more)
        self.addCleanup(receiver.stop)
        return receiver

    def records(self, url, count):
        return [{"id": f"r{i}", "url": f"{url}/hook?id=r{i}",
                 "body": {"n": i, "pad": "x" * (i % 300)}} for i in range(count)]

    def send_to(self, receiver, records, *more, trusted="trusted"):
        return self.send_records(records, *tls.options(receiver.port, trusted), "--retries", "0",
                                 *more)


@unittest.skipUnless(harness.find_program("nginx"), "nginx is not installed")
class NginxTls(TlsCase):
    def start_nginx(self, name="good", http="", versions="TLSv1.2 TLSv1.3"):
        root = self.path("nginx")
        nginx = self.nginx(
            f"access_log {root}/access.log tls;\n"
            f"location / {{ return 200 'ok'; }}", listen=" ssl",
            http=f"log_format tls '$arg_id $ssl_protocol $ssl_session_reused $connection';\n"
                 f"ssl_certificate {tls.cert(name)};\nssl_certificate_key {tls.key(name)};\n"
                 f"ssl_protocols {versions};\n{http}")
        return nginx

    def run_through(self, count, *options, **how):
        nginx = self.start_nginx(**how)
        result = self.send_to(nginx, self.records(f"https://{tls.HOST}:{nginx.port}", count),
                              "--shards", "2", *options)
        log = [line.split() for line in nginx.stop() if line.split()[0] != "-"]
        by_id = self.check_books(result, count)
        self.check_status(result, 0)
        got = collections.Counter(line[0] for line in log)
        self.assertEqual(set(got), set(by_id))
        self.assertEqual({i: n for i, n in got.items() if n != 1}, {}, "sent more than once")
        return result, log

    def test_every_record_once(self):
        for name in ("good", "good-rsa"):
            for version in ("TLSv1.2", "TLSv1.3"):
                with self.subTest(name=name, version=version):
                    self.setUp()
                    result, log = self.run_through(scaled(5000), name=name, versions=version)
                    self.assertEqual({line[1] for line in log}, {version})

    def test_reconnections_are_resumed(self):
        """nginx closes each connection after 20 requests: of all but the first few handshakes
        nearly every one is a short one, in each version, whichever shard makes it."""
        for version in ("TLSv1.2", "TLSv1.3"):
            with self.subTest(version=version):
                self.setUp()
                result, log = self.run_through(scaled(20000), "--host-connections", "8",
                                               http="keepalive_requests 20;", versions=version)
                numbers = summary(result)
                self.assertGreaterEqual(numbers["tls handshakes"], scaled(20000) // 20)
                fresh = numbers["tls handshakes"] - numbers["tls resumed"]
                self.assertLessEqual(fresh, 8 + numbers["tls handshakes"] // 100)
                told = {line[3]: line[2] for line in log}
                self.assertEqual(sum(1 for r in told.values() if r == "."), fresh, "nginx counts")

    def test_plain_http_to_an_https_port_and_back(self):
        nginx = self.start_nginx()
        result = self.send_to(nginx, [{"id": "a", "url": f"http://{tls.HOST}:{nginx.port}/"}])
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["outcome"], told["status"]), ("failed", 400))
        plain = self.raw_receiver()
        result = self.send_to(plain, [{"id": "a", "url": f"https://{tls.HOST}:{plain.port}/"}],
                              "--timeout", "2s")
        told = self.check_books(result, 1)["a"]
        self.assertIn(told["error"], ("tls_handshake", "timeout"))
        self.assertEqual(told["sent"], "no")


@unittest.skipUnless(harness.find_program("haproxy"), "haproxy is not installed")
class HaproxyTls(TlsCase):
    def test_every_record_once(self):
        both = self.path("both.pem")
        with open(both, "w") as out:
            for part in (tls.cert("chain"), tls.key("chain")):
                with open(part) as f:
                    out.write(f.read())
        for version in ("TLSv1.2", "TLSv1.3"):
            with self.subTest(version=version):
                sinker = self.sinker(name=f"sinker-{version}")
                proxy = self.haproxy(
                    f"server one {sinker.addresses[0]}", name=f"haproxy-{version}",
                    bind=f" ssl crt {both} alpn h2,http/1.1 ssl-min-ver {version} "
                         f"ssl-max-ver {version}")
                count = scaled(5000)
                result = self.send_to(
                    proxy, self.records(f"https://{tls.HOST}:{proxy.port}", count))
                self.check_status(result, 0)
                by_id = self.check_books(result, count)
                proxy.stop()
                got = collections.Counter(e["id"] for e in sinker.stop())
                self.assertEqual(set(got), set(by_id))
                self.assertEqual([n for n in got.values() if n != 1], [])


class SinkerTls(TlsCase):
    def start_sinker(self, **more):
        pair = f"{tls.cert('good')},{tls.key('good')}"
        sinker = self.sinker(options=("--tls", pair), **more)
        sinker.port = int(sinker.addresses[0].rsplit(":", 1)[1])
        return sinker

    def test_every_record_once(self):
        sinker = self.start_sinker(shards=2)
        count = scaled(10000)
        result = self.send_to(sinker, self.records(f"https://{tls.HOST}:{sinker.port}", count),
                              "--shards", "2")
        self.check_status(result, 0)
        by_id = self.check_books(result, count)
        got = collections.Counter(e["id"] for e in sinker.stop())
        self.assertEqual(set(got), set(by_id))
        self.assertEqual([n for n in got.values() if n != 1], [])

    def test_closed_connections_are_resumed(self):
        sinker = self.start_sinker(behave="close")
        count = scaled(1000)
        result = self.send_to(sinker, self.records(f"https://{tls.HOST}:{sinker.port}", count),
                              "--host-connections", "4", "--shards", "1")
        self.check_status(result, 0)
        numbers = summary(result)
        self.assertEqual(numbers["tls handshakes"], count)
        self.assertGreaterEqual(numbers["tls resumed"], count - 20)

    def test_large_requests(self):
        sinker = self.start_sinker()
        url = f"https://{tls.HOST}:{sinker.port}/"
        result = self.send_to(sinker, [{"id": f"r{i}", "url": url, "body": "x" * 200000}
                                       for i in range(20)])
        self.check_books(result, 20)
        self.assertEqual({e["body_bytes"] for e in sinker.stop()}, {200000})

    def test_another_client_reads_it(self):
        sinker = self.start_sinker()
        context = ssl.create_default_context(cafile=tls.cert("trusted"))
        with harness.socket.create_connection(("127.0.0.1", sinker.port), timeout=20) as plain, \
                context.wrap_socket(plain, server_hostname=tls.HOST) as s:
            s.sendall(b"GET /close HTTP/1.1\r\nHost: x\r\n\r\n")
            text = b""
            while piece := s.recv(4096):  # an end without close_notify would raise
                text += piece
        self.assertTrue(text.startswith(b"HTTP/1.1 200 "), text)

    def test_files_that_are_of_no_use(self):
        for value in ("x", tls.cert("good"), tls.cert("good") + ",", ",x",
                      "/nowhere," + tls.key("good"), tls.cert("good") + ",/nowhere"):
            with self.subTest(value=value):
                done = harness.subprocess.run(
                    [harness.SINKER, "--listen", "127.0.0.1:0", "--tls", value],
                    capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("--tls", done.stderr)


class Refused(TlsCase):
    """Against openssl s_server; each in both versions."""

    CERTIFICATES = {
        "unrelated": "trusted authority",
        "self-signed": "self-signed",
        "expired": "has expired",
        "not-yet": "not valid yet",
        "wrong-name": "not for this host",
        "cn-only": "not for this host",
        "wildcard": "not for this host",
        "eku-client": "not for servers",
        "rsa-1024": "too short",
        "sha1": "SHA-1",
        "by-not-ca": "trusted authority",
        "chain-missing": "trusted authority",
        "by-expired": "has expired",
        "by-narrow": "constraints",
    }

    def server(self, *args, name="good"):
        if name in ("rsa-1024", "sha1"):
            args += ("-cipher", "ALL:@SECLEVEL=0")
        server = tls.OpensslServer(self.folder, *args, name=name)
        self.addCleanup(harness.end, server.child)
        return server

    def send_one(self, server, *more, **how):
        result = self.send_to(server, [{"id": "a", "url": server.url + "/", "body": "SECRET"}],
                              "--timeout", "20s", *more, **how)
        told = self.check_books(result, 1)["a"]
        server.stop()
        return result, told, server.text()

    def test_certificates(self):
        for name, detail in self.CERTIFICATES.items():
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(name=name, version=version):
                    result, told, text = self.send_one(self.server(version, name=name))
                    self.assertEqual((told["outcome"], told["error"], told["sent"]),
                                     ("failed", "tls_certificate", "no"), told)
                    self.assertIn(detail, told["detail"])
                    self.assertEqual(told["attempts"], 1)
                    self.assertNotIn("SECRET", text)
                    self.assertNotIn("POST", text)

    def test_what_the_operator_trusts(self):
        _, told, text = self.send_one(self.server(name="good"), trusted="other-ca")
        self.assertEqual(told["error"], "tls_certificate")
        self.assertNotIn("POST", text)

    def test_the_system_does_not_know_us(self):
        server = self.server()
        result = self.send_records([{"id": "a", "url": server.url + "/"}],
                                   "--resolve", f"{tls.HOST}:{server.port}:127.0.0.1")
        if "cannot begin with TLS" in result.err:
            self.check_status(result, 5, "trusted certificate")  # no bundle on this machine
        else:
            self.assertEqual(self.check_books(result, 1)["a"]["error"], "tls_certificate")
        server.stop()
        self.assertNotIn("POST", server.text())

    def test_old_versions_and_weak_suites(self):
        weak = ("-cipher", "ALL:eNULL:aNULL:@SECLEVEL=0")
        cases = {
            ("-tls1_1",) + weak: "good-rsa",
            ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"): "good-rsa",
            ("-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"): "good-rsa",
            ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384"): "good-rsa",
            ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"): "good-rsa",
        }
        for args, name in cases.items():
            with self.subTest(args=args):
                _, told, text = self.send_one(self.server(*args, name=name))
                self.assertEqual((told["error"], told["status"], told["sent"]),
                                 ("tls_handshake", 599, "no"), told)
                self.assertIn("alert", told["detail"])
                self.assertNotIn("POST", text)

    def test_the_oldest_version_can_be_raised(self):
        _, told, _ = self.send_one(self.server("-tls1_2"), "--tls-min", "1.3")
        self.assertEqual((told["error"], told["sent"]), ("tls_handshake", "no"))

    def test_another_protocol(self):
        _, told, text = self.send_one(self.server("-alpn", "h2"))
        self.assertEqual((told["error"], told["sent"]), ("tls_handshake", "no"))
        self.assertIn("no_application_protocol", told["detail"])
        self.assertNotIn("POST", text)

    def test_p256_only(self):
        """A server without X25519 asks for another key share, and is served all the same."""
        server = self.server("-groups", "P-256", "-www")
        result = self.send_to(server, [{"id": "a", "method": "GET", "url": server.url + "/"}])
        self.assertEqual(self.check_books(result, 1)["a"]["status"], 200, str(result))


class Endings(TlsCase):
    def test_an_end_without_a_goodbye_is_no_end(self):
        """A body that ends with the connection: only close_notify says that it was all."""
        def answer(head, body):
            return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it?" + tls.END
        for goodbye, outcome, error in ((True, "delivered", None), (False, "failed", "truncated")):
            with self.subTest(goodbye=goodbye):
                receiver = self.secure(answer, goodbye=goodbye)
                result = self.send_to(receiver, [{"id": "a", "url": receiver.url + "/"}],
                                      "--delivery", "at-most-once")
                told = self.check_books(result, 1)["a"]
                self.assertEqual((told["outcome"], told["error"], told["sent"]),
                                 (outcome, error, "yes"), told)

    def test_an_answer_with_a_length_needs_none(self):
        receiver = self.secure(lambda head, body: receiver.OK + tls.END, goodbye=False)
        result = self.send_to(receiver, self.records(receiver.url, 20))
        self.check_status(result, 0)
        self.check_books(result, 20)

    def test_a_receiver_that_never_speaks(self):
        silent = tls.SilentReceiver()
        self.addCleanup(silent.stop)
        result = self.send_to(silent, [{"id": "a", "url": silent.url + "/"}],
                              "--tls-timeout", "300ms")
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["error"], told["status"], told["sent"]),
                         ("tls_timeout", 599, "no"), told)
        self.assertLess(told["duration_ms"], 10000)

    def test_a_receiver_that_speaks_something_else(self):
        for first in (b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail.example ESMTP\r\n", b"\0" * 64):
            with self.subTest(first=first):
                other = tls.SilentReceiver(first)
                self.addCleanup(other.stop)
                result = self.send_to(other, [{"id": "a", "url": other.url + "/"}],
                                      "--tls-timeout", "5s")
                told = self.check_books(result, 1)["a"]
                self.assertEqual((told["error"], told["sent"]), ("tls_handshake", "no"), told)

    def test_large_requests_and_answers(self):
        big = "x" * 300000
        receiver = self.secure(
            lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"y" * 60000)
        result = self.send_to(receiver, [{"id": f"r{i}", "url": receiver.url + "/", "body": big}
                                         for i in range(20)])
        self.check_status(result, 0)
        self.assertEqual({len(body) for _, body in receiver.requests}, {300000})

    def test_kept_connections_that_were_closed_meanwhile(self):
        served = collections.Counter()

        def answer(head, body):
            served[body] += 1
            return receiver.OK if body == b"first" or served[body] > 1 else tls.END

        receiver = self.secure(answer)
        result = self.send_to(receiver, [{"id": "a", "url": receiver.url + "/", "body": "first"},
                                         {"id": "b", "url": receiver.url + "/", "body": "second"}],
                              "--host-connections", "1", "--shards", "1")
        self.check_status(result, 0)
        self.assertEqual(served, {b"first": 1, b"second": 2})
        self.assertEqual(summary(result)["sent again"], 1)

    def test_a_ticket_key_that_is_lost(self):
        """TLS 1.2: the receiver forgets what it issued; one re-send, no failure."""
        def setup(context):
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = self.secure(setup=setup)
        def answer(head, body):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert("good"), tls.key("good"))
            setup(context)
            first.context = context
            return first.OK + tls.END
        first.answer = answer
        result = self.send_to(first, self.records(first.url, 5), "--host-connections", "1",
                              "--shards", "1")
        self.check_status(result, 0)
        self.assertEqual(len(first.requests), 5)


class Options(TlsCase):
    def test_insecure_says_so_on_every_run(self):
        receiver = self.secure(name="unrelated")
        result = self.send_to(receiver, self.records(receiver.url, 3), "--insecure")
        self.check_status(result, 0)
        self.assertIn("WARNING: --insecure", result.err)
        plain = self.raw_receiver()
        result = self.send_records(self.records(plain.url, 1), "--insecure")
        self.assertIn("WARNING: --insecure", result.err)
        result = self.send_records(self.records(plain.url, 1))
        self.assertNotIn("WARNING", result.err)

    def test_client_certificates(self):
        def setup(context):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls.cert("trusted"))
        receiver = self.secure(setup=setup)
        mine = ["--client-cert", tls.cert("client"), "--client-key", tls.key("client")]
        result = self.send_to(receiver, self.records(receiver.url, 20), *mine)
        self.check_status(result, 0)
        result = self.send_to(receiver, [{"id": "a", "url": receiver.url + "/"}])
        told = self.check_books(result, 1)["a"]
        self.assertEqual(told["error"], "tls_handshake", told)
        self.assertIn("certificate_required", told["detail"])

    def test_an_address_instead_of_a_name(self):
        receiver = self.secure()
        url = f"https://127.0.0.1:{receiver.port}/"
        result = self.send_records([{"id": "a", "url": url}], "--ca-file", tls.cert("trusted"))
        self.check_status(result, 0)
        other = self.secure(name="wrong-name")
        url = f"https://127.0.0.1:{other.port}/"
        result = self.send_records([{"id": "a", "url": url}], "--ca-file", tls.cert("trusted"))
        self.assertEqual(self.check_books(result, 1)["a"]["error"], "tls_certificate")
        self.assertEqual(other.requests, [])

    def test_a_folder_of_authorities(self):
        receiver = self.secure()
        folder = self.path("authorities")
        harness.os.mkdir(folder)
        for name in ("other-ca", "ca"):
            harness.shutil.copy(tls.cert(name), folder)
        with open(folder + "/README", "w") as f:
            f.write("no certificate\n")
        result = self.send_records(self.records(receiver.url, 2), "--ca-path", folder,
                                   "--resolve", f"{tls.HOST}:{receiver.port}:127.0.0.1")
        self.check_status(result, 0)

    def test_files_that_are_of_no_use(self):
        with open(self.path("empty"), "w"):
            pass
        cases = (
            (["--ca-file", self.path("nowhere")], "nowhere"),
            (["--ca-path", self.path("nowhere")], "nowhere"),
            (["--ca-file", self.path("empty")], "trusted certificate"),
            (["--client-cert", tls.cert("client")], "--client-key"),
            (["--client-key", tls.key("client")], "--client-cert"),
            (["--client-cert", tls.cert("client"), "--client-key", tls.cert("client")], "key"),
            (["--client-cert", self.path("empty"), "--client-key", tls.key("client")],
             "certificate"),
            (["--tls-min", "1.1"], "1.2 or 1.3"),
        )
        path = harness.write_lines(self.path("input"), [{"url": "https://127.0.0.1/"}])
        for args, word in cases:
            with self.subTest(args=args):
                self.check_one_line(self.send(*args, path), 2, word)

    def test_memory_that_is_too_little_is_told_with_what_suffices(self):
        receiver = self.secure()
        args = (self.records(receiver.url, 3), *tls.options(receiver.port), "--connections", "16",
                "--shards", "2", "--memory")
        result = self.send_records(*args, "16M")
        if result.status == 0:
            self.skipTest("the tuned library is content with it")
        self.check_status(result, 5, "TLS", "--memory")
        enough = harness.re.search(r"raise it to (\d+M)", result.last).group(1)
        self.check_status(self.send_records(*args, enough), 0)

    def test_check_takes_https(self):
        path = harness.write_lines(self.path("input"), [{"url": "https://127.0.0.1/x"}])
        result = self.check(path)
        self.assertEqual(result.status, 0, str(result))

    def test_the_detail_is_in_the_events(self):
        receiver = self.secure(name="expired")
        self.send_to(receiver, [{"id": "a", "url": receiver.url + "/"}],
                     "--events", self.path("events"))
        with open(self.path("events")) as f:
            event = json.loads(f.readline())
        self.assertEqual(event["error"], "tls_certificate")
        self.assertIn("expired", event["detail"])


if __name__ == "__main__":
    harness.main()
