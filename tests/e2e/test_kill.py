"""Goal: kill -9 at any moment costs nobody a webhook and tells nobody a lie.

Method: the same command is started again and again on one state and killed at random moments, while
it starts, recovers and sends; at last it may finish. Then, record by record: the receiver's log
against the results, the events, the dead letters, the rejects and the list of what may have been
delivered. Every record has one ending; none is lost; who got a webhook twice is on the list, and so
often; nobody is on the list who was not under way.

    test_kill.py [KILLS [RECORDS]]     default: 200 kills; records enough for all of them
"""
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

import harness
from harness import HOOKLINE, LOOPBACK, read_ndjson, summary

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else \
    20 if harness.SANITIZED else 200
RECORDS = int(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2].isdigit() else 300 * KILLS
SYNCS = ("group", "always", "none")
LIFE_S = (0.005, 0.2)  # from the start of the process to its end


def write_input(path, url, count):
    """Mostly records that are delivered at once; some that fail, are tried again, or are none."""
    draw = random.Random(1)
    kinds = {}
    with open(path, "w") as out:
        for line in range(1, count + 1):
            dice = draw.random()
            if dice < 0.004:
                out.write('{"url":"%s/","id":"bad%d","what":1}\n' % (url, line))
                kinds[line] = "reject"
            elif dice < 0.006:
                out.write("\n")
                kinds[line] = "blank"
            elif dice < 0.02:
                out.write('{"id":"r%d","url":"%s/status/404?id=r%d"}\n' % (line, url, line))
                kinds[line] = "refused"
            elif dice < 0.05:
                out.write('{"id":"r%d","url":"%s/flaky/40?id=r%d"}\n' % (line, url, line))
                kinds[line] = "flaky"
            else:
                out.write('{"id":"r%d","url":"%s/in?id=r%d","body":{"n":%d}}\n'
                          % (line, url, line, line))
                kinds[line] = "good"
    return kinds


