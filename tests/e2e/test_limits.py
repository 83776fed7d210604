"""Goal: short of descriptors, ports, memory or permission, hookline waits or says what to do; it
never loses or invents a record.

Method: resource limits on the child, and strace injecting what the kernel would say.
"""
import os
import resource
import subprocess
import unittest

import harness
from harness import summary


def strace_works():
    program = harness.find_program("strace")
    if not program:
        return False
    done = subprocess.run([program, "-qq", "-e", "trace=none", "true"], capture_output=True)
    return done.returncode == 0


class Limits(harness.Case):
    def setUp(self):
        super().setUp()
        self.receiver = self.sinker(listen=[f"127.0.0.{i}:0" for i in range(1, 5)])

    def input(self, count):
        at = self.receiver.addresses
        return harness.write_lines(self.path("input"), [
            {"id": f"r{i}", "url": f"http://{at[i % len(at)]}/?id=r{i}", "body": {"n": i}}
            for i in range(count)])

    def all_or_clear(self, result, count):
        """Either all is delivered within the limit, or status 5 before anything is sent."""
        self.check_sane(result)
        if result.status == 0:
            self.check_books(result, count)
            self.assertEqual(len({e["id"] for e in self.receiver.stop()}), count)
        else:
            self.check_status(result, 5)
            self.assertTrue(result.last.startswith("hookline send: "), str(result))
            if "accepted" in summary(result):
                self.check_books(result)
            self.assertEqual(self.receiver.stop(), [])

    def test_40_descriptors(self):
        count = harness.scaled(5000)
        result = self.start("--shards", "2", self.input(count),
                            limits=[(resource.RLIMIT_NOFILE, 40)]).finish()
        self.all_or_clear(result, count)

    def test_few_descriptors_and_many_connections(self):
        count = harness.scaled(5000)
        result = self.start("--shards", "1", "--connections", "32768", self.input(count),
                            limits=[(resource.RLIMIT_NOFILE, 64)]).finish()
        self.all_or_clear(result, count)

    def test_8_descriptors(self):
        result = self.start("--shards", "4", self.input(100),
                            limits=[(resource.RLIMIT_NOFILE, 8)]).finish()
        self.all_or_clear(result, 100)

    @unittest.skipIf(harness.SANITIZED, "sanitizers reserve terabytes of address space")
    def test_little_address_space(self):
        result = self.start("--shards", "1", self.input(100),
                            limits=[(resource.RLIMIT_AS, 64 << 20)]).finish()
        self.all_or_clear(result, 100)

    def test_no_locked_memory(self):
        count = harness.scaled(2000)
        result = self.start("--shards", "2", self.input(count),
                            limits=[(resource.RLIMIT_MEMLOCK, 0)]).finish()
        self.all_or_clear(result, count)

    def test_smallest_memory(self):
        count = harness.scaled(20000)
        result = self.send("--memory", "16M", "--shards", "2", "--connections", "64",
                           self.input(count))
        self.check_status(result, 0)
        self.check_books(result, count)

    def test_record_larger_than_memory_allows(self):
        """Never an endless wait: it is sent, or refused in words."""
        path = self.path("input")
        with open(path, "wb") as f:
            f.write(b'{"id":"big","url":"http://%s/?id=big","body":"%s"}\n'
                    % (self.receiver.addresses[0].encode(), b"x" * (30 << 20)))
        result = self.send("--memory", "16M", "--max-record", "64M", path)
        self.assertIn(result.status, (0, 2, 5), str(result))
        if result.status != 0:
            self.assertTrue(result.lines)

    def strace(self, inject, count=200, shards=2, when=""):
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        return self.start("--shards", shards, self.input(count), env=env, prefix=[
            harness.find_program("strace"), "-f", "-qq", "-o", self.path("strace"), "-e",
            "trace=" + inject.split(":")[0], "-e", f"inject={inject}{when}"]).finish()

    @unittest.skipUnless(strace_works(), "strace cannot trace here")
    @unittest.skipIf(harness.KIND == "tsan", "strace and the thread sanitizer do not mix")
    def test_io_uring_not_permitted(self):
        for error in ("EPERM", "ENOSYS", "ENOMEM", "EMFILE"):
            with self.subTest(error=error):
                result = self.strace(f"io_uring_setup:error={error}")
                self.check_sane(result)
                self.check_status(result, 5, "io_uring")
                self.assertEqual(summary(result).get("accepted", 0), 0)
                if error == "EPERM":
                    self.assertIn("kernel.io_uring_disabled", result.last)

    @unittest.skipUnless(strace_works(), "strace cannot trace here")
    @unittest.skipIf(harness.KIND == "tsan", "strace and the thread sanitizer do not mix")
    def test_ring_set_up_half_way(self):
        """The ring is there, but not what it needs: all is delivered without it, or status 5."""
        for error in ("EINVAL", "ENOMEM", "EPERM"):
            with self.subTest(error=error):
                result = self.strace(f"io_uring_register:error={error}")
                self.check_sane(result)
                if result.status == 0:
                    self.check_books(result, 200)
                else:
                    self.check_status(result, 5, "io_uring")

    @unittest.skipUnless(strace_works(), "strace cannot trace here")
    @unittest.skipIf(harness.KIND == "tsan", "strace and the thread sanitizer do not mix")
    def test_interrupted_enter_is_no_error(self):
        for error in ("EINTR", "EAGAIN", "EBUSY"):
            with self.subTest(error=error):
                result = self.strace(f"io_uring_enter:error={error}", when=":when=5+7")
                self.check_sane(result)
                self.check_status(result, 0)
                self.check_books(result, 200)


if __name__ == "__main__":
    harness.main()
