"""Goal: a run of any length stays within --memory, start to end, and goes on from its middle.

Method: many small records, most of them delivered; the run is killed when half of its results are
there, and the same command is given again. The kernel's high-water marks judge the memory of both
lives; the results file is read line by line, the receiver says how many requests came.

    test_long.py [RECORDS [MEMORY]]     default: 300000 64M; 100000000 512M takes some forty minutes
                                        and 40 GB of disk, most of it for the results
"""
import os
import re
import sys
import time
import unittest

import harness
from harness import read_ndjson, summary

MIB = 1 << 20
RECORDS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else \
    harness.scaled(300_000)
MEMORY = sys.argv[2] if len(sys.argv) > 2 and sys.argv[1].isdigit() else "64M"
RUN_SECONDS = max(harness.RUN_SECONDS_MAX, RECORDS // 10_000)  # bounds it; a test of no speed
BASE_MIB = 16  # the program, its libraries and their tables
REFUSED_EVERY, BLANK_EVERY = 1000, 1009
JOURNAL_FLOOR = 33 * MIB  # it is compacted when it has grown by 32 MiB, or as much as it was


def write_input(path, url):
    """Lines as small as they can be; returns how many records there are, how many refused."""
    good = f'{{"url":"{url}/%d"}}\n'
    bad = f'{{"url":"{url}/status/404/%d"}}\n'
    records = refused = 0
    with open(path, "w", buffering=MIB) as out:
        for line in range(1, RECORDS + 1):
            if line % BLANK_EVERY == 0:
                out.write("\n")
                continue
            records += 1
            refused += line % REFUSED_EVERY == 0
            out.write((bad if line % REFUSED_EVERY == 0 else good) % line)
    return records, refused


class Growth:
    """Watches a file until it is longer than it was at its shortest."""

    def __init__(self, path):
        self.path, self.least = path, os.path.getsize(path)

    def grown(self):
        size = os.path.getsize(self.path)
        self.least = min(self.least, size)
        return size > self.least


class Long(harness.Case):
    schedule = True

    def begin(self):
        return self.start("--state", self.path("state"), "--memory", MEMORY, self.path("input"))

    def watch(self, process):
        process.watch_memory()
        journal = self.path("state/journal")
        if os.path.exists(journal):
            self.journal_bytes = max(self.journal_bytes, os.path.getsize(journal))
        time.sleep(0.02)

    def until(self, process, ready, what):
        end = time.monotonic() + RUN_SECONDS
        while not ready():
            self.assertIsNone(process.child.poll(), f"it ended: {process.stderr_so_far()}")
            self.assertLess(time.monotonic(), end, f"waited in vain: {what}")
            self.watch(process)

    def size(self):
        path = self.path("results")
        return os.path.getsize(path) if os.path.exists(path) else 0

    def halfway(self, records):
        """How long the results will be when half of them are there, from the first of them."""
        with open(self.path("results"), "rb") as results:
            first = results.readlines(64 << 10)[:-1]
        return sum(map(len, first)) / len(first) * records / 2

    def judge(self):
        """Line by line; returns how many there are of each ending."""
        seen = bytearray(RECORDS + 1)
        number = re.compile(rb'"line":(\d+),')
        ends = {True: 0, False: 0}
        with open(self.path("results"), "rb", buffering=MIB) as results:
            for text in results:
                line = int(number.search(text).group(1))
                self.assertEqual(seen[line], 0, f"line {line} has two endings")
                seen[line] = 1
                delivered = b'"outcome":"delivered"' in text
                self.assertEqual(delivered, line % REFUSED_EVERY != 0, text)
                ends[delivered] += 1
            self.assertTrue(text.endswith(b"\n"))
        for line in range(BLANK_EVERY, RECORDS + 1, BLANK_EVERY):
            self.assertEqual(seen[line], 0, f"line {line} is blank")
        return ends[True], ends[False]

    def test_killed_in_its_middle(self):
        receiver = self.sinker(log=False)
        records, refused = write_input(self.path("input"), receiver.url)
        self.journal_bytes = 0
        begun = time.monotonic()
        first = self.begin()
        self.until(first, lambda: self.size() > 128 << 10, "the first results")
        half = self.halfway(records)
        self.until(first, lambda: self.size() >= half, "half of the results")
        first.kill()

        again = time.monotonic()
        growth = Growth(self.path("results"))
        last = self.begin()
        self.until(last, growth.grown, "results of the second life")
        told_after = time.monotonic() - again
        while last.child.poll() is None and time.monotonic() < again + RUN_SECONDS:
            self.watch(last)
        result = last.finish()
        took = time.monotonic() - begun

        self.check_sane(result)
        self.check_status(result, 1)  # some were refused
        numbers = summary(result)
        self.assertEqual(numbers["accepted"], records, str(result))
        self.assertEqual(numbers["pending"], 0, str(result))
        self.assertEqual(self.judge(), (records - refused, refused), str(result))
        listed = read_ndjson(self.path("state/maybe-delivered.ndjson"))
        receiver.stop()
        with open(receiver.err.name) as said:
            requests = int(re.search(r"(\d+) requests", said.read().replace(",", "")).group(1))
        self.assertGreaterEqual(requests, records)
        self.assertLessEqual(requests - records, len(listed), "sent twice, and not listed")
        at_the_end = os.path.getsize(self.path("state/journal"))
        self.journal_bytes = max(self.journal_bytes, at_the_end)
        self.assertLess(self.journal_bytes, max(24 * RECORDS, 2 * JOURNAL_FLOOR))
        print(f"{records:,} records within --memory {MEMORY} in {took:.0f} s, killed at the half: "
              f"peaks of {first.peak_kib >> 10} and {result.peak_kib >> 10} MiB, the second life "
              f"told its first outcome after {told_after:.2f} s, {len(listed)} listed as maybe "
              f"delivered and {requests - records} sent twice, journal at most "
              f"{self.journal_bytes / MIB:.1f} MiB and {at_the_end / MIB:.1f} MiB in the end",
              file=sys.stderr)
        if not harness.SANITIZED:
            limit_mib = int(MEMORY.rstrip("M")) + BASE_MIB
            self.assertLess(max(first.peak_kib, result.peak_kib), limit_mib << 10)


if __name__ == "__main__":
    while len(sys.argv) > 1 and sys.argv[1][0].isdigit():
        del sys.argv[1]
    harness.main()
