"""Goal: what hookline tells as delivered is what receivers got, record by record, and nothing else.

Method: thousands of records with ids, bodies of many sizes and all methods go to the bundled
receiver on several addresses; its log, the results file and the summary are compared as sets.
"""
import collections
import os
import random
import subprocess
import sys
import threading
import unittest

import harness
from harness import read_ndjson, scaled, summary

TEXT = "grüße \u2028 \"q\" \\ \U0001f600"
METHODS = ("POST", "PUT", "DELETE", "GET")


def make_records(addresses, count, seed):
    """Ids in the query; the body's size is in the id, so that the receiver's log can be checked."""
    draw = random.Random(seed)
    records = []
    for i in range(count):
        method = draw.choice(METHODS) if draw.random() < 0.3 else "POST"
        record = {"id": f"r{i}", "url": f"http://{draw.choice(addresses)}/in/{i}?id=r{i}"}
        if method != "POST" or draw.random() < 0.5:
            record["method"] = method
        size = 0
        if method != "GET":
            pad = draw.choice((0, 1, 30, 200, 900, 5000 if i % 50 == 0 else 50))
            if draw.random() < 0.8:
                record["body"] = {"n": i, "pad": "x" * pad, "text": TEXT}
                size = None  # the object's bytes as they stand in the file
            else:
                record["body"] = "y\n" * pad
                size = 2 * pad
        records.append((record, size))
    return records


