"""The receiver's limits and its behaviour over time: what the scenarios of pacing, deferral and
isolation rely on. Method as in test_sinker.py, whose client and starter these tests use.
"""
import datetime
import email.utils
import os
import re
import socket
import time
import unittest

from test_sinker import Base, Client, QUIET_S, WAIT_S, read_log, request, run


def text(answer, name):
    """The value of a field that must be there once."""
    values = answer.fields.get(name.encode().lower(), [])
    if len(values) != 1:
        raise AssertionError(f"{name}: {values}")
    return values[0].decode()


def status_of(client, path, fields=()):
    client.ask(path, fields=fields)
    return client.answer().status


class Limits(Base):
    # Where each dialect tells Remaining and Reset.
    FORMS = {
        "x-rate-limit": ("X-Rate-Limit-", "", "epoch"),
        "x-ratelimit": ("X-RateLimit-", "", "delta"),
        "x-ratelimit-decimal": ("X-RateLimit-", "", "decimal"),
        "x-ratelimit-epoch": ("X-RateLimit-", "", "epoch"),
        "x-ratelimit-ms": ("X-RateLimit-", "", "epoch-ms"),
        "x-ratelimit-duration": ("X-RateLimit-", "", "duration"),
        "x-ratelimit-date": ("X-RateLimit-", "", "http-date"),
        "x-ratelimit-iso": ("X-RateLimit-", "", "iso"),
        "openai": ("x-ratelimit-", "-requests", "duration"),
        "ratelimit": ("RateLimit-", "", "delta"),
        "ratelimit-floor": ("RateLimit-", "", "delta"),
        "draft3": ("RateLimit-", "", "delta"),
    }

    def seconds_left(self, form, value):
        """From now on, as the dialect tells it."""
        if form in ("delta", "decimal"):
            self.assertRegex(value, r"^\d+$" if form == "delta" else r"^\d+\.\d{3}$")
            return float(value)
        if form == "epoch":
            return int(value) - time.time()
        if form == "epoch-ms":
            return int(value) / 1000 - time.time()
        if form == "duration":
            found = re.fullmatch(r"(?:(\d+)m)?([\d.]+)s", value)
            return int(found.group(1) or 0) * 60 + float(found.group(2))
        if form == "http-date":
            return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        when = datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
        return when.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()

    def test_triples(self):
        with self.start() as sinker, sinker.client() as c:
            for dialect, (prefix, suffix, form) in self.FORMS.items():
                with self.subTest(dialect=dialect):
                    for left in (2, 1, 0, 0):
                        c.ask(f"/limit/3-per-100s/{dialect}", b"hello")
                        answer = c.answer()
                        limit = text(answer, f"{prefix}Limit{suffix}")
                        self.assertEqual(limit, "3, 3;w=100" if dialect == "draft3" else "3")
                        self.assertEqual(text(answer, f"{prefix}Remaining{suffix}"), str(left))
                        reset = self.seconds_left(form, text(answer, f"{prefix}Reset{suffix}"))
                        self.assertTrue(98 <= reset <= 101.1, reset)
                    self.assertEqual(answer.status, 429)
                    self.assertEqual(answer.body, b"429 Too Many Requests from sinker\n")
                    self.assertEqual(b"date" in answer.fields, dialect == "x-ratelimit-epoch")

    def test_one_field_dialects(self):
        with self.start() as sinker, sinker.client() as c:
            def second(dialect):
                for _ in range(2):
                    c.ask(f"/limit/1-per-60s/{dialect}")
                    answer = c.answer()
                self.assertEqual(answer.status, 429)
                return answer
            self.assertEqual(set(second("none").fields) & {b"retry-after", b"date"}, set())
            self.assertEqual(text(second("retry-after"), "Retry-After"), "60")
            self.assertRegex(text(second("retry-after-decimal"), "Retry-After"),
                             r"^(59\.9\d\d|60\.000)$")
            answer = second("retry-after-date")
            when, date = (email.utils.parsedate_to_datetime(text(answer, name)).timestamp()
                          for name in ("Retry-After", "Date"))
            self.assertTrue(59 <= when - date <= 61, (when, date))
            self.assertRegex(text(second("draft7"), "RateLimit"),
                             r"^limit=1, remaining=0, reset=(60|59)$")
            answer = second("structured")
            self.assertRegex(text(answer, "RateLimit"), r'^"default";r=0;t=(60|59)$')
            self.assertEqual(text(answer, "RateLimit-Policy"), '"default";q=1;w=60')
            answer = second("x-ratelimit,retry-after,date")
            for name in ("X-RateLimit-Reset", "Retry-After", "Date"):
                text(answer, name)

    def test_retry_after_is_told_with_429_only(self):
        with self.start() as sinker, sinker.client() as c:
            c.ask("/limit/1-per-60s/retry-after")
            self.assertNotIn(b"retry-after", c.answer().fields)

    def test_fixed_window(self):
        """A window begins with the first request after the last one ended; what waits until the
        end that was told passes."""
        with self.start() as sinker, sinker.client() as c:
            path = "/limit/5-per-400ms/retry-after-decimal"
            for _ in range(3):
                self.assertEqual([status_of(c, path) for _ in range(5)], [200] * 5)
                c.ask(path)
                time.sleep(float(text(c.answer(), "Retry-After")))

    def test_sliding_window(self):
        with self.start() as sinker, sinker.client() as c:
            path = "/limit/2-per-600ms-sliding/none"
            self.assertEqual(status_of(c, path), 200)
            time.sleep(0.3)
            self.assertEqual([status_of(c, path) for _ in range(2)], [200, 429])
            time.sleep(0.35)  # the first one is out of the stretch, the second is not
            self.assertEqual([status_of(c, path) for _ in range(2)], [200, 429])

    def test_bucket(self):
        with self.start() as sinker, sinker.client() as c:
            path = "/limit/4-per-2s-bucket/none"
            self.assertEqual([status_of(c, path) for _ in range(5)], [200] * 4 + [429])
            time.sleep(0.55)  # one flows in each half second
            self.assertEqual([status_of(c, path) for _ in range(2)], [200, 429])

    def test_each_listener_rule_and_key_has_its_own(self):
        sinker = self.start(listen=("127.0.0.1:0", "127.0.0.2:0"))
        path = "/limit/1-per-m/none"
        with Client(sinker.addresses[0]) as a, Client(sinker.addresses[1]) as b:
            self.assertEqual([status_of(a, path) for _ in range(2)], [200, 429])
            self.assertEqual([status_of(b, path) for _ in range(2)], [200, 429])
            self.assertEqual(status_of(a, "/limit/1-per-m/ratelimit"), 200)
            self.assertEqual(status_of(a, path, [("X-Key", "k1")]), 200)
            self.assertEqual(status_of(a, path + "?x=1&key=k1"), 429)
            self.assertEqual(status_of(a, path + "?key=k2"), 200)

    def test_one_quota_for_all_shards(self):
        with self.start("--shards", "4") as sinker:
            found = []
            for _ in range(40):
                with sinker.client() as c:
                    found.append(status_of(c, "/limit/25-per-m/none"))
            self.assertEqual(found, [200] * 25 + [429] * 15)

    def test_limit_status_and_what_passes(self):
        with self.start() as sinker, sinker.client() as c:
            path = "/limit/1-per-m/retry-after+limit-status/503+status/202"
            self.assertEqual(status_of(c, path), 202)
            c.ask(path)
            answer = c.answer()
            self.assertEqual((answer.status, text(answer, "Retry-After")), (503, "60"))
            path = "/limit/1-per-h/none+hang/head"
            self.assertEqual(status_of(c, "/limit/1-per-h/none"), 200)
            self.assertEqual(status_of(c, path), 429)

    def test_pipelined_and_delayed(self):
        with self.start() as sinker, sinker.client() as c:
            c.send(request("/limit/50-per-m/ratelimit") * 60)
            found = [c.answer().status for _ in range(60)]
            self.assertEqual(found, [200] * 50 + [429] * 10)
            self.assertEqual(status_of(c, "/limit/1-per-m/none+delay/20ms"), 200)
            self.assertEqual(status_of(c, "/limit/1-per-m/none+delay/20ms"), 429)

    def test_skew(self):
        with self.start() as sinker, sinker.client() as c:
            for skew, seconds in (("1h", 3600), ("-90s", -90)):
                c.ask(f"/limit/3-per-100s/x-ratelimit-epoch+skew/{skew}")
                answer = c.answer()
                date = email.utils.parsedate_to_datetime(text(answer, "Date")).timestamp()
                self.assertAlmostEqual(date - time.time(), seconds, delta=3)
                self.assertAlmostEqual(int(text(answer, "X-RateLimit-Reset")) - date, 100, delta=2)

    def test_retry_after_behaviour(self):
        with self.start() as sinker, sinker.client() as c:
            for value in ("30", "0.5", "0.05", "0.005", "0", "7.25"):
                c.ask(f"/status/503+retry-after/{value}")
                self.assertEqual(text(c.answer(), "Retry-After"), value)
            c.ask("/status/503+retry-after/2+body/10+close")
            answer = c.answer()
            self.assertEqual((text(answer, "Retry-After"), answer.body), ("2", b"x" * 10))
        with self.start() as sinker, sinker.client() as c:
            c.ask("/status/202+retry-after/30")
            self.assertNotIn(b"retry-after", c.answer().fields)

    def test_what_was_refused_is_counted(self):
        limits = self.log + ".limits"
        sinker = self.start("--limit-log", limits)
        with sinker.client() as c:
            for turn in range(2):
                for _ in range(7):
                    c.ask("/limit/5-per-300ms/retry-after?key=a%22b")
                    c.answer()
                time.sleep(0.35)
            c.ask("/limit/2-per-h/none")
            c.answer()
            until = time.monotonic() + WAIT_S
            while not os.path.getsize(limits):  # the first window is told of while it runs
                self.assertLess(time.monotonic(), until)
                time.sleep(0.02)
        self.assertEqual(sinker.stop(), 0)
        lines = read_log(limits)
        for line in lines:
            self.assertEqual(line.pop("listener"), sinker.address)
            self.assertRegex(line.pop("start"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        keyed = {"limit": "5-per-300ms/retry-after", "key": "a%22b", "over": True, "allowed": 5,
                 "refused": 2}
        self.assertEqual(lines, [dict(keyed, window=0), dict(keyed, window=1),
                                 {"limit": "2-per-h/none", "key": None, "window": 0,
                                  "over": False, "allowed": 1, "refused": 0}])
        self.assertIn(f"\nsinker: limit 5-per-300ms/retry-after on {sinker.address}, key "
                      '"a%22b": 10 allowed, 4 refused in 2 windows\n', sinker.said)
        self.assertIn(f"\nsinker: limit 2-per-h/none on {sinker.address}: 1 allowed, 0 refused in "
                      "1 windows\n", sinker.said)

    def test_many_keys(self):
        sinker = self.start()
        with sinker.client() as c:
            for first in range(0, 66000, 1000):
                c.send(b"".join(b"GET /limit/1-per-h/none?key=k%d HTTP/1.1\r\nHost: a\r\n\r\n" % i
                                for i in range(first, first + 1000)))
                for _ in range(1000):
                    self.assertEqual(c.answer().status, 200)
        self.assertEqual(sinker.stop(), 0)
        self.assertIn(f"and {65536 - 20} more limits\n", sinker.said)
        self.assertIn("464 requests passed uncounted", sinker.said)

    def test_limit_log_that_cannot_be_written(self):
        said = run("--listen", "127.0.0.1:0", "--limit-log", self.log + "/none/such")
        self.assertEqual(said.returncode, 4)
        sinker = self.start("--limit-log", "/dev/full")
        with sinker.client() as c:
            self.assertEqual(status_of(c, "/limit/1-per-h/none"), 200)
        self.assertEqual(sinker.stop(), 4)
        self.assertIn("/dev/full", sinker.said)

    def test_rules_that_are_none(self):
        with self.start() as sinker, sinker.client() as c:
            for rule in ("0-per-s/none", "5-per-s", "5-per-s/", "5-per-s/nonsense", "5/none",
                         "x-per-s/none", "5-per-/none", "5-per-25h/none", "5-per-0s/none",
                         "1000000001-per-s/none", "1048577-per-s-sliding/none",
                         "5-per-s-leaky/none", "5-per-s/none,", "5-per-s/none,x"):
                self.assertEqual(status_of(c, f"/limit/{rule}"), 404, rule)
            self.assertEqual(status_of(c, "/limit/1048576-per-s-sliding/none"), 200)


class OverTime(Base):
    def script(self, content):
        path = self.log + ".script"
        with open(path, "w") as f:
            f.write(content)
        return path

    def statuses(self, sinker, path, until_s):
        """(time, status) of requests one after the other, on a connection each."""
        found, start = [], time.monotonic()
        while time.monotonic() - start < until_s:
            with sinker.client() as c:
                found.append((time.monotonic() - start, status_of(c, path)))
            time.sleep(0.01)
        return found

    def test_after_and_until(self):
        with self.start("--time-from", "first-request") as sinker:
            found = self.statuses(sinker, "/after/400ms+until/800ms+status/503", 1.2)
        for at, status in found:
            if abs(at - 0.4) > 0.1 and abs(at - 0.8) > 0.1:
                self.assertEqual(status, 503 if 0.4 < at < 0.8 else 200, at)

    def test_script_for_every_request(self):
        path = self.script("# an outage\n0s ok\n\n  300ms\tstatus/503+retry-after/2 \r\n600ms ok\n")
        with self.start("--script", path, "--time-from", "first-request") as sinker:
            found = self.statuses(sinker, "/any", 0.9)
        for at, status in found:
            if abs(at - 0.3) > 0.1 and abs(at - 0.6) > 0.1:
                self.assertEqual(status, 503 if 0.3 < at < 0.6 else 200, at)
        self.assertEqual({s for _, s in found}, {200, 503})

    def test_failure_percentages_change(self):
        path = self.script("[a]\n0s flaky/20\n1s flaky/80+status/429\n")
        with self.start("--script", path, "--time-from", "first-request") as sinker:
            with sinker.client() as c:
                shares = []
                for status in (503, 429):
                    c.send(request("/script/a/x") * 2000)
                    found = [c.answer().status for _ in range(2000)]
                    self.assertEqual(set(found), {200, status})
                    shares.append(found.count(status) / 2000)
                    time.sleep(1.05)
            self.assertAlmostEqual(shares[0], 0.2, delta=0.05)
            self.assertAlmostEqual(shares[1], 0.8, delta=0.05)

    def test_parts(self):
        path = self.script("[a]\n1h status/500\n[b]\n0s limit/1-per-h/none\n")
        with self.start("--script", path) as sinker, sinker.client() as c:
            found = [status_of(c, f"/script/{n}") for n in ("a", "b", "b", "c", "a+delay/1ms")]
            self.assertEqual(found, [200, 200, 429, 404, 404])
            self.assertEqual(status_of(c, "/"), 200)

    def test_scripts_with_errors(self):
        here = ("--listen", "127.0.0.1:0")
        for content, place in [("", "1:1"), ("0s ok\n0s ok\n", "2:1"), ("5 ok\n", "1:1"),
                               ("0s\n", "1:3"), ("0s nonsense\n", "1:4"), ("0s ok ok\n", "1:7"),
                               ("[a b]\n", "1:1"), ("[a\n", "1:1"), ("[\n", "1:1"),
                               ("[]\n", "1:1"),
                               ("[a]\n0s ok\n[a]\n", "3:1"), ("[a]\n0s hang/accept\n", "2:4"),
                               ("0s script/a\n", "1:4"), ("  0s  status/99\n", "1:7")]:
            with self.subTest(content=content):
                path = self.script(content)
                said = run(*here, "--script", path)
                self.assertEqual(said.returncode, 2, said)
                self.assertTrue(said.stderr.startswith(f"sinker: --script {path}:{place}: "), said)
        path = self.script("0s ok\n")
        for options in (("--script", path + "x"), ("--script", path, "--behave", "close"),
                        ("--script", path, "--script", path), ("--time-from", "never"),
                        ("--behave", "script/a"), ("--behave", "status/503+nonsense")):
            said = run(*here, *options)
            self.assertEqual((said.returncode, said.stdout), (2, ""), options)
            self.assertIn("sinker --help", said.stderr)

    def test_hang_in_the_middle_of_the_head(self):
        with self.start(log=self.log) as sinker:
            with sinker.client() as c:
                c.ask("/hang/mid-head+status/404", b"hello")
                self.assertTrue(c.line().startswith(b"HTTP/1.1 404"))
                self.assertTrue(c.silent())
                self.assertNotIn(b"\r\n\r\n", c.kept)
            with sinker.client() as c:
                c.ask("/reset/mid-head", b"hello")
                with self.assertRaises(ConnectionResetError):
                    while True:
                        self.assertTrue(c.more())
                self.assertNotIn(b"\r\n\r\n", c.kept)
            self.assertEqual([r["status"] for r in self.logged(sinker)], [404, 200])

    def test_accepting_hangs_and_comes_back(self):
        for script in ("0s hang/accept\n700ms ok\n", None):
            options = (("--script", self.script(script)) if script else
                       ("--behave", "until/700ms+hang/accept"))
            start = time.monotonic()
            with self.start(*options, "--shards", "2") as sinker:
                with sinker.client() as c:  # the kernel completes the handshake by itself
                    c.ask("/")
                    self.assertTrue(c.silent())
                    self.assertEqual(c.answer().status, 200)
                    self.assertGreater(time.monotonic() - start, 0.6)

    def test_connections_hang_and_come_back(self):
        start = time.monotonic()
        with self.start("--script", self.script("0s hang/connect\n1s ok\n2s hang/connect\n")) as s:
            host, port = s.address.rsplit(":", 1)
            with self.assertRaises(socket.timeout):
                socket.create_connection((host, int(port)), timeout=QUIET_S)
            with s.client() as c:  # the kernel tries again after a second or so
                self.assertGreater(time.monotonic() - start, 0.9)
                self.assertEqual(status_of(c, "/"), 200)
                time.sleep(max(0.0, start + 2.4 - time.monotonic()))
                with self.assertRaises(socket.timeout):
                    socket.create_connection((host, int(port)), timeout=QUIET_S)
                self.assertEqual(s.stop(), 0)


if __name__ == "__main__":
    unittest.main()
