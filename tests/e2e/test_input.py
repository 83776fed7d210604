"""Goal: whatever the input is, hookline says in one clear line what is wrong with it, exits with
the right status, and loses nothing that it accepted.

Method: each bad input alone, and each bad record between two good ones that must be delivered.
"""
import json
import os
import random
import socket
import struct
import subprocess

import harness
from harness import summary

DEEP = 100000


class Files(harness.Case):
    """Inputs that cannot be read, or only in part."""

    def test_empty(self):
        open(self.path("input"), "w").close()
        result = self.send(self.path("input"))
        self.check_status(result, 0)
        self.assertEqual(summary(result)["accepted"], 0)
        self.assertEqual(self.results(), [])

    def test_only_blank_lines(self):
        with open(self.path("input"), "w") as f:
            f.write("\n \t\n\r\n\n")
        result = self.send(self.path("input"))
        self.check_status(result, 0)
        self.assertEqual(summary(result)["accepted"], 0)
        self.assertEqual(summary(result).get("rejected", 0), 0)

    def test_missing(self):
        result = self.send(self.path("nowhere"))
        self.check_one_line(result, 3, "nowhere", "no such file")

    def test_directory(self):
        result = self.send(self.folder)
        self.check_one_line(result, 3, self.folder, "directory")

    def test_not_readable(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        with open(self.path("input"), "w"):
            pass
        os.chmod(self.path("input"), 0)
        self.check_one_line(self.send(self.path("input")), 3, "permission")

    def test_no_trailing_newline_and_crlf(self):
        sinker = self.sinker()
        with open(self.path("input"), "wb") as f:
            f.write(b"\r\n".join(b'{"id":"r%d","url":"%s/?id=r%d"}' % (i, sinker.url.encode(), i)
                                 for i in range(5)))
        result = self.send(self.path("input"))
        self.check_status(result, 0)
        self.check_books(result, 5)
        self.assertEqual({e["id"] for e in sinker.stop()}, {f"r{i}" for i in range(5)})

    def test_read_error_in_the_middle(self):
        """Standard input is a connection that is reset: what was read before is delivered."""
        sinker = self.sinker()
        with harness.listener() as at:
            sender = socket.create_connection(at.getsockname())
            peer, _ = at.accept()
        sender.sendall(b"".join(b'{"id":"r%d","url":"%s/?id=r%d"}\n' % (i, sinker.url.encode(), i)
                                for i in range(100)))
        p = self.start("-", stdin=peer)
        peer.close()
        harness.wait_until(lambda: os.path.exists(self.path("results"))
                           and open(self.path("results"), "rb").read().count(b"\n") == 100,
                           "100 results")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.close()  # without a FIN: a reset
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, 3, "cannot read", "reset")
        self.assertEqual(len(self.check_books(result, 100)), 100)

    def test_truncated_while_it_is_read(self):
        """Ends with a clear error, correct counts and no SIGBUS; what was taken is told."""
        sinker = self.sinker(behave="delay/5ms")
        count = harness.scaled(200000)
        path = harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": f"{sinker.url}/?id=r{i}", "body": {"pad": "x" * 200}}
            for i in range(count)])
        p = self.start("--shards", "1", "--connections", "16", "--host-connections", "16",
                       "--memory", "16M", path)
        harness.wait_until(lambda: os.path.exists(self.path("results"))
                           and os.path.getsize(self.path("results")) > 0, "first results")
        os.truncate(path, 1000)
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, 3, "input")
        by_id = self.check_books(result)
        self.assertLess(summary(result)["accepted"], count)
        delivered = {i for i, told in by_id.items() if told["outcome"] == "delivered"}
        self.assertEqual(delivered - {e["id"] for e in sinker.stop()}, set())

    def test_input_is_an_output(self):
        path = harness.write_lines(self.path("input"), [{"id": "a", "url": "http://127.0.0.1/"}])
        before = open(path, "rb").read()
        result = self.start("--results", path, path, results=False).finish()
        self.check_status(result, 2, "input")
        self.assertEqual(open(path, "rb").read(), before)

    def test_usage(self):
        for args in (["--no-such-option"], ["--timeout", "soon"], ["--shards", "0"],
                     ["--memory", "1"], ["--allow-net", "127.0.0.0/99"], ["a", "b"]):
            with self.subTest(args=args):
                result = self.send(*args)
                self.assertEqual(result.status, 2, str(result))
                self.assertTrue(result.lines, "nothing on stderr")

    def test_help_and_version(self):
        for args, word in ((["--help"], "send"), (["send", "--help"], "--results"),
                           (["check", "--help"], "--rejects"), (["--version"], "hookline")):
            done = subprocess.run([harness.HOOKLINE] + args, capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(done.returncode, 0)
            self.assertIn(word, done.stdout)
        for args in ([], ["sned"]):
            done = subprocess.run([harness.HOOKLINE] + args, capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(done.returncode, 2)


class Records(harness.Case):
    """Bad records among good ones."""

    def setUp(self):
        super().setUp()
        self.receiver = self.sinker()
        self.url = self.receiver.url.encode()

    def good(self, name):
        return b'{"id":"%s","url":"%s/?id=%s"}' % (name, self.url, name)

    def rejected(self, *lines, reason=None, options=()):
        """Each line is a reject; its neighbours are delivered; the rejects file has the lines as
        they came; check names file, line and column."""
        lines = [line.replace(b"@", self.url) for line in lines]
        all_lines = [self.good(b"first"), *lines, self.good(b"last")]
        path = harness.write_lines(self.path("input"), all_lines)
        result = self.send("--rejects", self.path("rejects"), *options, path)
        self.check_status(result, 0)
        by_id = self.check_books(result, 2)
        self.assertEqual(set(by_id), {"first", "last"})
        self.assertEqual(summary(result)["rejected"], len(lines))
        with open(self.path("rejects"), "rb") as f:
            kept = f.read()
        for line in lines:
            self.assertIn(line[:1 << 16], kept)
        if max(map(len, lines)) < 1 << 20:
            self.assertEqual(sorted(kept.splitlines()), sorted(lines))  # shards take turns
        said = self.check(path, *options)
        self.assertEqual(said.status, 3, str(said))
        places = [line for line in said.lines if line.startswith(path + ":")]
        self.assertEqual(len(places), len(lines), str(said))
        for number, place in enumerate(places, 2):
            self.assertRegex(place, rf"^{path}:{number}:\d+: .+$")
            if reason:
                self.assertIn(reason, place.lower())
        return places

    def accepted(self, *lines, status=None):
        lines = [line.replace(b"@", self.url) for line in lines]
        result = self.send(harness.write_lines(self.path("input"), lines))
        self.check_books(result, len(lines))
        if status is not None:
            self.check_status(result, status)
        return result

    def test_not_json(self):
        self.rejected(b"nonsense", b"{", b'{"url":"@/"', b'{"url":"@/"}}', b'{"url":"@/"} {}',
                      b"[]", b'"text"', b"17", b"null", b'{"url":"@/",}', b"{'url':'@/'}",
                      b'{"url":"@/","body":{"a":01}}', b'{"url":"@/","body":{"a":NaN}}',
                      b'{"url":"@/","body":{"a":tru}}', b'{"url":"@/" "id":"a"}', b"\xef\xbb\xbf1")

    def test_invalid_utf8(self):
        self.rejected(b'{"url":"@/\xff"}', b'{"url":"@/","body":{"a":"\xc3"}}',
                      b'{"url":"@/","body":"\xed\xa0\x80"}', b'{"url":"@/","body":"\xc0\xaf"}',
                      b'{"url":"@/","id":"\xf5\x80\x80\x80"}', b"\xff\xfe{}")

    def test_nul_bytes(self):
        self.rejected(b'{"url":"@/\x00"}', b"\x00", b'{"url":"@/"}\x00', b'\x00{"url":"@/"}',
                      b'{"url":"@/","body":{"a":"\x00"}}', b'{"url":"@/","i\x00d":"a"}')

    def test_escaped_nul(self):
        self.rejected(b'{"url":"@/\\u0000"}', b'{"url":"@/","headers":{"X-A":"a\\u0000b"}}')

    def test_duplicate_keys(self):
        self.rejected(b'{"url":"@/","url":"@/"}', b'{"id":"a","url":"@/","id":"b"}',
                      b'{"url":"@/","body":{},"body":{}}',
                      b'{"url":"@/","method":"PUT","request_method":"PUT"}',
                      b'{"url":"@/","u\\u0072l":"@/"}')

    def test_unknown_keys(self):
        places = self.rejected(b'{"url":"@/","extra":1}', b'{"url":"@/","URL":"x"}',
                               b'{"url":"@/","":""}')
        self.assertIn("extra", places[0])

    def test_wrong_types(self):
        self.rejected(b'{"url":1}', b'{"url":["@/"]}', b'{"url":null}', b'{"url":"@/","id":1}',
                      b'{"url":"@/","method":1}', b'{"url":"@/","headers":[]}',
                      b'{"url":"@/","headers":{"A":1}}', b'{"url":"@/","headers":"A: b"}',
                      b'{"url":"@/","body":1}', b'{"url":"@/","body":true}',
                      b'{"url":"@/","key":{}}', b'{"url":"@/","not_before":[]}')

    def test_array_body(self):
        self.rejected(b'{"url":"@/","body":[1,2]}', reason="array")

    def test_body_on_get(self):
        self.rejected(b'{"url":"@/","method":"GET","body":{}}',
                      b'{"body":"x","url":"@/","method":"GET"}', reason="get")

    def test_methods(self):
        self.rejected(b'{"url":"@/","method":"PATCH"}', b'{"url":"@/","method":"post"}',
                      b'{"url":"@/","method":""}', b'{"url":"@/","method":"GET / HTTP/1.1\\r\\n"}')

    def test_no_url(self):
        self.rejected(b'{"id":"a"}', b"{}", reason="url")

    def test_deep_nesting(self):
        deep = b"[" * DEEP + b"]" * DEEP
        self.rejected(b'{"url":"@/","body":{"a":%s}}' % deep, b"[" * DEEP,
                      b'{"url":"@/","body":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
                      options=("--max-record", "4M"))

    def test_nesting_in_an_unknown_key(self):
        self.rejected(b'{"url":"@/","zzz":%s}' % (b"[" * DEEP + b"]" * DEEP))

    def test_header_injection(self):
        self.rejected(b'{"url":"@/","headers":{"X-A":"a\\r\\nX-B: b"}}',
                      b'{"url":"@/","headers":{"X-A":"a\\nb"}}',
                      b'{"url":"@/","headers":{"X-A":"a\\rb"}}',
                      b'{"url":"@/","headers":{"X-A\\r\\nX-B":"b"}}',
                      b'{"url":"@/","headers":{"X A":"b"}}', b'{"url":"@/","headers":{"":"b"}}',
                      b'{"url":"@/","headers":{"X:A":"b"}}',
                      b'{"url":"@/\\r\\nX-A: b"}', b'{"url":"@/ HTTP/1.1\\r\\nX: y"}')

    def test_framing_headers(self):
        self.rejected(*[b'{"url":"@/","headers":{"%s":"1"}}' % name for name in
                        (b"Content-Length", b"transfer-encoding", b"CONNECTION", b"Upgrade", b"TE",
                         b"Trailer")])

    def test_urls_refused(self):
        self.rejected(*[b'{"url":"%s"}' % url for url in (
            b"", b"http://", b"http:///path", b"http://:8080/", b"http://127.0.0.1:0/",
            b"http://127.0.0.1:70000/", b"http://127.0.0.1:99999999999999999999/",
            b"http://127.0.0.1:8x/", b"http://127.0.0.1:-1/", b"ftp://127.0.0.1/", b"127.0.0.1",
            b"/path", b"http:/127.0.0.1/", b"http://a b/", b"http://127.0.0.1/a\\tb",
            b"\\nhttp://127.0.0.1/", b"http://256.0.0.1/", b"http://127.0.0.1.1/",
            b"http://[::1/", b"http://[fe80::1%25eth0]/", b"http://[fe80::1%eth0]/",
            b"http://[1:2]/", b"http://[127.0.0.1]/", b"http://127.0.0.1\\\\@evil/",
            b"http://ex\\u0001ample/", b"javascript:alert(1)",
            b"http://%00/", b"http://a%2fb/")])


    def test_international_names(self):
        """A name that IDNA refuses is a reject that names the way out, never sent as it is."""
        self.rejected("{\"url\":\"http://\u2615.example/\"}".encode(), reason="xn--")

    def test_column_points_at_the_trouble(self):
        place, = self.rejected(b'{"url":"@/","method":"PATCH"}')
        column = int(place[len(self.path("input")):].split(":")[2])
        line = b'{"url":"@/","method":"PATCH"}'.replace(b"@", self.url)
        start = line.index(b'"method"') + 1
        self.assertTrue(start <= column <= len(line), place)

    def test_record_over_the_limit(self):
        big = b'{"url":"@/","body":"%s"}' % (b"x" * 5000)
        self.rejected(big, options=("--max-record", "4K"))

    def test_line_of_100_mb(self):
        """Skipped without being held in memory; the next record is found."""
        path = self.path("input")
        with open(path, "wb") as f:
            f.write(self.good(b"first") + b"\n")
            f.write(b'{"url":"' + self.url + b'/","body":"')
            for _ in range(100):
                f.write(b"x" * (1 << 20))
            f.write(b'"}\n' + self.good(b"last") + b"\n")
        result = self.send("--memory", "64M", "--rejects", self.path("rejects"), path)
        self.check_status(result, 0)
        self.assertEqual(set(self.check_books(result, 2)), {"first", "last"})
        self.assertEqual(summary(result)["rejected"], 1)
        self.assertEqual({e["id"] for e in self.receiver.stop()}, {"first", "last"})
        if not harness.SANITIZED:
            self.assertLess(result.peak_kib, (64 + 32) << 10)

    def test_line_of_100_mb_from_a_pipe(self):
        reading, writing = os.pipe()
        p = self.start("--memory", "64M", "-", stdin=reading)
        os.close(reading)
        with open(writing, "wb") as f:
            f.write(self.good(b"first") + b"\n" + b'{"url":"')
            for _ in range(100):
                f.write(b"x" * (1 << 20))
            f.write(b'"}\n' + self.good(b"last"))
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, 0)
        self.assertEqual(set(self.check_books(result, 2)), {"first", "last"})
        if not harness.SANITIZED:
            self.assertLess(result.peak_kib, (64 + 32) << 10)

    def test_too_many_headers_and_long_values(self):
        headers = b",".join(b'"X-%d":"v"' % i for i in range(1000))
        self.rejected(b'{"url":"@/","headers":{%s}}' % headers,
                      b'{"url":"@/%s"}' % (b"a" * 20000),
                      b'{"url":"@/","id":"%s"}' % (b"i" * 5000))

    def test_strict_stops_at_the_first_reject(self):
        """Exit status 3; what was accepted before has an outcome, nothing after it is taken."""
        lines = [self.good(b"a%d" % i) for i in range(10)] + [b"nonsense"]
        lines += [self.good(b"z%d" % i) for i in range(10)]
        path = harness.write_lines(self.path("input"), lines)
        result = self.send("--strict", "--shards", "1", path)
        self.check_status(result, 3, "11")
        by_id = self.check_books(result)
        self.assertEqual([i for i in by_id if i.startswith("z")], [])
        numbers = summary(result)
        self.assertEqual(numbers["accepted"], 10)
        self.assertEqual(numbers["delivered"] + numbers["pending"], 10)
        said = self.check("--strict", path)
        self.assertEqual(said.status, 3)

    def test_strict_without_rejects(self):
        path = harness.write_lines(self.path("input"), [self.good(b"a")])
        self.check_status(self.send("--strict", path), 0)

    def test_everything_wrong_at_once(self):
        """A file of noise: every line is a reject or blank, none is lost, memory stays small."""
        draw = random.Random(7)
        path = self.path("input")
        with open(path, "wb") as f:
            for _ in range(harness.scaled(20000)):
                f.write(bytes(draw.choice(b'{}[]":,\\ abcurl\x00\xff\r019.e-')
                              for _ in range(draw.randrange(60))) + b"\n")
        result = self.send(path)
        self.assertEqual(summary(result)["accepted"], 0, str(result))
        self.assertGreater(summary(result)["rejected"], 100)
        self.check_status(result, 0)


if __name__ == "__main__":
    harness.main()
