"""Goal: the servers that receivers really run are served right, with keep-alive, without loss and
without a record sent twice.

Method: nginx and haproxy from Debian, started by the test; nginx closes each connection after 50
requests. Its access log is compared with the results file, id by id. Then the bundled receiver
that closes kept connections without a word.
"""
import collections
import unittest

import harness
from harness import scaled, summary


@unittest.skipUnless(harness.find_program("nginx"), "nginx is not installed")
class NginxServer(harness.Case):
    LOG = "access_log {root}/access.log ids;"

    def start_nginx(self, http="", locations="location / {{ {log} return 200 'ok'; }}"):
        root = self.path("nginx")
        return self.nginx(locations.format(log=self.LOG.format(root=root)), http=http)

    def compare(self, count, result, log):
        by_id = self.check_books(result, count)
        self.check_status(result, 0)
        got = collections.Counter(line.split()[0] for line in log)
        self.assertEqual(set(got), set(by_id))
        self.assertEqual({i: n for i, n in got.items() if n != 1}, {}, "sent more than once")

    def records(self, url, count):
        return [{"id": f"r{i}", "url": f"{url}/hook?id=r{i}",
                 "body": {"n": i, "pad": "x" * (i % 300)}} for i in range(count)]

    def test_every_record_once(self):
        nginx = self.start_nginx()
        count = scaled(30000)
        result = self.send_records(self.records(nginx.url, count), "--shards", "2")
        self.compare(count, result, nginx.stop())

    def test_connections_closed_after_50_requests(self):
        nginx = self.start_nginx(http="keepalive_requests 50;")
        count = scaled(20000)
        result = self.send_records(self.records(nginx.url, count), "--shards", "2",
                                   "--host-connections", "16")
        log = nginx.stop()
        self.compare(count, result, log)
        self.assertLessEqual(max(int(line.split()[4]) for line in log), 50)
        self.assertGreaterEqual(summary(result)["connections opened"], count // 50)

    def test_connections_closed_by_time_in_the_middle(self):
        """keepalive_time 1ms: nginx ends nearly every connection after one more answer."""
        nginx = self.start_nginx(http="keepalive_time 1ms;")
        count = scaled(5000)
        result = self.send_records(self.records(nginx.url, count))
        self.compare(count, result, nginx.stop())

    def test_methods_and_chunked_answers(self):
        nginx = self.start_nginx(
            http="gzip off;",
            locations="location / {{ {log} proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1;"
                      " proxy_set_header Connection ''; proxy_buffering off; }}"
                      % self.chunky().port)
        records = [{"id": f"r{i}", "method": method, "url": f"{nginx.url}/?id=r{i}"}
                   for i, method in enumerate(("GET", "POST", "PUT", "DELETE") * 25)]
        result = self.send_records(records)
        log = nginx.stop()
        self.compare(100, result, log)
        self.assertEqual({line.split()[0]: line.split()[2] for line in log},
                         {r["id"]: r["method"] for r in records})

    def chunky(self):
        return self.raw_receiver(lambda head, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
                                                    b"\r\n\r\n5\r\nhello\r\n3\r\n...\r\n0\r\n\r\n")

    def test_idempotency_key_is_the_id(self):
        nginx = self.start_nginx()
        result = self.send_records([{"id": f"key-{i}", "url": f"{nginx.url}/"} for i in range(20)],
                                   "--idempotency-key")
        self.check_status(result, 0)
        log = nginx.stop()
        self.assertEqual({line.split()[1] for line in log}, {f"key-{i}" for i in range(20)})

    def test_nginx_ends_in_the_middle(self):
        """Records sent to a server that stops: each has one outcome; delivered ones were served."""
        nginx = self.start_nginx()
        count = scaled(60000)
        path = harness.write_lines(self.path("input"), self.records(nginx.url, count))
        p = self.start("--shards", "2", path)
        harness.wait_until(lambda: harness.os.path.getsize(nginx.root + "/access.log") > 20000
                           or p.child.poll() is not None, "nginx is at work")
        log = nginx.stop()
        result = p.finish()
        self.check_sane(result)
        by_id = self.check_books(result, count)
        got = {line.split()[0] for line in log if line.split()[3] == "200"}
        delivered = {i for i, told in by_id.items() if told["outcome"] == "delivered"}
        self.assertEqual(delivered - got, set(), "told as delivered, but not served")
        for told in by_id.values():
            if told["outcome"] != "delivered":
                self.assertIn(told["error"], ("connect_refused", "connection_reset",
                                              "connection_closed"), told)


@unittest.skipUnless(harness.find_program("haproxy"), "haproxy is not installed")
class HaproxyServer(harness.Case):
    def run_through(self, backend_options, *options):
        sinker = self.sinker()
        proxy = self.haproxy(f"server one {sinker.addresses[0]} {backend_options}")
        count = scaled(10000)
        records = [{"id": f"r{i}", "url": f"{proxy.url}/in?id=r{i}", "body": {"n": i}}
                   for i in range(count)]
        result = self.send_records(records, *options)
        self.check_status(result, 0)
        by_id = self.check_books(result, count)
        proxy.stop()
        got = collections.Counter(e["id"] for e in sinker.stop())
        self.assertEqual(set(got), set(by_id))
        self.assertEqual([n for n in got.values() if n != 1], [])

    def test_every_record_once(self):
        self.run_through("", "--shards", "2")

    def test_connection_limit_behind(self):
        self.run_through("maxconn 3", "--host-connections", "64")

    def test_backend_is_gone(self):
        """haproxy answers 503 itself: a failure with a status, not a broken connection."""
        held, port = harness.dead_port()
        self.addCleanup(held.close)
        proxy = self.haproxy(f"server one 127.0.0.1:{port}\n    retries 0")
        result = self.send_records([{"id": "a", "url": proxy.url + "/in"}])
        self.check_status(result, 1)
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["status"], told["error"], told["sent"]),
                         (503, "status_retry", "yes"))


