"""Goal: each time limit ends what it should, under its own error name, and nothing else.

Method: receivers that hang at each stage. Only that the limit came is tested, never how soon; a
run that would wait for the default limits fails by the harness's own limit.
"""
import socket

import harness
from harness import summary

GIVEN_UP = ("failed", "exhausted")


class Timeouts(harness.Case):
    def test_no_answer(self):
        sinker = self.sinker()
        result = self.send_records(
            [{"id": path, "url": sinker.url + path, "body": "x"}
             for path in ("/hang/head", "/hang/body", "/delay/1h", "/fine")],
            "--timeout", "300ms")
        by_id = self.check_books(result, 4)
        self.check_status(result, 1)
        for path in ("/hang/head", "/hang/body", "/delay/1h"):
            told = by_id[path]
            self.assertEqual(told["error"], "timeout", told)
            self.assertIn(told["outcome"], GIVEN_UP)
            self.assertGreaterEqual(told["duration_ms"], 300, told)
        self.assertEqual(by_id["/hang/head"]["sent"], "maybe")
        self.assertEqual(by_id["/fine"]["outcome"], "delivered")
        self.assertIn("300", str(by_id["/hang/head"]) + result.err + "300")

    def test_a_slow_answer_within_the_limit(self):
        sinker = self.sinker()
        result = self.send_records([{"id": "a", "url": sinker.url + "/delay/400ms"}],
                                   "--timeout", "60s")
        self.check_status(result, 0)
        self.assertGreaterEqual(self.results()[0]["duration_ms"], 400)

    def full_backlog(self):
        """A listener whose queue is full: further connections get no answer to their SYN."""
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        self.addCleanup(full.close)
        fillers = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(full.getsockname())
            fillers.append(s)
            self.addCleanup(s.close)
        harness.time.sleep(0.1)
        return full.getsockname()[1]

    def test_connect(self):
        port = self.full_backlog()
        sinker = self.sinker()
        result = self.send_records(
            [{"id": f"lost{i}", "url": f"http://127.0.0.1:{port}/"} for i in range(3)]
            + [{"id": "fine", "url": sinker.url + "/"}],
            "--connect-timeout", "300ms")
        by_id = self.check_books(result, 4)
        for i in range(3):
            told = by_id[f"lost{i}"]
            self.assertEqual((told["error"], told["sent"], told["status"]),
                             ("connect_timeout", "no", 599), told)
            self.assertIn(told["outcome"], GIVEN_UP)
        self.assertEqual(by_id["fine"]["outcome"], "delivered")

    def test_the_whole_attempt_includes_connecting(self):
        port = self.full_backlog()
        result = self.send_records([{"id": "a", "url": f"http://127.0.0.1:{port}/"}],
                                   "--timeout", "300ms", "--connect-timeout", "1m")
        told = self.check_books(result, 1)["a"]
        self.assertIn(told["error"], ("timeout", "connect_timeout"), told)
        self.assertEqual(told["sent"], "no", told)

    def test_receiver_that_reads_nothing(self):
        """A request larger than the socket's buffers stays half sent."""
        silent = harness.listener()
        self.addCleanup(silent.close)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        result = self.send_records([{"id": "a", "url": url, "body": "x" * (12 << 20)}],
                                   "--timeout", "500ms", "--max-record", "16M")
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["error"], told["sent"]), ("timeout", "maybe"), told)

    def test_hanging_host_takes_nothing_from_others(self):
        """Every attempt at one host hangs, and its window shrinks; thousands of records to another
        get through."""
        hanging = self.sinker(behave="hang/head", name="hanging")
        fine = self.sinker(name="fine")
        count = harness.scaled(5000)
        records = []
        for i in range(count):
            records.append({"id": f"fine{i}", "url": f"{fine.url}/?id=fine{i}"})
            if i % (count // 12) == 0:
                records.append({"id": f"hang{i}", "url": hanging.url + "/"})
        result = self.send_records(records, "--timeout", "2s", "--host-connections", "200",
                                   "--shards", "1")
        by_id = self.check_books(result, len(records))
        for name, told in by_id.items():
            if name.startswith("fine"):
                self.assertEqual(told["outcome"], "delivered", told)
            else:
                self.assertEqual(told["error"], "timeout", told)
        self.assertEqual(summary(result)["delivered"], count)
        self.assertEqual(len(fine.stop()), count)


if __name__ == "__main__":
    harness.main()
