"""Goal: a name is found by the DNS, each way in which that fails has its own ending, and a name
that is slow, dead or hostile takes nothing from other hosts.

Method: a name server in this process, whose answers are a function of the name, over UDP and TCP.
What "others are not slowed" means is said by order: the slow answer is given only when the results
of all others are in the file, so that a run which waits for it in vain never ends well.
"""
import os
import socket
import struct
import threading
import time

import harness

LOOP = "127.0.0.1"
TYPE_A, TYPE_AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2
TRUNCATED = 0x0200


class Names:
    """answers(name, which): a list of addresses, an rcode, or None for no answer at all; `which`
    counts the questions of that name and type from 0. ttl in seconds."""

    def __init__(self, answers, ttl=60):
        self.answers, self.ttl, self.lock = answers, ttl, threading.Lock()
        self.asked = []  # (name, type), in the order in which they came
        self.over_tcp = 0
        self.udp, self.tcp = self.sockets()
        self.port = self.udp.getsockname()[1]
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @staticmethod
    def sockets():
        """One port, free for both."""
        for _ in range(100):
            tcp = socket.create_server((LOOP, 0))
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                udp.bind(tcp.getsockname())
                return udp, tcp
            except OSError:
                udp.close()
                tcp.close()
        raise AssertionError("no port is free for both UDP and TCP")

    @property
    def address(self):
        return f"{LOOP}:{self.port}"

    def count(self, name, kind=TYPE_A):
        with self.lock:
            return self.asked.count((name, kind))

    @staticmethod
    def question(message):
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        return ".".join(labels), struct.unpack(">H", message[at + 1:at + 3])[0], at + 5

    def answer(self, message, room):
        name, kind, end = self.question(message)
        with self.lock:
            which = self.asked.count((name, kind))
            self.asked.append((name, kind))
        said = self.answers(name, which)
        if said is None:
            return None
        code = said if isinstance(said, int) else 0
        family = socket.AF_INET6 if kind == TYPE_AAAA else socket.AF_INET
        records = [] if code else [socket.inet_pton(family, a) for a in said
                                   if (":" in a) == (kind == TYPE_AAAA)]
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl, len(r)) + r
                        for r in records)
        flags, count = 0x8180 | code, len(records)
        if end + len(body) > room:
            flags, count, body = flags | TRUNCATED, 0, b""
        return message[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + message[12:end] + body

    def answer_udp(self, message, peer):
        said = self.answer(message, 1232)
        if said is not None:
            self.udp.sendto(said, peer)

    def serve_udp(self):
        while True:
            try:
                message, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if len(message) < 17:  # the socket was shut down
                return
            # One that waits must not keep the others from their answers.
            threading.Thread(target=self.answer_udp, args=(message, peer), daemon=True).start()

    def serve_tcp(self):
        while True:
            try:
                peer, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with peer:
            stream = peer.makefile("rb")
            while True:
                head = stream.read(2)
                if len(head) < 2:
                    return
                said = self.answer(stream.read(struct.unpack(">H", head)[0]), 65535)
                with self.lock:
                    self.over_tcp += 1
                if said is None:
                    return
                peer.sendall(struct.pack(">H", len(said)) + said)

    def stop(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class NameTests(harness.Case):
    def names(self, answers, **more):
        n = Names(answers, **more)
        self.addCleanup(n.stop)
        return n

    def send_to(self, names, records, *args, retries=0):
        return self.send_records(records, "--dns-server", names.address, "--retries",
                                 str(retries), *args)

    def lines_told(self):
        try:
            with open(self.path("results"), "rb") as f:
                return f.read().count(b"\n")
        except OSError:
            return 0

    def ported(self, sinker):
        return sinker.addresses[0].rsplit(":", 1)[1]

    def others(self, sinker, count):
        """Records for hosts that are not under test: by address, by name."""
        port = self.ported(sinker)
        return [{"id": f"fine{i}", "url": (f"http://127.0.0.1:{port}/", f"http://good.test:{port}/")
                 [i % 2]} for i in range(count)]

    def check_fine(self, by_id):
        for name, told in by_id.items():
            if name.startswith("fine"):
                self.assertEqual(told["outcome"], "delivered", told)

    def test_a_name_is_found(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: [LOOP])
        port = self.ported(sinker)
        records = [{"id": f"r{i}", "url": f"http://Hook.Test:{port}/{i}"} for i in range(200)]
        result = self.send_to(names, records)
        self.check_status(result, 0)
        by_id = self.check_books(result, 200)
        self.assertEqual({told["host"] for told in by_id.values()}, {f"hook.test:{port}"})
        self.assertEqual(len(sinker.stop()), 200)
        shards = os.cpu_count() or 1
        self.assertLessEqual(names.count("hook.test"), 2 * shards, "an answer is kept for its time")

    def test_ipv6_and_ipv4(self):
        """IPv6 comes first; where nothing listens there, IPv4 is tried at once."""
        sinker = self.sinker()
        names = self.names(lambda name, which: [LOOP, "::1"])
        url = f"http://both.test:{self.ported(sinker)}/"
        result = self.send_to(names, [{"id": "a", "url": url}], "--connect-timeout", "1m")
        self.check_status(result, 0)
        self.assertEqual(names.count("both.test", TYPE_AAAA), 1)
        self.assertEqual(harness.summary(result)["connections opened"], 2)

    def test_slow_answer_holds_back_its_own_host_only(self):
        """It comes after five seconds, and not before everything else has been delivered."""
        sinker = self.sinker()
        count = harness.scaled(2000)

        def answers(name, which):
            if name == "slow.test":
                time.sleep(5)
                until = time.monotonic() + 60
                while self.lines_told() < count and time.monotonic() < until:
                    time.sleep(0.05)
            return [LOOP]

        names = self.names(answers)
        port = self.ported(sinker)
        records = self.others(sinker, count)
        for i in range(20):
            records.insert(i * 7, {"id": f"slow{i}", "url": f"http://slow.test:{port}/"})
        result = self.send_to(names, records, "--dns-timeout", "100s", "--shards", "1")
        self.check_status(result, 0)
        self.check_books(result, count + 20)
        ids = [line["id"] for line in self.results()]
        self.assertTrue(all(name.startswith("fine") for name in ids[:count]), ids[:30])
        self.assertTrue(all(name.startswith("slow") for name in ids[count:]))

    def test_hundreds_of_slow_names_hold_back_nobody(self):
        """More than may be asked for at once; none is answered before all others are delivered."""
        sinker = self.sinker()
        count, slow, others_told = harness.scaled(1000), 300, threading.Event()

        def watch():
            until = time.monotonic() + 60
            while self.lines_told() < count and time.monotonic() < until:
                time.sleep(0.1)
            others_told.set()

        def answers(name, which):
            if name.startswith("slow"):
                others_told.wait()
            return [LOOP]

        threading.Thread(target=watch, daemon=True).start()

        names = self.names(answers)
        port = self.ported(sinker)
        records = [{"id": f"fine{i}", "url": f"http://fine{i % 200}.test:{port}/"}
                   for i in range(count)]
        for i in range(slow):
            records.insert(i * 2, {"id": f"slow{i}", "url": f"http://slow{i}.test:{port}/"})
        result = self.send_to(names, records, "--dns-timeout", "20s", "--shards", "1",
                              "--unreachable-backoff", "2s,1,2s", retries=5)
        self.check_status(result, 0)
        self.check_books(result, count + slow)
        ids = [line["id"] for line in self.results()]
        self.assertTrue(all(name.startswith("fine") for name in ids[:count]), ids[:30])

    def test_answer_after_the_time_limit(self):
        """Too late for the attempt that waited for it, not for the next one."""
        sinker = self.sinker()

        def answers(name, which):
            if name == "late.test":
                time.sleep(1.5)
            return [LOOP]

        names = self.names(answers)
        port = self.ported(sinker)
        records = self.others(sinker, 100) + [{"id": "late", "url": f"http://late.test:{port}/"}]
        result = self.send_to(names, records, "--dns-timeout", "1s", "--unreachable-backoff",
                              "2s,1,2s", "--events", self.path("events"), retries=9)
        self.check_status(result, 0)
        by_id = self.check_books(result, 101)
        self.check_fine(by_id)
        self.assertGreaterEqual(by_id["late"]["attempts"], 2, by_id["late"])
        first = [e for e in harness.read_ndjson(self.path("events")) if e["id"] == "late"][0]
        self.assertEqual((first["error"], first["http_status_code"]), ("dns_timeout", 599), first)

    def test_no_answer_at_all(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: None if name == "never.test" else [LOOP])
        count = harness.scaled(1000)
        records = self.others(sinker, count)
        for i in range(50):
            records.insert(i, {"id": f"never{i}",
                               "url": f"http://never.test:{self.ported(sinker)}/"})
        result = self.send_to(names, records, "--dns-timeout", "2s", "--health-min", "1000000")
        self.check_status(result, 1)
        by_id = self.check_books(result, count + 50)
        self.check_fine(by_id)
        for i in range(50):
            told = by_id[f"never{i}"]
            self.assertEqual((told["outcome"], told["error"], told["status"], told["sent"],
                              told["attempts"]), ("exhausted", "dns_timeout", 599, "no", 1), told)
        self.assertEqual(len(sinker.stop()), count)

    def test_no_such_name(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: NXDOMAIN if name.startswith("nx") else
                           [] if name == "empty.test" else [LOOP])
        port = self.ported(sinker)
        records = self.others(sinker, 200)
        records += [{"id": f"nx{i}", "url": f"http://nx.test:{port}/"} for i in range(500)]
        records += [{"id": "empty", "url": f"http://empty.test:{port}/"}]
        result = self.send_to(names, records, "--shards", "1", "--health-min", "1000000")
        self.check_status(result, 1)
        by_id = self.check_books(result, 701)
        self.check_fine(by_id)
        for name in ["empty"] + [f"nx{i}" for i in range(500)]:
            told = by_id[name]
            self.assertEqual((told["outcome"], told["error"], told["status"], told["sent"]),
                             ("exhausted", "dns_failure", 599, "no"), told)
        self.assertLessEqual(names.count("nx.test"), 2, "that there is none is kept as well")

    def test_server_that_cannot_answer(self):
        """SERVFAIL is no answer: the next attempt asks again and gets one."""
        sinker = self.sinker()
        names = self.names(lambda name, which: SERVFAIL if which < 3 else [LOOP])
        result = self.send_to(names, [{"id": "a", "url": f"http://x.test:{self.ported(sinker)}/"}],
                              "--unreachable-backoff", "6s,1,12s", retries=5)
        self.check_status(result, 0)
        told = self.check_books(result, 1)["a"]
        self.assertGreater(told["attempts"], 1, told)

    def test_private_address_the_second_time(self):
        """Rebinding: the second answer leads into a private network, and is not followed."""
        said = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        receiver = self.raw_receiver(answer=lambda head, body: said)
        names = self.names(lambda name, which: [LOOP] if which == 0 else ["10.1.2.3"], ttl=1)
        result = self.send_to(names, [{"id": "a", "url": f"http://rebind.test:{receiver.port}/"}],
                              "--backoff", "6s,1,6s", retries=5)
        self.check_status(result, 1)
        told = self.check_books(result, 1)["a"]
        self.assertEqual((told["outcome"], told["error"], told["attempts"]),
                         ("failed", "blocked_address", 1), told)
        self.assertIn("10.1.2.3", str(told) + result.err, "which address it was is said")
        self.assertEqual(len(receiver.requests), 1)
        self.assertGreaterEqual(names.count("rebind.test"), 2)

    def test_private_addresses_among_others_are_left_out(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: ["10.1.2.3", "fd00::1", LOOP, "192.168.0.1"])
        port = self.ported(sinker)
        records = [{"id": f"r{i}", "url": f"http://mixed.test:{port}/"} for i in range(50)]
        result = self.send_to(names, records, "--connect-timeout", "1m", "--shards", "1")
        self.check_status(result, 0)
        self.check_books(result, 50)
        opened = harness.summary(result)["connections opened"]
        self.assertEqual(len({line["outcome"] for line in self.results()}), 1)
        self.assertLessEqual(opened, 50)

    def test_private_addresses_only(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: ["10.1.2.3", "192.168.0.1"])
        records = [{"id": f"r{i}", "url": f"http://inside.test:{self.ported(sinker)}/"}
                   for i in range(50)]
        result = self.send_to(names, records, retries=5)
        self.check_status(result, 1)
        for told in self.check_books(result, 50).values():
            self.assertEqual((told["outcome"], told["error"], told["sent"], told["attempts"]),
                             ("failed", "blocked_address", "no", 0), told)
        self.assertEqual(len(sinker.stop()), 0)

    def test_fifty_addresses_of_which_one_works(self):
        """Each record needs a connection of its own; the dead addresses are not tried by each."""
        sinker = self.sinker(behave="close")
        addresses = [f"127.0.1.{i}" for i in range(1, 50)]
        addresses.insert(37, LOOP)
        names = self.names(lambda name, which: addresses if name == "many.test" else [LOOP])
        port = self.ported(sinker)
        records = self.others(sinker, 100)
        records += [{"id": f"many{i}", "url": f"http://many.test:{port}/"} for i in range(200)]
        result = self.send_to(names, records, "--shards", "1", retries=5)
        self.check_status(result, 0)
        self.check_books(result, 300)
        self.assertEqual(len(sinker.stop()), 300)
        opened = harness.summary(result)["connections opened"]
        self.assertLess(opened, 1500, "without a memory it would be thousands")

    def test_addresses_that_do_not_answer(self):
        """The next one is tried beside the first, long before that one's time limit."""
        sinker = self.sinker()
        port = int(self.ported(sinker))
        silent = [f"127.0.2.{i}" for i in range(1, 4)]
        for address in silent:
            self.fill_backlog(address, port)
        names = self.names(lambda name, which: silent + [LOOP])
        result = self.send_to(names, [{"id": f"r{i}", "url": f"http://half.test:{port}/"}
                                      for i in range(20)], "--connect-timeout", "1m", retries=5)
        self.check_status(result, 0)
        for told in self.check_books(result, 20).values():
            self.assertEqual(told["attempts"], 1)
            self.assertLess(told["total_ms"], 50000, told)

    def fill_backlog(self, address, port):
        """Further connections there get no answer to their SYN."""
        full = socket.socket()
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((address, port))
        full.listen(0)
        self.addCleanup(full.close)
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((address, port))
            self.addCleanup(s.close)
        time.sleep(0.05)

    def test_long_answer_comes_over_tcp(self):
        sinker = self.sinker()
        addresses = [LOOP] + [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(120)]
        names = self.names(lambda name, which: addresses)
        url = f"http://long.test:{self.ported(sinker)}/"
        result = self.send_to(names, [{"id": "a", "url": url}], retries=5)
        self.check_status(result, 0)
        self.assertGreater(names.over_tcp, 0)

    def test_a_name_that_moves(self):
        """After its time to live, or when nothing answers at the old address, it is asked again."""
        sinker = self.sinker()
        names = self.names(lambda name, which: ["127.0.3.1"] if which == 0 else [LOOP], ttl=600)
        url = f"http://moved.test:{self.ported(sinker)}/"
        result = self.send_to(names, [{"id": "a", "url": url}],
                              "--unreachable-backoff", "25s,1,25s", retries=5)
        self.check_status(result, 0)
        told = self.check_books(result, 1)["a"]
        self.assertEqual(told["attempts"], 2, told)
        self.assertEqual(names.count("moved.test"), 2)

    def test_what_needs_no_dns_does_not_ask(self):
        sinker = self.sinker()
        port = self.ported(sinker)
        names = self.names(lambda name, which: None)
        records = [{"id": "a", "url": f"http://127.0.0.1:{port}/"},
                   {"id": "b", "url": f"http://localhost:{port}/"},
                   {"id": "c", "url": f"http://given.test:{port}/"}]
        result = self.send_to(names, records, "--resolve", f"given.test:{port}:{LOOP}")
        self.check_status(result, 0)
        self.assertEqual(names.asked, [])

    def test_the_file_of_hosts(self):
        """Read once, at the start; it wins over the DNS, and the egress policy over it."""
        own_mounts = harness.own_mounts()
        if own_mounts is None:
            self.skipTest("no mounts of one's own here")
        prefix = [*own_mounts, "sh", "-c",
                  'mount --bind "$0" /etc/hosts && exec "$@"', self.path("hosts")]
        with open(self.path("hosts"), "w") as f:
            f.write(f"{LOOP} by-file.test # a comment\n10.1.2.3\tinside.test\n")
        probe = harness.Process(prefix + ["true"], self.folder).finish()
        if probe.status != 0:
            self.skipTest("no namespaces for users here: " + probe.err.strip())
        sinker = self.sinker()
        port = self.ported(sinker)
        names = self.names(lambda name, which: [LOOP])
        result = self.send_records(
            [{"id": "a", "url": f"http://By-File.test:{port}/"},
             {"id": "b", "url": f"http://inside.test:{port}/"},
             {"id": "c", "url": f"http://by-dns.test:{port}/"}],
            "--dns-server", names.address, "--retries", "0", prefix=prefix)
        self.check_status(result, 1)
        by_id = self.check_books(result, 3)
        self.assertEqual([by_id[i]["outcome"] for i in "abc"],
                         ["delivered", "failed", "delivered"])
        self.assertEqual(by_id["b"]["error"], "blocked_address")
        self.assertEqual({name for name, _ in names.asked}, {"by-dns.test"})

    def test_stopping_does_not_wait_for_an_answer(self):
        sinker = self.sinker()
        names = self.names(lambda name, which: None)
        harness.write_lines(self.path("input"),
                            [{"id": "a", "url": f"http://never.test:{self.ported(sinker)}/"}])
        run = self.start("--dns-server", names.address, "--dns-timeout", "1h", self.path("input"))
        harness.wait_until(lambda: names.count("never.test") > 0, "the name is asked for")
        run.signal(harness.signal.SIGTERM)
        result = run.finish()
        self.check_status(result, 143)
        self.assertEqual(harness.summary(result)["pending"], 1)

    def test_check_takes_names(self):
        harness.write_lines(self.path("input"), [{"id": "a", "url": "http://hook.example/"}])
        result = self.check(self.path("input"))
        self.check_status(result, 0)


if __name__ == "__main__":
    harness.main()