class KeepAliveRace(harness.Case):
    def test_connections_closed_without_a_word(self):
        """The receiver closes after each answer without saying so. A reused connection that dies
        before an answer is sent again once, on a fresh one; a fresh one never is."""
        sinker = self.sinker(behave="close-silent")
        count = scaled(5000)
        records = [{"id": f"r{i}", "url": f"{sinker.url}/?id=r{i}", "body": {"n": i}}
                   for i in range(count)]
        result = self.send_records(records, "--host-connections", "8")
        by_id = self.check_books(result, count)
        self.check_status(result, 0)
        got = collections.Counter(e["id"] for e in sinker.stop())
        self.assertEqual(set(got), set(by_id))
        self.assertEqual([i for i, n in got.items() if n > 2], [], "sent more than twice")

    def test_close_with_notice(self):
        sinker = self.sinker(behave="close")
        count = scaled(3000)
        result = self.send_records([{"id": f"r{i}", "url": f"{sinker.url}/?id=r{i}"}
                                    for i in range(count)])
        self.check_status(result, 0)
        self.check_books(result, count)
        self.assertEqual(summary(result)["connections opened"], count)
        self.assertEqual(summary(result).get("sent again", 0), 0)
        self.assertEqual(len(sinker.stop()), count)

    def test_a_fresh_connection_is_not_retried(self):
        receiver = self.raw_receiver(lambda head, body: None)
        result = self.send_records([{"id": "a", "url": receiver.url + "/", "body": "x"}])
        self.check_status(result, 1)
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["error"], told["sent"]), ("connection_closed", "maybe"))
        self.assertEqual(len(receiver.requests), 1)

    def test_a_reused_connection_is_retried_once(self):
        """First answer well, then close on the second request of a connection, for ever."""
        served = collections.Counter()

        def answer(head, body):
            served[body] += 1
            return receiver.OK if body == b"first" else None

        receiver = self.raw_receiver(answer)
        result = self.send_records(
            [{"id": "a", "url": receiver.url + "/", "body": "first"},
             {"id": "b", "url": receiver.url + "/", "body": "second"}],
            "--host-connections", "1", "--shards", "1")
        self.check_status(result, 1)
        by_id = self.check_books(result, 2)
        self.assertEqual(by_id["a"]["outcome"], "delivered")
        self.assertEqual((by_id["b"]["error"], by_id["b"]["sent"]), ("connection_closed", "maybe"))
        self.assertEqual(served, {b"first": 1, b"second": 2})
        self.assertEqual(summary(result)["sent again"], 1)


if __name__ == "__main__":
    harness.main()