class Kill(harness.Case):
    draw = random.Random(3)

    def command(self, sync, rate):
        shards, memory, connections = "2", "128M", "4096"
        if sync == "any":  # what may change from life to life does
            sync, shards = self.draw.choice(SYNCS), self.draw.choice(("1", "2", "3"))
            memory = self.draw.choice(("128M", "200M"))
            connections = self.draw.choice(("16", "300", "4096"))
        argv = [HOOKLINE, "send", *LOOPBACK, "--progress", "none", "--state", self.path("state"),
                "--sync", sync, "--backoff", "20ms,1.5,100ms", "--retry-budget", "100,100000/s",
                "--health-ratio", "100", "--shards", shards, "--memory", memory,
                "--connections", connections]
        for name in ("results", "events", "dead-letters", "rejects"):
            argv += ["--" + name, self.path(name)]
        return argv + (["--rate", f"{rate}/s"] if rate else []) + [self.path("input")]

    def lives(self, sync, kills, records):
        """Kills that many lives, then lets one finish. Returns its result, and lives that ended."""
        draw = random.Random(2)
        mean = sum(LIFE_S) / 2
        rate = max(200, int(records / (kills * mean * 1.4)))
        ended = 0
        for _ in range(kills):
            with open(self.path("life.err"), "w+") as err:
                child = subprocess.Popen(self.command(sync, rate), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=err)
                time.sleep(draw.uniform(*LIFE_S))
                over = child.poll()
                child.send_signal(signal.SIGKILL)
                child.wait()
                err.seek(0)
                self.assertIn(over, (None, 0, 1), f"a life ended early: {err.read()}")
            ended += over is not None
        last = harness.Process(self.command(sync, None), self.folder)
        self.addCleanup(last.kill)
        return last.finish(300), ended

    def judge(self, kinds, last, log):
        """Record by record."""
        results = read_ndjson(self.path("results"))
        told = collections.Counter(r["line"] for r in results)
        self.assertEqual([n for n, count in told.items() if count != 1], [], "two endings")
        by_line = {r["line"]: r for r in results}
        got = collections.Counter(entry["id"] for entry in log)
        listed = collections.Counter()
        for entry in read_ndjson(self.path("state/maybe-delivered.ndjson")):
            listed[entry["id"]] += 1
        twice = 0
        for line, kind in kinds.items():
            if kind in ("reject", "blank"):
                self.assertNotIn(line, by_line, kind)
                continue
            name, end = f"r{line}", by_line.get(line)
            self.assertIsNotNone(end, f"line {line} is lost")
            if kind == "good":
                self.assertEqual(end["outcome"], "delivered", end)
            if kind == "refused":
                self.assertEqual((end["outcome"], end["status"]), ("failed", 404), end)
            self.assertGreaterEqual(got[name], 1, f"line {line} ended, and was never received")
            # Each request beyond the attempts whose end was told must be on the list.
            again = got[name] - (1 if kind != "flaky" else end["attempts"])
            if again > 0:
                twice += 1
                self.assertGreaterEqual(listed[name], again if kind != "flaky" else 1,
                                        f"line {line} came {got[name]} times, unlisted: {end}")
        self.assertEqual(set(got) - {f"r{line}" for line in kinds}, set(), "invented")
        self.books(kinds, last, by_line)
        return twice, sum(listed.values())

    def books(self, kinds, last, by_line):
        """The other files, and the summary."""
        self.check_sane(last)
        numbers = summary(last)
        records = sum(kind not in ("reject", "blank") for kind in kinds.values())
        self.assertEqual(numbers["accepted"], records, str(last))
        self.assertEqual(numbers["pending"], 0, str(last))
        delivered = sum(r["outcome"] == "delivered" for r in by_line.values())
        self.assertEqual(numbers["delivered"], delivered, str(last))
        rejects = open(self.path("rejects")).read().splitlines()
        self.assertEqual(len(rejects), sum(kind == "reject" for kind in kinds.values()))
        self.assertEqual(len(set(rejects)), len(rejects), "a reject twice")
        letters = read_ndjson(self.path("dead-letters"))
        failed = {r["id"] for r in by_line.values() if r["outcome"] != "delivered"}
        self.assertEqual(collections.Counter(r["id"] for r in letters),
                         collections.Counter(failed), "dead letters")
        terminal = collections.Counter(e["line"] for e in read_ndjson(self.path("events"))
                                       if e["is_terminal"])
        self.assertEqual(set(terminal), set(by_line))
        self.assertEqual(set(terminal.values()), {1})

    def run_kills(self, sync, kills, records):
        receiver = self.sinker()
        kinds = write_input(self.path("input"), receiver.url, records)
        begun = time.monotonic()
        last, ended = self.lives(sync, kills, records)
        twice, listed = self.judge(kinds, last, receiver.stop())
        print(f"{kills} kills over {records} records with --sync {sync} in "
              f"{time.monotonic() - begun:.0f} s: {twice} records came more than once, "
              f"{listed} listed as maybe delivered, {ended} lives had ended by themselves",
              file=sys.stderr)
        self.assertLess(ended, 1 + kills / 2, "most lives were over before they were killed")
        if kills >= 100:
            self.assertGreater(listed, 0, "nothing was ever under way at a kill")
        size = os.path.getsize(self.path("state/journal"))
        self.assertLess(size, 24 * records + 65536)

    def test_group(self):
        self.run_kills("group", KILLS * 8 // 10, RECORDS * 8 // 10)

    def test_always(self):
        self.run_kills("always", KILLS // 10, RECORDS // 10)

    def test_none(self):
        self.run_kills("none", KILLS // 20, RECORDS // 20)

    def test_any(self):
        """Another --sync, --shards, --memory and --connections in each life."""
        self.run_kills("any", KILLS // 20, RECORDS // 20)


if __name__ == "__main__":
    while len(sys.argv) > 1 and sys.argv[1].isdigit():
        del sys.argv[1]
    harness.main()
