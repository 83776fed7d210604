"""Goal: several shards share one input, one set of output files and one set of hosts without a
race. Small enough to run under the thread sanitizer.

Method: four shards, several hosts, answers of every class, all output files at once; then the
same stopped half-way.
"""
import collections
import signal

import harness
from harness import read_ndjson, scaled, summary

KINDS = ("/plain", "/plain", "/plain", "/status/500", "/status/404", "/close-silent", "/close",
         "/reset/head", "/bad/http2", "/odd/chunked", "/flaky/50+status/503")


class Shards(harness.Case):
    def records(self, sinker, count):
        return [{"id": f"r{i}", "url": f"http://{sinker.addresses[i % len(sinker.addresses)]}"
                                      f"{KINDS[i % len(KINDS)]}/?id=r{i}", "body": {"n": i}}
                for i in range(count)]

    def outputs(self):
        return ["--events", self.path("events"), "--dead-letters", self.path("dead"), "--rejects",
                self.path("rejects")]

    def test_four_shards_with_every_output(self):
        count = scaled(40000)
        sinker = self.sinker(listen=[f"127.0.0.{i}:0" for i in range(1, 8)], shards=2)
        lines = self.records(sinker, count)
        bad = [b"nonsense %d" % i for i in range(50)]
        mixed = []
        for i, line in enumerate(lines):
            mixed.append(line)
            if i % (count // 50) == 0 and bad:
                mixed.append(bad.pop())
        result = self.send_records(mixed, "--shards", "4", *self.outputs())
        self.check_status(result, 1)
        by_id = self.check_books(result, count)
        self.assertEqual(summary(result)["rejected"], 50)
        self.assertEqual(set(by_id), {line["id"] for line in lines})
        with open(self.path("rejects"), "rb") as f:
            self.assertEqual(len(f.read().splitlines()), 50)
        failed = {i for i, told in by_id.items() if told["outcome"] != "delivered"}
        self.assertEqual({r["id"] for r in read_ndjson(self.path("dead"))}, failed)
        for told in read_ndjson(self.path("events")):
            self.assertIsInstance(told, dict)
        got = collections.Counter(e["id"] for e in sinker.stop())
        for name, told in by_id.items():
            if told["outcome"] == "delivered":
                self.assertGreaterEqual(got[name], 1, told)

    def test_stopped_half_way(self):
        count = scaled(200000)
        sinker = self.sinker(listen=[f"127.0.0.{i}:0" for i in range(1, 4)], shards=1)
        path = harness.write_lines(self.path("input"), self.records(sinker, count))
        p = self.start("--shards", "4", *self.outputs(), path)
        harness.wait_until(lambda: harness.os.path.exists(self.path("results"))
                           and harness.os.path.getsize(self.path("results")) > 0
                           or p.child.poll() is not None, "first results")
        p.signal(signal.SIGTERM)
        result = p.finish()
        self.check_sane(result)
        by_id = self.check_books(result)
        if result.status != 1:  # it may have been done already
            self.check_status(result, 143)
        got = {e["id"] for e in sinker.stop()}
        for name, told in by_id.items():
            if told["outcome"] == "delivered":
                self.assertIn(name, got)


if __name__ == "__main__":
    harness.main()
