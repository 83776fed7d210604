"""Goal: records that wait for a rate, a key, a hold or a hint end as they should, and leave nothing
behind when the run does.

Method: receivers that refuse until they have said so a number of times. What is left behind stops
the process (CHECK), which every run here is searched for; only outcomes and counts are tested, and
times only where something must not come too early.
"""
import itertools
import signal
import time

import harness


def answer(status, *headers):
    lines = [f"HTTP/1.1 {status} Told", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


class Waiting(harness.Case):
    schedule = True

    def refusing(self, status, times, *headers):
        """Refuses so many requests, then takes all."""
        count = itertools.count(1)
        return self.raw_receiver(
            lambda head, body: answer(status, *headers) if next(count) <= times else answer(200))

    def test_stopped_while_the_rate_waits(self):
        receiver = self.refusing(500, 0)
        path = harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": receiver.url, "key": f"k{i % 2}"} for i in range(5)])
        p = self.start("--rate", "1/m", "--shards", "1", path)
        harness.wait_until(lambda: len(receiver.requests) > 0, "the first request")
        p.signal(signal.SIGINT)
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, 130, "stopped")
        self.check_books(result, 5)

    def test_a_key_whose_only_record_expires_in_its_turn(self):
        """It waits for the one connection, which another key's record holds too long."""
        def slow(head, body):
            time.sleep(3)
            return answer(200)
        receiver = self.raw_receiver(slow)
        result = self.send_records(
            [{"id": "first", "url": receiver.url, "key": "a"},
             {"id": "late", "url": receiver.url, "key": "b", "deadline": time.time() + 1.5}],
            "--host-connections", "1", "--shards", "1")
        by_id = self.check_books(result, 2)
        self.check_status(result, 1)
        self.assertEqual(by_id["first"]["outcome"], "delivered")
        self.assertEqual(by_id["late"]["outcome"], "expired", by_id["late"])
        self.assertEqual(len(receiver.requests), 1)

    def hold(self, keys):
        receiver = self.refusing(503, 6)
        result = self.send_records(
            [{"id": f"r{i}", "url": receiver.url, **({"key": f"k{i}"} if keys else {})}
             for i in range(60)],
            "--health-min", "3", "--cooldown", "500ms", "--backoff", "100ms,1,1s",
            "--events", self.path("events"))
        self.check_status(result, 0)
        told = self.check_books(result, 60)
        self.assertEqual({line["outcome"] for line in told.values()}, {"delivered"})
        events = harness.read_ndjson(self.path("events"))
        self.assertTrue(any(e["http_status_code"] == 598 for e in events), "there was no hold")

    def test_all_go_out_after_a_hold(self):
        self.hold(keys=False)

    def test_all_go_out_after_a_hold_each_with_its_own_key(self):
        self.hold(keys=True)

    def test_one_expires_behind_one_that_waits_for_the_same_hint(self):
        receiver = self.refusing(429, 1, "Retry-After: 3")
        result = self.send_records(
            [{"id": "first", "url": receiver.url}, {"id": "patient", "url": receiver.url},
             {"id": "late", "url": receiver.url, "deadline": time.time() + 1.5}],
            "--host-connections", "1", "--shards", "1", "--backoff", "100ms,1,1s")
        by_id = self.check_books(result, 3)
        self.check_status(result, 1)
        self.assertEqual({k: v["outcome"] for k, v in by_id.items()},
                         {"first": "delivered", "patient": "delivered", "late": "expired"})
        self.assertGreaterEqual(by_id["first"]["total_ms"], 3000)

    def test_a_hint_for_one_key_holds_no_other(self):
        """The held one comes back after its time; all others have gone by then."""
        refused = []

        def by_key(head, body):
            if b"key: held" in head and not refused:
                refused.append(time.monotonic())
                return answer(429, "Retry-After: 3")
            return answer(200)
        receiver = self.raw_receiver(by_key)
        result = self.send_records(
            [{"id": f"r{i}", "url": receiver.url, "key": key, "headers": {"key": key}}
             for i, key in enumerate(["held", "a", "b", "c"] * 25)],
            "--host-connections", "2", "--shards", "1", "--backoff", "100ms,1,1s")
        by_id = self.check_books(result, 100)
        self.check_status(result, 0)
        others = [line["finished_at"] for name, line in by_id.items() if int(name[1:]) % 4 != 0]
        self.assertEqual(by_id["r0"]["attempts"], 2)
        self.assertLess(max(others), by_id["r0"]["finished_at"])


class Turns(harness.Case):
    schedule = True

    def test_retries_and_first_attempts_alternate(self):
        """A second of failures, then health: what failed goes out as fast as what was never tried,
        though far more of the latter waits."""
        script = self.path("script")
        with open(script, "w") as f:
            f.write("0s delay/20ms+status/500\n1s delay/20ms\n")
        sinker = self.sinker(options=("--script", script, "--time-from", "first-request"))
        result = self.send_records(
            [{"id": f"r{i}", "url": f"{sinker.url}/?id=r{i}"} for i in range(3000)],
            "--shards", "1", "--host-connections", "8", "--retry-budget", "100,1000/s",
            "--backoff", "1s,1,1s")
        self.check_status(result, 0)
        log = sinker.stop()
        retries = [i for i, e in enumerate(log) if e["attempt"] > 1]
        self.assertGreater(len(retries), 100)
        between = retries[0] + 4 * len(retries)  # twice as long as it needs
        self.assertLess(between, len(log))  # there were others enough
        self.assertGreater(sum(i < between for i in retries), 0.9 * len(retries))


if __name__ == "__main__":
    harness.main()
