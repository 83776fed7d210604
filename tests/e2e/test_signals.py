"""Goal: the first SIGINT or SIGTERM stops the intake and lets attempts end; the second stops now;
both times what is told is true.

Method: a slow receiver keeps attempts in flight; its log says which requests it really served.
"""
import os
import signal

import harness
from harness import summary


class Signals(harness.Case):
    def start_slow(self, behave, *options, count=3000):
        self.receiver = self.sinker(behave=behave)
        path = harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": f"{self.receiver.url}/?id=r{i}", "body": {"n": i}}
            for i in range(count)])
        self.count = count
        p = self.start("--shards", "2", "--host-connections", "20", "--memory", "16M",
                       "--connections", "100", *options, path)
        return p

    def wait_for_results(self, p, count):
        def there():
            try:
                with open(self.path("results"), "rb") as f:
                    return f.read().count(b"\n") >= count
            except FileNotFoundError:
                return False
        harness.wait_until(lambda: there() or p.child.poll() is not None, f"{count} results")
        self.assertIsNone(p.child.poll(), "it ended before it was stopped")

    def told_is_true(self, result):
        by_id = self.check_books(result)
        got = {e["id"] for e in self.receiver.stop()}
        for name, told in by_id.items():
            if told["outcome"] == "delivered":
                self.assertIn(name, got)
        return by_id, got

    def drain(self, number, status):
        p = self.start_slow("delay/50ms")
        self.wait_for_results(p, 40)
        p.signal(number)
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, status, "stopped")
        by_id, got = self.told_is_true(result)
        self.assertLess(len(by_id), self.count, "the intake did not stop")
        self.assertEqual(got - set(by_id), set(), "served, but without an outcome after a drain")
        self.assertEqual(summary(result)["failed"], 0)

    def test_first_sigint_drains(self):
        self.drain(signal.SIGINT, 130)

    def test_first_sigterm_drains(self):
        self.drain(signal.SIGTERM, 143)

    def test_second_signal_stops_now(self):
        p = self.start_slow("hang/head")
        harness.wait_until(lambda: self.in_flight() > 0, "attempts in flight")
        p.signal(signal.SIGINT)
        harness.wait_until(lambda: "stopping" in p.stderr_so_far(), "word of the first signal")
        self.assertIsNone(p.child.poll(), "the first signal must let attempts in flight finish")
        p.signal(signal.SIGINT)
        result = p.finish(30)
        self.check_sane(result)
        self.check_status(result, 130)
        by_id, got = self.told_is_true(result)
        numbers = summary(result)
        self.assertEqual(len(by_id), 0, "nothing was answered, so nothing may have an outcome")
        self.assertEqual(numbers["pending"], numbers["accepted"])
        self.assertGreaterEqual(numbers.get("maybe delivered", 0), len(got))
        self.assertGreater(numbers["maybe delivered"], 0)

    def in_flight(self):
        """Requests that the receiver has seen so far; its log is written within 200 ms."""
        try:
            with open(self.receiver.log, "rb") as f:
                return f.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def test_while_waiting_for_a_pipe(self):
        """An idle pipe does not hold up the end."""
        self.receiver = self.sinker()
        reading, writing = os.pipe()
        os.write(writing, b'{"id":"a","url":"%s/?id=a"}\n' % self.receiver.url.encode())
        p = self.start("-", stdin=reading)
        os.close(reading)
        self.wait_for_results(p, 1)
        p.signal(signal.SIGINT)
        result = p.finish(30)
        os.close(writing)
        self.check_sane(result)
        self.check_status(result, 130)
        self.assertEqual(set(self.check_books(result, 1)), {"a"})

    def test_before_the_first_record(self):
        self.receiver = self.sinker()
        reading, writing = os.pipe()
        p = self.start("-", stdin=reading)
        os.close(reading)
        harness.wait_until(lambda: os.path.exists(self.path("results")), "start")
        p.signal(signal.SIGTERM)
        result = p.finish(30)
        os.close(writing)
        self.check_sane(result)
        self.check_status(result, 143)

    def test_a_storm_of_signals(self):
        p = self.start_slow("delay/20ms")
        self.wait_for_results(p, 10)
        for _ in range(20):
            if p.child.poll() is None:
                p.signal(signal.SIGINT)
        result = p.finish(60)
        self.check_sane(result)
        self.check_status(result, 130)
        self.told_is_true(result)


if __name__ == "__main__":
    harness.main()
