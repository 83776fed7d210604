"""Goal: memory is bounded by --memory, whatever the input's size.

Method: an input several times as large as the limit, to receivers fast and slow; the kernel's own
high-water mark of the process is the judge.
"""
import os
import unittest

import harness
from harness import summary

MIB = 1 << 20
SLACK_MIB = 32


@unittest.skipIf(harness.SANITIZED, "sanitizers have memory of their own")
class Memory(harness.Case):
    def big_input(self, url, megabytes, pad):
        path = self.path("input")
        line = (b'{"id":"r%d","url":"' + url.encode() + b'/?id=r%d","body":{"pad":"' + b"x" * pad
                + b'"}}\n')
        count = megabytes * MIB // len(line)
        with open(path, "wb", buffering=MIB) as f:
            for i in range(count):
                f.write(line % (i, i))
        return path, count

    def within(self, result, limit_mib):
        self.assertLess(result.peak_kib, (limit_mib + SLACK_MIB) << 10, str(result))
        self.assertGreater(result.peak_kib, 0)

    def test_300_mb_within_64(self):
        sinker = self.sinker(log=False)
        path, count = self.big_input(sinker.url, 300, 1000)
        result = self.send("--memory", "64M", path)
        self.check_status(result, 0)
        self.assertEqual(summary(result)["delivered"], count)
        self.within(result, 64)

    def test_slow_receiver(self):
        """Records pile up before the receiver, not in memory."""
        sinker = self.sinker(log=False, behave="delay/20ms")
        path, count = self.big_input(sinker.url, 100, 20000)
        result = self.send("--memory", "32M", "--connections", "1024", path)
        self.check_status(result, 0)
        self.assertEqual(summary(result)["delivered"], count)
        self.within(result, 32)

    def test_pipe(self):
        sinker = self.sinker(log=False)
        path, count = self.big_input(sinker.url, 150, 3000)
        with open(path, "rb") as f:
            cat = harness.subprocess.Popen(["cat", path], stdout=harness.subprocess.PIPE)
            p = self.start("--memory", "32M", "--connections", "1024", "-", stdin=cat.stdout)
            cat.stdout.close()
            result = p.finish()
            cat.wait()
        self.check_sane(result)
        self.check_status(result, 0)
        self.assertEqual(summary(result)["delivered"], count)
        self.within(result, 32)

    def test_large_answers(self):
        sinker = self.sinker(log=False)
        path, count = self.big_input(sinker.url + "/body/60K", 10, 100)
        result = self.send("--memory", "32M", "--connections", "1024", path)
        self.check_status(result, 0)
        self.within(result, 32)

    def test_many_hosts(self):
        """A lane for each of many hosts that refuse."""
        path = self.path("input")
        with open(path, "wb", buffering=MIB) as f:
            for i in range(50000):
                f.write(b'{"url":"http://127.%d.%d.%d:9/"}\n'
                        % (1 + i // 62500, i // 250 % 250, 1 + i % 250))
        result = self.send("--memory", "64M", path)
        self.assertEqual(result.status, 1, str(result))
        self.assertEqual(summary(result)["accepted"], 50000)
        self.within(result, 64)


if __name__ == "__main__":
    harness.main()
