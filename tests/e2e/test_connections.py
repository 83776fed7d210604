"""Goal: connections are few and a receiver keeps its own while they are scarce.

Method: more receivers than the shard has connections for, each with a few records in a row, again
and again; the summary says how many connections were opened.
"""
import unittest

import harness
from harness import scaled, summary


class Scarce(harness.Case):
    def opened(self, hosts, run_length, connections, count):
        sinker = self.sinker(listen=[f"127.0.5.1-127.0.5.{hosts}:0"], log=False)
        port = sinker.addresses[0].rsplit(":", 1)[1]
        records = [{"id": f"r{i}", "body": {"n": i},
                    "url": f"http://127.0.5.{1 + i // run_length % hosts}:{port}/"}
                   for i in range(count)]
        result = self.send_records(records, "--shards", "1", "--connections", str(connections))
        self.check_status(result, 0)
        self.check_books(result, count)
        return summary(result)["connections opened"]

    def test_each_keeps_its_own(self):
        """50 receivers, 200 connections: four for each, and not one for each batch."""
        count = scaled(20000)
        opened = self.opened(50, 20, 200, count)
        self.assertLess(opened, 200 + count // 50)

    def test_more_receivers_than_connections(self):
        """Each batch has to open one, but not one for each of its records."""
        count = scaled(20000)
        opened = self.opened(200, 20, 50, count)
        self.assertLess(opened, 50 + count // 10)


if __name__ == "__main__":
    unittest.main()