class Delivery(harness.Case):
    def compare(self, records, result, logs):
        """Every id once in the results as delivered, and once in the receivers' logs."""
        by_id = self.check_books(result, len(records))
        self.check_status(result, 0)
        self.assertEqual(summary(result)["delivered"], len(records))
        got = collections.Counter(entry["id"] for entry in logs)
        self.assertEqual(set(got), set(by_id))
        self.assertEqual([n for n in got.values() if n != 1], [])
        paths = {entry["id"]: entry for entry in logs}
        for number, (record, size) in enumerate(records, 1):
            told, entry = by_id[record["id"]], paths[record["id"]]
            self.assertEqual(told["outcome"], "delivered", told)
            self.assertEqual(told["status"], 200, told)
            self.assertEqual(told["line"], number, told)
            self.assertEqual(entry["path"], f"/in/{record['id'][1:]}")
            if size is not None:
                self.assertEqual(entry["body_bytes"], size, record["id"])
            else:
                self.assertEqual(entry["body_bytes"], len(body_text(record)), record["id"])

    def run_file(self, shards, count, hosts, *options):
        sinker = self.sinker(listen=[f"127.0.0.{1 + i}:0" for i in range(hosts)], shards=1)
        records = make_records(sinker.addresses, count, seed=shards * 100 + hosts)
        result = self.send_records([r for r, _ in records], "--shards", shards, *options)
        self.compare(records, result, sinker.stop())

    def test_file_one_shard(self):
        self.run_file(1, scaled(30000), 5)

    def test_file_two_shards(self):
        self.run_file(2, scaled(30000), 5)

    def test_more_shards_than_records(self):
        self.run_file(8, 3, 1)

    def test_one_connection_for_all(self):
        self.run_file(2, scaled(5000), 1, "--host-connections", "1", "--connections", "1")

    def test_more_hosts_than_connections(self):
        self.run_file(1, scaled(5000), 40, "--connections", "8")

    def run_pipe(self, shards, count, pieces):
        """Written to a pipe by a thread, in pieces that do not respect lines."""
        sinker = self.sinker(listen=["127.0.0.1:0", "127.0.0.2:0"])
        records = make_records(sinker.addresses, count, seed=shards)
        path = harness.write_lines(self.path("input"), [r for r, _ in records])
        reading, writing = os.pipe()

        def feed():
            draw = random.Random(count)
            try:
                with open(path, "rb") as f, open(writing, "wb", buffering=0) as out:
                    while piece := f.read(draw.choice(pieces)):
                        view = memoryview(piece)
                        while view:
                            view = view[out.write(view):]
            except BrokenPipeError:
                pass  # it ended early: the run's own result tells why

        p = self.start("--shards", shards, "-", stdin=reading)
        os.close(reading)
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        result = p.finish()
        feeder.join(10)
        self.check_sane(result)
        self.compare(records, result, sinker.stop())

    def test_pipe_one_shard(self):
        self.run_pipe(1, scaled(20000), (1, 100, 4096, 65536, 300000))

    def test_pipe_two_shards(self):
        self.run_pipe(2, scaled(20000), (4096, 65536))

    def test_pipe_is_the_default_input(self):
        sinker = self.sinker()
        reading, writing = os.pipe()
        os.write(writing, b'{"id":"a","url":"%s/?id=a"}' % sinker.url.encode())  # no newline
        os.close(writing)
        p = self.start(stdin=reading)
        os.close(reading)
        result = p.finish()
        self.check_status(result, 0)
        self.assertEqual([e["id"] for e in sinker.stop()], ["a"])

    def test_pipe_is_read_only_as_far_as_it_can_be_sent(self):
        """Backpressure: with all attempts hanging, hookline must not swallow an endless pipe."""
        sinker = self.sinker(behave="hang/head")
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        p = self.start("--shards", "1", "--connections", "4", "--memory", "16M", "-", stdin=reading)
        os.close(reading)
        line = (b'{"url":"%s/","body":{"pad":"%s"}}\n' % (sinker.url.encode(), b"x" * 4000)) * 8
        written, idle = 0, 0
        while idle < 150 and written < 400 << 20:  # 1.5 s without progress: it has stopped reading
            try:
                written += os.write(writing, line)
                idle = 0
            except BlockingIOError:
                idle += 1
                harness.time.sleep(0.01)
        p.signal(harness.signal.SIGINT)
        p.signal(harness.signal.SIGINT)
        harness.time.sleep(0.05)
        if p.child.poll() is None:
            p.signal(harness.signal.SIGINT)
        os.close(writing)
        result = p.finish()
        self.check_sane(result)
        self.assertLess(written, 64 << 20, "the pipe was read without regard to what can be sent")
        numbers = summary(result)
        self.assertEqual(numbers["accepted"], numbers["pending"] + numbers["delivered"]
                         + numbers["failed"])

    def test_large_bodies(self):
        sinker = self.sinker()
        sizes = (0, 1, 1000, 65535, 65536, 300000, 1000000)
        records = [({"id": f"r{i}", "url": f"{sinker.url}/in/{i}?id=r{i}", "body": "z" * n}, n)
                   for i, n in enumerate(sizes * 3)]
        result = self.send_records([r for r, _ in records], "--max-record", "2M")
        self.compare(records, result, sinker.stop())

    def test_results_on_standard_output(self):
        sinker = self.sinker()
        path = harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": f"{sinker.url}/?id=r{i}"} for i in range(100)])
        result = self.start("--results", "-", path, results=False).finish()
        self.check_status(result, 0)
        told = [harness.json.loads(line) for line in result.out.splitlines()]
        self.assertEqual({t["id"] for t in told}, {f"r{i}" for i in range(100)})

    def test_ids_are_derived_when_not_given(self):
        """The same run, the same line: the same id on the wire and in the results; all differ."""
        sinker = self.sinker()
        result = self.send_records([{"url": sinker.url + "/", "body": {"n": i}} for i in range(50)],
                                   "--idempotency-key")
        told = {line["id"] for line in self.results()}
        self.assertEqual(len(told), 50)
        self.assertNotIn("", told)
        self.assertEqual({e["id"] for e in sinker.stop()}, told)
        self.check_status(result, 0)

    def test_ipv6_and_localhost_and_resolve(self):
        six = self.sinker(listen=["[::1]:0"], name="six")
        four = self.sinker(listen=["127.0.0.1:0"], name="four")
        port = four.addresses[0].rsplit(":", 1)[1]
        result = self.send_records([
            {"id": "six", "url": f"http://{six.addresses[0]}/?id=six"},
            {"id": "local", "url": f"http://localhost:{port}/?id=local"},
            {"id": "named", "url": f"http://hooks.example:{port}/?id=named"},
        ], "--resolve", f"hooks.example:{port}:127.0.0.1")
        self.check_status(result, 0)
        self.assertEqual({e["id"] for e in six.stop()}, {"six"})
        self.assertEqual({e["id"] for e in four.stop()}, {"local", "named"})


def body_text(record):
    """The body's bytes as write_lines() put them into the file."""
    return harness.json.dumps(record["body"], separators=(",", ":"), ensure_ascii=False).encode()


if __name__ == "__main__":
    harness.main()
