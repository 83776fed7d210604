"""Goal: receivers that hang or refuse take next to nothing from the others.

Method: the same records for healthy receivers, alone and with as many for bad ones between them.
Times are compared with each other only, and generously: what this is to catch is a sender that
waits for the bad ones at every turn. perf/run isolation measures it finely.
"""
import time
import unittest

import harness
from harness import scaled

HEALTHY, HANGING, REFUSING = 100, 50, 50


class Isolation(harness.Case):
    schedule = True

    def delivered(self):
        try:
            with open(self.path("results"), "rb") as f:
                return sum(b'"delivered"' in line for line in f)
        except FileNotFoundError:
            return 0

    def seconds(self, records, count):
        """Until all healthy ones are delivered; the others would take a day."""
        path = harness.write_lines(self.path("input"), records)
        p = self.start("--shards", "1", "--connections", "1024", path)
        began = time.monotonic()
        harness.wait_until(lambda: self.delivered() == count, "the healthy ones", 100)
        took = time.monotonic() - began
        p.kill()
        return took

    def test_half_of_the_records_are_for_bad_receivers(self):
        count = scaled(60000)
        healthy = self.sinker(listen=[f"127.0.6.1-127.0.6.{HEALTHY}:0"], log=False, name="healthy")
        hanging = self.sinker(listen=[f"127.0.7.1-127.0.7.{HANGING}:0"], log=False,
                              behave="hang/head", name="hanging")
        port = healthy.addresses[0].rsplit(":", 1)[1]
        bad_port = hanging.addresses[0].rsplit(":", 1)[1]
        bad = [f"http://127.0.7.{1 + i}:{bad_port}/" for i in range(HANGING)]
        bad += [f"http://127.0.8.{1 + i}:{bad_port}/" for i in range(REFUSING)]
        good = [{"id": f"g{i}", "url": f"http://127.0.6.{1 + i % HEALTHY}:{port}/",
                 "body": {"pad": "x" * 150}} for i in range(count)]
        both = []
        for i, record in enumerate(good):
            both += [record, {"id": f"b{i}", "url": bad[i % len(bad)], "body": {"pad": "x" * 150}}]
        alone_s = self.seconds(good, count)
        beside_s = self.seconds(both, count)
        self.assertLess(beside_s, 2 * alone_s + 1)


if __name__ == "__main__":
    unittest.main()
