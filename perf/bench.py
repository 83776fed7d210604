"""What the scenarios share: programs and what they did, records, ratios, what is kept.

Python 3 standard library only.
"""
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(HERE)
REQUEST_BYTES = 400
ANSWER_BYTES = 100
SENDER_CPU = 0
RECEIVER_CPU = 1
RUN_SECONDS_MAX = 120  # of any one program; beyond it the measurement has failed


# Of the last minute, when this program began: what else the machine was busy with.
LOAD_BEFORE = round(os.getloadavg()[0], 2)
LOAD_QUIET = 0.5


class Failed(Exception):
    """One line for the user."""


# ---- programs ------------------------------------------------------------------------------


class Finished:
    """What a program did: standard output and error, wall time, its CPU."""

    def __init__(self, argv, seconds_max=RUN_SECONDS_MAX):
        self.argv = argv
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            began = time.monotonic()
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            killer = threading.Timer(seconds_max, child.kill)
            killer.start()
            try:
                _, status, usage = os.wait4(child.pid, 0)
            finally:
                killer.cancel()
            self.wall_s = time.monotonic() - began
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            self.out, self.err = out.read(), err.read()
        self.status = child.returncode
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.peak_rss_kib = usage.ru_maxrss

    def demand(self):
        if self.status != 0:
            said = (self.err.strip() or self.out.strip()).splitlines()[-1:] or ["nothing"]
            raise Failed(f"{' '.join(self.argv)}: status {self.status}, said: {said[0]}")
        return self


class Receiver:
    """limit-server on a port of the kernel's choice, for the time of a with block."""

    def __init__(self, build, cpu):
        self.argv = [os.path.join(build, "limit-server"), "-p", "0", "-r", str(ANSWER_BYTES)]
        if cpu is not None:
            self.argv += ["-C", str(cpu)]

    def __enter__(self):
        self.child = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if not line.startswith("listening "):
            self.__exit__()
            raise Failed("limit-server did not start")
        return int(line.split()[1])

    def __exit__(self, *_):
        end(self.child, signal.SIGTERM)
        self.child.stdout.close()


class Sinker:
    """The bundled receiver, for the time of a with block. What it said at its end is in .said."""

    def __init__(self, build, listen, options=(), cpu=None):
        self.argv = [os.path.join(build, "sinker"), *options]
        for text in listen:
            self.argv += ["--listen", text]
        if cpu is not None:
            self.argv = ["taskset", "-c", str(cpu)] + self.argv
        self.count = len(listen)
        self.said = ""

    def __enter__(self):
        self.err = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, text=True,
                                      stdout=subprocess.PIPE, stderr=self.err)
        self.ports = []
        for _ in range(self.count):
            line = self.child.stdout.readline()
            if not line.startswith("listening on "):
                self.__exit__()
                raise Failed(f"sinker did not start: {self.said.strip()}")
            self.ports.append(int(line.rsplit(":", 1)[1]))
        return self

    def __exit__(self, *_):
        end(self.child, signal.SIGTERM)
        self.child.stdout.close()
        self.err.seek(0)
        self.said = self.err.read()
        self.err.close()


class Sending:
    """hookline at work, for the time of a with block; ended by the block's end if it still runs.
    Afterwards .err is what it said, .cpu_s what it used."""

    def __init__(self, build, options, records, cpu=None):
        self.argv = [os.path.join(build, "hookline"), "send", "--allow-net", "127.0.0.0/8",
                     "--progress", "none", *options, records]
        if cpu is not None:
            self.argv = ["taskset", "-c", str(cpu)] + self.argv

    def __enter__(self):
        self.file = tempfile.TemporaryFile("w+")
        self.began = time.monotonic()
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=self.file,
                                      stdout=subprocess.DEVNULL)
        self.status = None
        return self

    def running(self):
        if self.status is None:
            pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid:
                self._ended(status, usage)
        return self.status is None

    def _ended(self, status, usage):
        self.status = self.child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.wall_s = time.monotonic() - self.began
        self.peak_rss_kib = usage.ru_maxrss

    def __exit__(self, *_):
        """The first signal lets what has begun end, which a receiver that hangs may delay: the
        second cuts it off."""
        for number, wait_s in ((signal.SIGTERM, 1), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if not self.running():
                break
            self.child.send_signal(number)
            until = time.monotonic() + wait_s
            while self.running() and time.monotonic() < until:
                time.sleep(0.01)
        self.file.seek(0)
        self.err = self.file.read()
        self.file.close()


def end(child, number):
    child.send_signal(number)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def request_size(start_sender):
    """Bytes of the first request that start_sender(port) sends, which runs until it is ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        child = start_sender(listener.getsockname()[1])
        try:
            for _ in range(10):  # wrk first tries whether it can connect at all
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(20)
                    size = first_request(peer)
                if size > 0:
                    return size
            raise Failed("a sender connects but sends nothing")
        except OSError as why:
            raise Failed(f"no request came from a sender: {why}") from None
        finally:
            child.kill()
            child.wait()


def first_request(peer):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = peer.recv(65536)
        if not piece:
            return 0
        got += piece
    head = got.index(b"\r\n\r\n") + 4
    length = re.search(rb"(?im)^content-length: *(\d+)", got[:head])
    return head + (int(length.group(1)) if length else 0)


def pinned(argv):
    return ["taskset", "-c", str(SENDER_CPU)] + argv


# ---- what is kept --------------------------------------------------------------------------


def machine():
    cpu = "unknown"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": os.uname().release,
            "load_before": LOAD_BEFORE}


def commit():
    """Short hash; + when tracked files differ from it."""
    try:
        name = Finished(["git", "-C", TREE, "rev-parse", "--short", "HEAD"])
        changed = Finished(["git", "-C", TREE, "status", "--porcelain", "-uno",
                            "--", ".", ":!perf/results", ":!perf/README.md"])
    except OSError:
        return "unknown"
    if name.status != 0:
        return "unknown"
    return name.out.strip() + ("+" if changed.out.strip() else "")


def keep(found, name):
    path = os.path.join(HERE, "results", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(found, f, indent=1)
        f.write("\n")
    say(f"written: {os.path.relpath(path, TREE)}")


def refresh(name, text):
    """Puts text between the markers of this name in perf/README.md."""
    path = os.path.join(HERE, "README.md")
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    with open(path) as f:
        readme = f.read()
    if begin not in readme or end not in readme:
        raise Failed(f"perf/README.md has no markers for {name}")
    before, rest = readme.split(begin, 1)
    with open(path, "w") as f:
        f.write(before + begin + text + "\n" + end + rest.split(end, 1)[1])


def today():
    return datetime.date.today().isoformat()


def heading(found):
    """Where and when, above a table."""
    return (f"{found['date']}, {found['machine']['cpu']}, {found['machine']['cores']} cores, "
            f"Linux {found['machine']['kernel']}, commit {found['commit']}")


def begin(scenario):
    """What every kept measurement says of itself."""
    return {"scenario": scenario, "date": today(), "machine": machine(), "commit": commit()}


def finish(args, found, table):
    """Shows a scenario's table; keeps it and the figures unless they are of a trial."""
    say("\n" + table)
    if args.dry or args.quick:
        if args.figures:
            say(json.dumps(found))
        return
    keep(found, f"{found['scenario']}-{found['date']}.json")
    refresh(found["scenario"], table)


def say(text):
    print(text, flush=True)
