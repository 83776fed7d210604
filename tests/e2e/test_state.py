"""Goal: a run with a state goes on after whatever ended it, and refuses what does not belong to it.

Method: runs are stopped by signals, limits of time, full disks and vanished folders, and the same
command is given again; records, requests and lines are compared. (Kills are in test_kill.py, what a
disk can do in the simulators.)
"""
import collections
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import HOOKLINE, LOOPBACK, read_ndjson, summary, wait_until

COUNT = 400


class State(harness.Case):
    def records(self, url, path="/in", count=COUNT, **more):
        at = self.path("input")
        with open(at, "w") as out:
            for i in range(count):
                out.write(json.dumps({"id": f"r{i}", "url": f"{url}{path}?id=r{i}", **more}) + "\n")
        return at

    def state(self, *args, **more):
        return self.send("--state", self.path("state"), *args, **more)

    def begin(self, *args, **more):
        return self.start("--state", self.path("state"), *args, **more)

    def some_results(self, least=1):
        wait_until(lambda: os.path.exists(self.path("results")) and
                   len(read_ndjson(self.path("results"))) >= least, "some results")

    def report(self, what):
        done = subprocess.run([HOOKLINE, "report", "--json", self.path(what)],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def once_each(self, log, count=COUNT):
        got = collections.Counter(entry["id"] for entry in log)
        self.assertEqual(len(got), count)
        self.assertEqual([name for name, n in got.items() if n != 1], [])
        lines = collections.Counter(r["line"] for r in self.results())
        self.assertEqual(len(lines), count)
        self.assertEqual(set(lines.values()), {1})

    # ---- it goes on ------------------------------------------------------------------------

    def test_sigterm_and_again(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/delay/20ms")
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            run = self.begin("--rate", "500/s", at)
            self.some_results()
            time.sleep(0.1)
            run.signal(number)
            stopped = run.finish()
            self.check_status(stopped, status, "the same command goes on")
        last = self.state(at)
        self.check_status(last, 0)
        self.check_books(last, COUNT)
        self.assertIn("resumed from", last.err)
        self.once_each(receiver.stop())
        self.assertEqual(read_ndjson(self.path("state/maybe-delivered.ndjson")), [])

    def test_over_is_over(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        for _ in range(3):
            result = self.state(at)
            self.check_status(result, 0)
            self.check_books(result, COUNT)
        self.once_each(receiver.stop())
        self.assertTrue(self.report("state")["state"]["over"])

    def test_cut_off_is_listed(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/delay/30s", 4)
        run = self.begin(at)
        wait_until(lambda: self.report_or_none().get("under_way", 0) == 4, "4 under way")
        run.signal(signal.SIGTERM)
        time.sleep(0.2)
        run.signal(signal.SIGTERM)
        self.check_status(run.finish(), 143)
        self.assertEqual(self.report("state")["state"]["maybe_delivered"], 4)
        run = self.begin(at)
        wait_until(lambda: os.path.exists(self.path("state/maybe-delivered.ndjson")) and
                   len(read_ndjson(self.path("state/maybe-delivered.ndjson"))) == 4, "the list")
        run.kill()
        listed = read_ndjson(self.path("state/maybe-delivered.ndjson"))
        self.assertEqual({e["id"] for e in listed}, {f"r{i}" for i in range(4)})
        self.assertEqual({e["attempt"] for e in listed}, {1})

    def report_or_none(self):
        done = subprocess.run([HOOKLINE, "report", "--json", self.path("state")],
                              capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)["state"] if done.returncode == 0 else {}

    def test_a_pipe_is_kept(self):
        receiver = self.sinker()
        lines = open(self.records(receiver.url)).read()
        with open(self.path("input")) as pipe:
            feed = subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.PIPE)
            run = self.begin("--rate", "500/s", stdin=feed.stdout)
            feed.stdout.close()
            feed.wait()
        self.some_results()
        run.kill()
        self.assertEqual(open(self.path("state/input")).read(), lines)
        result = self.state("-", stdin=subprocess.DEVNULL)
        self.check_status(result, 0)
        self.check_books(result, COUNT)
        got = {entry["id"] for entry in receiver.stop()}
        self.assertEqual(len(got), COUNT)

    def test_ids_stay(self):
        receiver = self.sinker()
        at = self.path("input")
        with open(at, "w") as out:
            for i in range(200):
                out.write(json.dumps({"url": f"{receiver.url}/in", "body": {"n": i}}) + "\n")
        args = ("--idempotency-key", "--rate", "400/s", at)
        run = self.begin(*args)
        self.some_results()
        run.signal(signal.SIGTERM)
        run.finish()
        self.check_status(self.state(*args), 0)
        prefixes = {r["id"].split("-")[0] for r in self.results()}
        self.assertEqual(len(prefixes), 1, "the run has another id in its second life")
        self.assertEqual({e["id"] for e in receiver.stop()}, {r["id"] for r in self.results()})

    def test_a_schedule_is_kept(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/status/503", 5)
        args = ("--retries", "1", "--backoff", "4s,1,4s", "--health-ratio", "100", at)
        run = self.begin("--events", self.path("events"), *args)
        wait_until(lambda: self.report_or_none().get("waiting") == 5, "five that wait")
        run.kill()
        result = self.state("--events", self.path("events"), *args)
        self.check_status(result, 1)
        self.check_books(result, 5)
        ends = {(r["outcome"], r["attempts"]) for r in self.results()}
        self.assertEqual(ends, {("exhausted", 2)})
        at = collections.defaultdict(list)
        for entry in receiver.stop():
            at[entry["id"]].append(entry["time"])
        for name, times in at.items():
            self.assertEqual(len(times), 2, name)
            a, b = (float(t[17:-1]) + 60 * int(t[14:16]) for t in times)
            self.assertGreaterEqual((b - a) % 3600, 1.99, "tried again before its time")
        for r in self.results():
            self.assertGreaterEqual(r["total_ms"], 1990, "its first attempt is forgotten")

    def test_a_hold_is_kept(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/status/503", 60)
        args = ("--retries", "1", "--backoff", "1ms,1,1ms", "--health-min", "5",
                "--health-ratio", "50", "--cooldown", "60s", "--host-connections", "8", at)
        run = self.begin(*args)
        wait_until(lambda: self.report_or_none().get("holds") == 1, "a hold")
        time.sleep(0.3)
        run.kill()
        before = len(read_ndjson(receiver.log))
        result = self.state("--max-wait", "5s", *args)
        self.check_status(result, 6, "--max-wait", "the same command goes on")
        self.assertLessEqual(len(receiver.stop()) - before, 0, "sent in spite of the hold")

    def machine_was_started_anew(self):
        """As the journal sees it: another boot id in its head, and the checksum of that."""
        with open(self.path("state/journal"), "r+b") as journal:
            head = bytearray(journal.read(80))
            head[40:56] = bytes(16)
            head[12:16] = bytes(4)
            crc = 0xFFFFFFFF
            for byte in head:
                crc ^= byte
                for _ in range(8):
                    crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
            head[12:16] = (crc ^ 0xFFFFFFFF).to_bytes(4, "little")
            journal.seek(0)
            journal.write(head)
        os.unlink(self.path("state/in-flight"))

    def test_after_a_power_loss(self):
        """What was under way is not known exactly: all that may have been is listed."""
        receiver = self.sinker()
        at = self.records(receiver.url, "/delay/300ms", 300)
        args = ("--rate", "300/s", at)
        run = self.begin(*args)
        self.some_results(20)
        run.kill()
        known = {r["id"] for r in self.results()}
        self.machine_was_started_anew()
        self.check_status(self.state(*args), 0)
        listed = read_ndjson(self.path("state/maybe-delivered.ndjson"))
        names = {e["id"] for e in listed}
        self.assertEqual(len(names), len(listed), "listed twice")
        self.assertEqual(names & known, set(), "their end was known")
        self.assertEqual({e["begun"] for e in listed}, {None})
        got = collections.Counter(entry["id"] for entry in receiver.stop())
        twice = {name for name, n in got.items() if n > 1}
        self.assertGreater(len(twice), 0)
        self.assertEqual(twice - names, set(), "sent twice and not listed")
        self.assertEqual(len({r["line"] for r in self.results()}), 300)

    def test_at_most_once(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/delay/300ms", 100)
        args = ("--delivery", "at-most-once", "--rate", "200/s", at)
        for _ in range(2):
            run = self.begin(*args)
            time.sleep(0.35)
            run.kill()
        result = self.state(*args)
        by_id = self.check_books(result, 100)
        got = collections.Counter(entry["id"] for entry in receiver.stop())
        self.assertEqual([n for n in got.values() if n > 1], [])
        cut = [r for r in by_id.values() if r["outcome"] == "failed"]
        self.assertGreater(len(cut), 0)
        self.assertEqual({(r["error"], r["sent"]) for r in cut}, {("stopped", "maybe")})

    # ---- when to stop ----------------------------------------------------------------------

    def test_run_time(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        result = self.state("--rate", "100/s", "--run-time", "1s", at)
        self.check_status(result, 6, "--run-time", "the same command goes on")
        self.check_status(self.state(at), 0)
        self.once_each(receiver.stop())

    def test_max_wait(self):
        receiver = self.sinker()
        at = self.records(receiver.url, "/status/503", 5)
        letters = self.path("letters")
        begun = time.monotonic()
        result = self.send("--retries", "5", "--backoff", "1h,1,1h", "--retry-window", "24h",
                           "--max-wait", "2m", "--dead-letters", letters, at)
        self.check_status(result, 6, "--max-wait")
        self.assertLess(time.monotonic() - begun, 60)
        self.assertEqual(len(read_ndjson(letters)), 5)

    # ---- what is refused -------------------------------------------------------------------

    def test_one_run_at_a_time(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        run = self.begin("--rate", "100/s", at)
        self.some_results()
        other = self.start("--state", self.path("state"), at).finish()
        self.check_one_line(other, 4, "another hookline")
        live = self.report("state")
        self.assertGreater(live["state"]["outcomes"]["delivered"], 0)
        self.assertFalse(live["state"]["over"])
        run.signal(signal.SIGTERM)
        self.assertEqual(run.finish().status, 143)

    def test_a_process_that_is_still_ending(self):
        """One that was killed holds the folder until the kernel has taken its ring apart."""
        receiver = self.sinker()
        at = self.records(receiver.url)
        os.mkdir(self.path("state"))
        with open(self.path("state/lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run = self.begin(at)
            wait_until(lambda: run.child.poll() is not None or self.waits_for_lock(run.child.pid),
                       "it waits")
        self.check_status(run.finish(), 0)

    def waits_for_lock(self, pid):
        folder = f"/proc/{pid}/fd"
        try:
            return self.path("state/lock") in [os.readlink(os.path.join(folder, name))
                                               for name in os.listdir(folder)]
        except OSError:  # one that was closed just now
            return False

    def test_what_does_not_belong(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        self.check_status(self.state(at), 0)
        other = self.start("--state", self.path("state"), "--max-record", "64K", at).finish()
        self.check_one_line(other, 2, "--max-record")
        argv = ("--state", self.path("state"), "--results", self.path("elsewhere"), at)
        self.check_one_line(self.start(*argv, results=False).finish(), 2, "--results")
        self.assertFalse(os.path.exists(self.path("elsewhere")))
        with open(at, "a") as out:
            out.write("\n")
        self.check_one_line(self.start("--state", self.path("state"), at).finish(), 3, "input")
        with open(at, "w") as out:
            out.write("\n")
        self.check_one_line(self.start("--state", self.path("state"), at).finish(), 3, "input")

    def test_results_that_are_gone(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        self.check_status(self.state(at), 0)
        os.truncate(self.path("results"), 100)
        refused = self.start("--state", self.path("state"), at).finish()
        self.check_one_line(refused, 4, "shorter")

    def test_a_damaged_journal(self):
        receiver = self.sinker()
        at = self.records(receiver.url)
        self.check_status(self.state(at), 0)
        with open(self.path("state/journal"), "r+b") as journal:
            journal.seek(100)
            journal.write(b"\xff\xff\xff\xff")
        self.check_one_line(self.start("--state", self.path("state"), at).finish(), 4, "damaged")

    # ---- disks -----------------------------------------------------------------------------

    def mounted(self, size, script):
        """Runs a shell script in which $D is a small disk of its own, and "$@" the command."""
        own_mounts = harness.own_mounts()
        if own_mounts is None:
            self.skipTest("no mounts of one's own here")
        os.makedirs(self.path("disk"), exist_ok=True)
        argv = [*own_mounts, "sh", "-c",
                f"D={self.path('disk')}; mount -t tmpfs -o size={size} none $D || exit 99\n"
                + script,
                "sh", HOOKLINE, "send", *LOOPBACK, "--progress", "none",
                "--state", self.path("disk/state"), "--results", self.path("disk/results"),
                self.path("input")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=200)
        if done.returncode == 99:
            self.skipTest("no mount namespace here")
        return done

    def test_a_full_disk(self):
        receiver = self.sinker()
        self.records(receiver.url, "/in", 20000)
        done = self.mounted("10m", "dd if=/dev/zero of=$D/filler bs=1k count=6000 2>/dev/null; "
                            '"$@"; echo "status $?" >&2; rm $D/filler; '
                            'mount -o remount,size=64m $D; "$@" && '
                            "cp $D/results " + self.path("results"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("status 4", done.stderr)
        self.assertIn("No space left", done.stderr)
        lines = collections.Counter(r["line"] for r in self.results())
        self.assertEqual(len(lines), 20000)
        self.assertEqual(set(lines.values()), {1})
        self.assertEqual(len({e["id"] for e in receiver.stop()}), 20000)

    def test_a_file_size_limit(self):
        """ulimit -f: told like a full disk, whichever file meets it, and gone on from."""
        receiver = self.sinker()
        at = self.records(receiver.url, "/in", 20000)
        for limit in (1000, 100_000, 4_000_000):
            run = self.begin(at, limits=[(resource.RLIMIT_FSIZE, limit)])
            self.check_status(run.finish(), 4, "file too large")
        self.check_status(self.state(at), 0)
        lines = collections.Counter(r["line"] for r in self.results())
        self.assertEqual(len(lines), 20000)
        self.assertEqual(set(lines.values()), {1})
        self.assertEqual(len({e["id"] for e in receiver.stop()}), 20000)

    def test_a_pipe_beyond_the_file_size_limit(self):
        lines = open(self.records("http://127.0.0.1:9")).read()
        feed = subprocess.Popen(["cat", self.path("input")], stdout=subprocess.PIPE)
        run = self.begin(stdin=feed.stdout, limits=[(resource.RLIMIT_FSIZE, len(lines) // 2)])
        feed.stdout.close()
        self.check_one_line(run.finish(), 4, "file too large")
        feed.wait()

    def test_a_disk_that_cannot_be_written(self):
        receiver = self.sinker()
        self.records(receiver.url)
        done = self.mounted("10m", 'mount -o remount,ro $D; "$@"; echo "status $?" >&2')
        self.assertIn("status 4", done.stderr)
        self.assertIn("Read-only file system", done.stderr)
        self.assertEqual(receiver.stop(), [])

    def test_a_state_that_vanishes(self):
        for sync in ("group", "always", "none"):
            with self.subTest(sync=sync):
                receiver = self.sinker(name=f"sinker-{sync}")
                at = self.records(receiver.url)
                run = self.begin("--rate", "100/s", "--sync", sync, at)
                self.some_results()
                shutil.rmtree(self.path("state"))
                result = run.finish(60)
                self.check_status(result, 4, "state", "no such file")
                self.assertLess(len(receiver.stop()), COUNT)
                os.unlink(self.path("results"))

    def test_a_state_that_vanishes_at_the_end(self):
        """After the last outcome, while a connection is still awaited: it must not end well."""
        receiver = self.raw_receiver(lambda head, body: self.vanish())
        at = self.records(receiver.url, count=1)
        self.check_status(self.state("--sync", "none", at), 4, "state", "no such file")

    def vanish(self):
        shutil.rmtree(self.path("state"))
        return harness.RawReceiver.OK


if __name__ == "__main__":
    harness.main()
