"""Goal: the bytes on the wire are those that the record asks for.

Method: a small receiver of this folder's own keeps what it reads, byte by byte.
"""
import json

import harness


class Requests(harness.Case):
    def wire(self, *lines, options=()):
        """Sends the lines one after the other on one connection; returns (head, body) of each."""
        receiver = self.raw_receiver()
        lines = [line.replace(b"@", receiver.url.encode()) for line in lines]
        result = self.send_records(lines, "--host-connections", "1", "--shards", "1", *options)
        self.check_status(result, 0)
        self.port = receiver.port
        return [(head.decode("latin-1").split("\r\n"), body) for head, body in receiver.requests]

    def fields(self, head):
        return dict(line.split(": ", 1) for line in head[1:])

    def test_object_body_is_sent_byte_for_byte(self):
        body = b'{ "b" :1,\t"a":[1, 2.50e0 , {"\\u00e9":"\xc3\xa9"}],"b":1.0 }'
        (head, got), = self.wire(b'{"url":"@/p","body":' + body + b"}")
        self.assertEqual(got, body)
        self.assertEqual(head[0], "POST /p HTTP/1.1")
        fields = self.fields(head)
        self.assertEqual(fields["Content-Type"], "application/json")
        self.assertEqual(fields["Content-Length"], str(len(body)))
        self.assertEqual(fields["Host"], f"127.0.0.1:{self.port}")
        self.assertTrue(fields["User-Agent"].startswith("hookline/"))

    def test_text_body_is_unescaped(self):
        (head, got), (json_head, json_got) = self.wire(
            b'{"url":"@/","body":"tab\\tquote\\" \\u00e9\\ud83d\\ude00 \\\\ end"}',
            b'{"url":"@/","body":" {\\"a\\": [1]} "}')
        self.assertEqual(got, 'tab\tquote" \u00e9\U0001f600 \\ end'.encode())
        self.assertEqual(self.fields(head)["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(json_got, b' {"a": [1]} ')
        self.assertEqual(self.fields(json_head)["Content-Type"], "application/json")

    def test_headers_as_given(self):
        """Order and spelling of the record's own; what it sets is not added again."""
        (head, _), = self.wire(
            b'{"url":"@/","headers":{"x-Second":"2","X-FIRST":"a  b","content-type":"text/csv",'
            b'"hOST":"elsewhere.example","user-agent":"me"},"body":"1"}')
        names = [line.split(":")[0] for line in head[1:]]
        own = ["x-Second", "X-FIRST", "content-type", "hOST", "user-agent"]
        self.assertEqual([n for n in names if n in own], own)
        lower = [n.lower() for n in names]
        for name in ("content-type", "host", "user-agent", "content-length"):
            self.assertEqual(lower.count(name), 1, head)
        self.assertEqual(self.fields(head)["X-FIRST"], "a  b")
        self.assertEqual(self.fields(head)["hOST"], "elsewhere.example")

    def test_methods(self):
        got = self.wire(*[b'{"url":"@/","method":"%s"}' % m for m in
                          (b"GET", b"DELETE", b"PUT", b"POST")])
        self.assertEqual(sorted(head[0].split()[0] for head, _ in got),
                         ["DELETE", "GET", "POST", "PUT"])
        for head, body in got:
            length = self.fields(head).get("Content-Length")
            method = head[0].split()[0]
            self.assertEqual(body, b"")
            if method in ("POST", "PUT"):
                self.assertEqual(length, "0", head)
            else:
                self.assertIn(length, (None, "0"), head)

    def test_names_of_another_sender(self):
        (head, body), = self.wire(
            b'{"url":"@/","request_method":"PUT","request_headers":{"X-A":"1"},"body":{"a":1}}')
        self.assertTrue(head[0].startswith("PUT / "))
        self.assertEqual(self.fields(head)["X-A"], "1")
        self.assertEqual(body, b'{"a":1}')

    def test_url_forms(self):
        got = self.wire(b'{"url":"@"}', b'{"url":"@?q=1"}', b'{"url":"@/a/../b?x=%20y#frag"}',
                        b'{"url":"@/%C3%A9"}', '{"url":"@/\u00e9 {}?\'\u00e9 #\u00e9"}'.encode())
        self.assertEqual(sorted(head[0].split()[1] for head, _ in got),
                         ["/", "/%C3%A9", "/%C3%A9%20%7B%7D?%27%C3%A9%20", "/?q=1", "/b?x=%20y"])

    def test_addresses_in_other_spellings(self):
        """Each is that address: sent to it, named so in Host and results, and refused with it."""
        receiver = self.raw_receiver()
        records = [{"id": host, "url": f"http://{host}:{receiver.port}/"} for host in
                   ("127.1", "0x7f.0.0.1", "2130706433", "017700000001", "127.0.0.1.",
                    "\uff11\uff12\uff17.0.0.1", "127\u30020.1", "%31%32%37.1")]
        self.check_status(self.send_records(records), 0)
        self.assertEqual(len(receiver.requests), len(records))
        for head, _ in receiver.requests:
            self.assertIn(f"Host: 127.0.0.1:{receiver.port}\r\n", head.decode())
        for told in harness.read_ndjson(self.path("results")):
            self.assertEqual(told["url"], f"http://127.0.0.1:{receiver.port}/")
        result = self.send_records(records, allow=None)
        self.check_status(result, 1)
        for told in harness.read_ndjson(self.path("results")):
            self.assertEqual(told["error"], "blocked_address", told)
        self.assertEqual(len(receiver.requests), len(records))

    def test_userinfo_becomes_authorization(self):
        receiver = self.raw_receiver()
        at = receiver.url.replace("http://", "")
        result = self.send_records([
            {"id": "a", "url": f"http://us%40er:p%3Ass@{at}/"},
            {"id": "b", "url": f"http://user:pass@{at}/", "headers": {"authorization": "own"}}],
            "--host-connections", "1", "--shards", "1", "--events", self.path("events"))
        self.check_status(result, 0)
        fields = [self.fields(head.decode().split("\r\n")) for head, _ in receiver.requests]
        self.assertEqual(fields[0]["Authorization"], "Basic dXNAZXI6cDpzcw==")
        self.assertEqual(fields[1]["authorization"], "own")
        self.assertNotIn("Authorization", fields[1])
        for name in ("results", "events"):
            with open(self.path(name)) as f:
                text = f.read()
            self.assertNotIn("pass", text)
            self.assertNotIn("p%3Ass", text)
        for told in harness.read_ndjson(self.path("results")):
            self.assertNotIn("@", told["url"])

    def test_user_agent_and_idempotency_key(self):
        (head, _), = self.wire(b'{"id":"id \\"1\\"","url":"@/"}',
                               options=("--user-agent", "mine/1.0", "--idempotency-key"))
        fields = self.fields(head)
        self.assertEqual(fields["User-Agent"], "mine/1.0")
        self.assertIn("Idempotency-Key", fields)

    def test_whitespace_around_a_record(self):
        got = self.wire(b' \t {"url" : "@/a" } \r', b"   \t", b"", b'{"url":"@/b"}')
        self.assertEqual(sorted(h[0].split()[1] for h, _ in got), ["/a", "/b"])


if __name__ == "__main__":
    harness.main()
