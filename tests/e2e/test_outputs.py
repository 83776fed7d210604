"""Goal: when hookline's own files cannot be written it stops, says so, exits with status 4, and
what it says about the records is still true.

Method: paths that cannot be opened; /dev/full; closed standard output; a pipe whose reader leaves.
"""
import os
import resource

import harness
from harness import summary

FILES = ("--results", "--dead-letters", "--events", "--rejects")


class Outputs(harness.Case):
    def setUp(self):
        super().setUp()
        self.receiver = self.sinker()

    def input(self, count=1000, path="/"):
        return harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": f"{self.receiver.url}{path}?id=r{i}", "body": {"n": i}}
            for i in range(count)])

    def test_paths_that_cannot_be_opened(self):
        """Before anything is sent: one line with the path and the reason."""
        path = self.input(10)
        with open(self.path("file"), "w"):
            pass
        for option in FILES:
            for bad, word in ((self.path("no/such/folder"), "no such"), (self.folder, "directory"),
                              (self.path("file") + "/x", "not a directory")):
                with self.subTest(option=option, path=bad):
                    result = self.start(option, bad, path, results=False).finish()
                    self.check_sane(result)
                    self.check_one_line(result, 4, bad, word)
        self.assertEqual(self.receiver.stop(), [])

    def full(self, *options, path="/", count=20000, lines=(), results=False):
        """A run with a full disk behind one file: status 4, a clear line, and true books."""
        name = self.input(harness.scaled(count), path)
        with open(name, "ab") as f:
            for line in lines:
                f.write(line + b"\n")
        result = self.start(*options, name, results=results).finish()
        self.check_sane(result)
        self.check_status(result, 4, "/dev/full", "no space")
        numbers = summary(result)
        self.assertIn("accepted", numbers, str(result))
        self.assertEqual(numbers["accepted"], numbers["pending"] + numbers["delivered"]
                         + numbers["failed"] + numbers.get("exhausted", 0), str(result))
        return result

    def test_disk_full_for_results(self):
        self.full("--results", "/dev/full")

    def test_disk_full_for_results_of_a_few(self):
        self.full("--results", "/dev/full", count=30)

    def test_disk_full_for_events(self):
        self.full("--events", "/dev/full", results=True)
        self.check_lines()

    def test_disk_full_for_dead_letters(self):
        self.full("--dead-letters", "/dev/full", path="/status/404", results=True)
        self.check_lines()

    def test_disk_full_for_rejects(self):
        self.full("--rejects", "/dev/full", lines=[b"nonsense"] * 10, results=True)
        self.check_lines()

    def check_lines(self):
        """What is in the results file is whole, and was really received."""
        got = {e["id"] for e in self.receiver.stop()}
        for told in self.results():
            if told["outcome"] == "delivered":
                self.assertIn(told["id"], got)

    def test_standard_output_closed(self):
        result = self.start("--results", "-", self.input(10), results=False,
                            close_stdout=True).finish()
        self.check_sane(result)
        self.check_status(result, 4, "output")
        self.assertEqual(self.receiver.stop(), [])

    def test_standard_output_closed_but_not_needed(self):
        """The results file must not get descriptor 1 and then something else's output."""
        result = self.start(self.input(100), close_stdout=True).finish()
        self.check_sane(result)
        self.check_status(result, 0)
        self.check_books(result, 100)

    def test_reader_of_the_results_leaves(self):
        """EPIPE, not death by SIGPIPE."""
        reading, writing = os.pipe()
        p = self.start("--results", "-", self.input(harness.scaled(50000)), results=False,
                       stdout=writing)
        os.close(writing)
        os.read(reading, 100)
        os.close(reading)
        result = p.finish()
        self.check_sane(result)
        self.check_status(result, 4)

    def test_slow_reader_of_the_results(self):
        """Results into a pipe that is read late: everything arrives, whole."""
        reading, writing = os.pipe()
        count = harness.scaled(20000)
        p = self.start("--results", "-", self.input(count), results=False, stdout=writing)
        os.close(writing)
        harness.time.sleep(0.3)
        with open(reading, "rb") as f:
            lines = f.read().splitlines()
        result = p.finish()
        self.check_status(result, 0)
        self.assertEqual({harness.json.loads(line)["id"] for line in lines},
                         {f"r{i}" for i in range(count)})

    def test_results_can_be_followed(self):
        """Lines are there while the run goes on, not only at its end."""
        hanging = self.sinker(behave="hang/head", name="hanging")
        path = self.input(100)
        with open(path, "ab") as f:
            f.write(b'{"url":"%s/"}\n' % hanging.url.encode())
        p = self.start(path)
        harness.wait_until(lambda: os.path.exists(self.path("results"))
                           and open(self.path("results"), "rb").read().count(b"\n") == 100,
                           "100 results while one attempt hangs")
        p.signal(harness.signal.SIGINT)
        harness.time.sleep(0.2)
        p.signal(harness.signal.SIGINT)
        self.check_sane(p.finish())

    def test_two_outputs_in_one_file_are_refused_or_whole(self):
        result = self.start("--results", self.path("both"), "--events", self.path("both"),
                            self.input(100), results=False).finish()
        self.check_sane(result)
        if result.status == 0:
            self.assertEqual(len(harness.read_ndjson(self.path("both"))), 200)
        else:
            self.check_status(result, 2)


class FileSizeLimit(harness.Case):
    def test_check(self):
        """Every command that writes says what hindered it, and is not killed."""
        path = harness.write_lines(self.path("input"), [b'{"x":"' + b"y" * 200_000 + b'"}'])
        argv = [harness.HOOKLINE, "check", "--rejects", self.path("rejects"), path]
        process = harness.Process(argv, self.folder, limits=[(resource.RLIMIT_FSIZE, 100_000)])
        self.check_status(process.finish(), 4, "file too large")


if __name__ == "__main__":
    harness.main()
