"""Goal: the main rules of scheduling hold for the binary as they do in the simulator: retries,
Retry-After, holds, at most once, the ways to end, and the operator's own limits.

Method: sinker misbehaves by path or by script and keeps a log of what arrived when; the results and
events say what hookline made of it. Waits are short (--backoff, --cooldown); times are tested only
where something must not come too early, or where one of two must come before the other.
"""
import time
import unittest

import harness
from harness import summary

SHORT = ("--backoff", "200ms,2,1s", "--unreachable-backoff", "200ms,2,1s")


class Sched(harness.Case):
    schedule = True

    def sinker(self, *args, **more):
        s = super().sinker(*args, **more)
        self.addCleanup(lambda: s.err.closed or s.stop())
        return s

    def records(self, url, count, **more):
        mark = "&" if "?" in url else "?"
        return [{"id": f"r{i}", "url": f"{url}{mark}id=r{i}", **more} for i in range(count)]

    def scripted(self, text):
        path = self.path("script")
        with open(path, "w") as f:
            f.write(text)
        return self.sinker(options=("--script", path, "--time-from", "first-request"))

    @staticmethod
    def times(log, name):
        """When the attempts of one record arrived."""
        return [e["time"] for e in log if e["id"] == name]

    def seconds(self, stamp):
        """Of a time as sinker's log has it, of whatever kind."""
        if isinstance(stamp, (int, float)):
            return float(stamp)
        whole, fraction = stamp.rstrip("Z").split(".")
        return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)

    def gaps(self, log, name):
        at = [self.seconds(t) for t in self.times(log, name)]
        return [b - a for a, b in zip(at, at[1:])]

    # ---- retries ---------------------------------------------------------------------------

    def test_503_is_tried_again_after_the_backoff(self):
        sinker = self.scripted("0s status/503\n1s ok\n")
        result = self.send_records(self.records(sinker.url, 20), *SHORT, "--health-ratio", "100",
                                   "--events", self.path("events"))
        self.check_status(result, 0)
        told = self.check_books(result, 20)
        log = sinker.stop()
        for name, line in told.items():
            self.assertEqual(line["outcome"], "delivered")
            gaps = self.gaps(log, name)
            self.assertEqual(line["attempts"], len(gaps) + 1)
            self.assertGreaterEqual(len(gaps), 1)
            self.assertGreaterEqual(gaps[0], 0.1 - 0.01, "half of 200 ms, at least")
            if len(gaps) > 1:
                self.assertGreaterEqual(gaps[1], 0.2 - 0.01, "half of 400 ms, at least")
        events = harness.read_ndjson(self.path("events"))
        attempts = [e for e in events if e["http_status_code"] != 598]
        self.assertEqual(len(attempts), sum(line["attempts"] for line in told.values()))
        for e in attempts:
            self.assertEqual(e["is_terminal"], e["http_status_code"] == 200, e)

    def test_4xx_is_final(self):
        sinker = self.sinker()
        url = f"{sinker.url}/status/404+retry-after/1"
        result = self.send_records(self.records(url, 5), *SHORT)
        self.check_status(result, 1)
        for line in self.check_books(result, 5).values():
            self.assertEqual((line["outcome"], line["attempts"], line["status"]),
                             ("failed", 1, 404))

    def test_retries_run_out(self):
        sinker = self.sinker()
        result = self.send_records(self.records(f"{sinker.url}/status/500", 5), *SHORT,
                                   "--retries", "2")
        self.check_status(result, 1)
        for line in self.check_books(result, 5).values():
            self.assertEqual((line["outcome"], line["attempts"]), ("exhausted", 3))
        self.assertEqual(len(sinker.stop()), 15)

    def test_a_retry_after_the_window_is_not_scheduled(self):
        sinker = self.sinker()
        result = self.send_records(self.records(f"{sinker.url}/status/500", 5),
                                   "--backoff", "1m,2,10m", "--retry-window", "20s")
        self.check_status(result, 1)
        for line in self.check_books(result, 5).values():
            self.assertEqual((line["outcome"], line["attempts"]), ("exhausted", 1))
            self.assertLess(line["total_ms"], 15000, "it waited for nothing")

    def test_refused_connections_are_tried_again(self):
        kept, port = harness.dead_port()
        self.addCleanup(kept.close)
        result = self.send_records(self.records(f"http://127.0.0.1:{port}/", 3), *SHORT,
                                   "--retries", "2", "--health-ratio", "100")
        self.check_status(result, 1)
        for line in self.check_books(result, 3).values():
            self.assertEqual((line["outcome"], line["attempts"], line["error"], line["sent"]),
                             ("exhausted", 3, "connect_refused", "no"))

    # ---- hints -----------------------------------------------------------------------------

    def test_retry_after_is_honoured_by_the_whole_host(self):
        """A 503 that asks for 2 s: nothing at all comes in between."""
        sinker = self.scripted("0s status/503+retry-after/2\n200ms ok\n")
        result = self.send_records(self.records(sinker.url, 40), *SHORT, "--host-connections", "1",
                                   "--health-ratio", "100")
        self.check_status(result, 0)
        self.check_books(result, 40)
        log = sinker.stop()
        first = self.seconds(log[0]["time"])
        early = [e for e in log[1:] if self.seconds(e["time"]) < first + 2 - 0.01]
        self.assertEqual(early, [])

    def test_retry_after_of_a_429_holds_its_key_alone(self):
        sinker = self.sinker()
        url = f"{sinker.url}/limit/1-per-2s/retry-after"
        records = self.records(f"{url}?key=a", 2, key="a") + [
            {"id": f"b{i}", "url": f"{sinker.url}/?id=b{i}", "key": "b"} for i in range(20)]
        result = self.send_records(records, *SHORT, "--shards", "1")
        self.check_status(result, 0)
        told = self.check_books(result, 22)
        last_b = max(line["finished_at"] for name, line in told.items() if name[0] == "b")
        last_a = max(line["finished_at"] for name, line in told.items() if name[0] == "r")
        self.assertLess(last_b, last_a)

    def test_a_receivers_quota_is_kept(self):
        """50 in each 2 s, told in the structured fields: after the first window next to none is
        refused, though 200 are there from the beginning."""
        sinker = self.sinker()
        count = 200
        result = self.send_records(
            self.records(f"{sinker.url}/limit/50-per-2s/structured", count), *SHORT)
        self.check_status(result, 0)
        self.check_books(result, count)
        log = sinker.stop()
        refused = sum(e["status"] == 429 for e in log)
        # What was under way before the first answer told: as many as the first window lets.
        self.assertLessEqual(refused, 10, f"{refused} of {len(log)}")

    def test_max_hint_is_the_longest_wait(self):
        sinker = self.scripted("0s status/503+retry-after/3000\n200ms ok\n")
        result = self.send_records(self.records(sinker.url, 3), *SHORT, "--max-hint", "1s")
        self.check_status(result, 0)
        self.check_books(result, 3)

    # ---- holds -----------------------------------------------------------------------------

    def test_a_host_that_fails_by_majority_is_held_and_probed(self):
        sinker = self.scripted("0s status/503\n1500ms ok\n")
        result = self.send_records(
            self.records(sinker.url, 300), "--backoff", "100ms,1,1s", "--retries", "20",
            "--health-window", "5s", "--health-min", "10", "--cooldown", "1s", "--probes", "2",
            "--events", self.path("events"), "--shards", "1", "--host-connections", "8")
        self.check_status(result, 0)
        self.check_books(result, 300)
        log = sinker.stop()
        at = sorted(self.seconds(e["time"]) for e in log)
        longest = max(b - a for a, b in zip(at, at[1:]))
        self.assertGreaterEqual(longest, 0.9, "nothing was held back for the cooldown")
        failed = [e for e in log if e["status"] == 503]
        self.assertLess(len(failed), 60, "it was hit on and on")
        deferred = [e for e in harness.read_ndjson(self.path("events"))
                    if e["http_status_code"] == 598]
        self.assertGreater(len(deferred), 0)
        self.assertTrue(all(not e["is_terminal"] for e in deferred))

    def test_another_host_does_not_notice(self):
        """One hangs, one answers 503: all records of the third are delivered before theirs end."""
        at = self.sinker(listen=[f"127.0.0.{i}:0" for i in (1, 2, 3)])
        bad = [f"http://{at.addresses[0]}/hang/head", f"http://{at.addresses[1]}/status/503"]
        records = []
        for i in range(200):
            records += [{"id": f"bad{i}-{k}", "url": f"{u}?id=bad{i}-{k}"}
                        for k, u in enumerate(bad)]
            records.append({"id": f"good{i}", "url": f"http://{at.addresses[2]}/?id=good{i}"})
        result = self.send_records(records, "--timeout", "2s", "--retries", "1",
                                   "--backoff", "1s,1,1s", "--unreachable-backoff", "1s,1,1s",
                                   "--retry-window", "6s", "--unreachable-window", "6s",
                                   "--cooldown", "2s")
        self.check_status(result, 1)
        told = self.check_books(result, 600)
        good = [told[f"good{i}"] for i in range(200)]
        self.assertEqual({line["outcome"] for line in good}, {"delivered"})
        last_good = max(line["finished_at"] for line in good)
        bad_ends = sorted(line["finished_at"] for name, line in told.items() if name[0] == "b")
        self.assertLess(last_good, bad_ends[len(bad_ends) // 2])

    def test_a_record_whose_time_is_over_while_its_host_is_held_expires(self):
        sinker = self.sinker()
        result = self.send_records(
            self.records(f"{sinker.url}/status/503", 60), "--backoff", "100ms,1,1s",
            "--retries", "20", "--health-min", "5", "--cooldown", "30s", "--retry-window", "3s",
            "--unreachable-window", "3s")
        self.check_status(result, 1)
        told = self.check_books(result, 60)
        outcomes = [line["outcome"] for line in told.values()]
        self.assertGreater(outcomes.count("expired"), 30, outcomes)
        self.assertEqual(set(outcomes) - {"expired", "exhausted"}, set())
        self.assertLess(len(sinker.stop()), 60)

    # ---- at most once ----------------------------------------------------------------------

    def test_at_most_once_sends_nothing_twice(self):
        at = self.sinker()
        kept, port = harness.dead_port()
        self.addCleanup(kept.close)
        records = []
        for i, how in enumerate(("status/503", "reset/head", "hang/head", "close", "status/429")):
            records += self.records(f"{at.url}/{how}/x{i}", 4)
        records = [{**r, "id": f"{i}", "url": r["url"].split("?")[0] + f"?id={i}"}
                   for i, r in enumerate(records)]
        records += [{"id": f"dead{i}", "url": f"http://127.0.0.1:{port}/?id=dead{i}"}
                    for i in range(3)]
        result = self.send_records(records, "--delivery", "at-most-once", *SHORT, "--retries", "2",
                                   "--timeout", "1s", "--health-ratio", "100")
        self.check_status(result, 1)
        told = self.check_books(result, len(records))
        log = at.stop()
        seen = [e["id"] for e in log]
        self.assertEqual(len(seen), len(set(seen)), "a record came twice")
        for name, line in told.items():
            self.assertEqual(line["attempts"], 3 if name.startswith("dead") else 1, line)

    # ---- the operator's limits -------------------------------------------------------------

    def evenly(self, log, interval):
        """Never more than 1 + (T + tolerance) / interval in any T, as it was sent: arrivals may be
        late, so that two of them may come closer; their sum may not."""
        at = sorted(self.seconds(e["time"]) for e in log)
        for i, t in enumerate(at):
            self.assertGreaterEqual(t - at[0] + 0.1, i * interval,
                                    f"{i + 1} requests in {t - at[0]:.3f} s")

    def test_rate_of_the_run(self):
        sinker = self.sinker()
        result = self.send_records(self.records(sinker.url, 60), "--rate", "40/s", "--shards", "2")
        self.check_status(result, 0)
        self.check_books(result, 60)
        self.evenly(sinker.stop(), 1 / 40)

    def test_rate_of_each_host(self):
        at = self.sinker(listen=("127.0.0.1:0", "127.0.0.2:0"))
        records = []
        for i in range(40):
            records += [{"id": f"{k}-{i}", "url": f"http://{a}/?id={k}-{i}"}
                        for k, a in enumerate(at.addresses)]
        result = self.send_records(records, "--host-rate", "1200/m", "--shards", "2")
        self.check_status(result, 0)
        self.check_books(result, 80)
        log = at.stop()
        for k in "01":
            self.evenly([e for e in log if e["id"].startswith(k)], 1 / 20)

    def test_limits_file(self):
        at = self.sinker(listen=("127.0.0.1:0", "127.0.0.2:0"))
        path = self.path("limits")
        with open(path, "w") as f:
            f.write(f"# ours\n{at.addresses[0]} rate=10/s connections=1\n")
        records = []
        for i in range(15):
            records += [{"id": f"{k}-{i}", "url": f"http://{a}/?id={k}-{i}"}
                        for k, a in enumerate(at.addresses)]
        result = self.send_records(records, "--limits", path)
        self.check_status(result, 0)
        told = self.check_books(result, 30)
        log = at.stop()
        self.evenly([e for e in log if e["id"].startswith("0")], 1 / 10)
        free = max(line["finished_at"] for name, line in told.items() if name[0] == "1")
        slow = max(line["finished_at"] for name, line in told.items() if name[0] == "0")
        self.assertLess(free, slow)

    def test_limits_file_with_errors(self):
        """Line and column, and nothing is sent."""
        sinker = self.sinker()
        path = self.path("limits")
        for text, place in ((f"{sinker.addresses[0]} rate=10/s\n127.0.0.1 speed=3/s\n", ":2:11"),
                            ("127.0.0.1 rate=ten/s\n", ":1:"),
                            ("127.0.0.1 rate=10/s connections=0\n", ":1:"),
                            ("a b c\n", ":1:")):
            with open(path, "w") as f:
                f.write(text)
            result = self.send_records(self.records(sinker.url, 1), "--limits", path,
                                       results=False)
            self.check_status(result, 2)
            self.assertIn(f"{path}{place}", result.err, text)
        result = self.send_records(self.records(sinker.url, 1), "--limits", self.path("none"),
                                   results=False)
        self.check_status(result, 2)
        self.assertEqual(sinker.stop(), [])

    def test_absurd_values_are_usage_errors(self):
        for bad in (("--rate", "0/s"), ("--rate", "-5/s"), ("--rate", "10"), ("--rate", "10/y"),
                    ("--backoff", "1s"), ("--backoff", "1s,0.5,2s"), ("--retries", "-1"),
                    ("--health-ratio", "101"), ("--cooldown", "soon"), ("--probes", "0"),
                    ("--delivery", "exactly-once"), ("--max-hint", "-1s"),
                    ("--retry-budget", "20"), ("--host-connections", "0")):
            result = self.send_records([], *bad, results=False)
            self.check_status(result, 2, bad[0])
            self.assertNotIn("accepted", summary(result))


if __name__ == "__main__":
    unittest.main()
