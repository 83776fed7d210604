"""Scenarios throughput (deliveries a second: the raw limit, wrk, hookline) and instructions
(user-space instructions a delivery).
"""
import json
import os
import re
import shutil
import statistics
import subprocess

from bench import (ANSWER_BYTES, RECEIVER_CPU, REQUEST_BYTES, SENDER_CPU, Failed, Finished,
                   Receiver, begin, finish, heading, pinned, request_size, say)

CALIBRATION_RECORDS = 100_000

# ---- the senders ---------------------------------------------------------------------------


def run_limit(build, port, connections, seconds):
    did = Finished([os.path.join(build, "limit"), "-p", str(port), "-C", str(SENDER_CPU),
                    "-c", str(connections), "-q", str(REQUEST_BYTES), "-r", str(ANSWER_BYTES),
                    "-w", "200", "-d", str(int(seconds * 1000))]).demand()
    said = json.loads(did.out)
    return {"per_s": said["rt_per_s"], "cpu_ns": said["cpu_ns_per_rt"]}


def wrk_script(folder, port):
    """A POST whose bytes add up to REQUEST_BYTES; wrk itself adds Host and Content-Length."""
    head = (f"POST /hooks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 300\r\n"
            "Content-Type: application/json\r\n\r\n")
    path = os.path.join(folder, f"post-{port}.lua")
    with open(path, "w") as f:
        f.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                f'wrk.body = string.rep("x", {REQUEST_BYTES - len(head)})\n')
    return path


def wrk_argv(folder, port, connections, seconds):
    return pinned(["wrk", "-t1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s",
                   "-s", wrk_script(folder, port), f"http://127.0.0.1:{port}/hooks"])


def run_wrk(folder, port, connections, seconds):
    did = Finished(wrk_argv(folder, port, connections, seconds)).demand()
    total = re.search(r"(\d+) requests in", did.out)
    rate = re.search(r"Requests/sec: *([\d.]+)", did.out)
    if not total or not rate or "Non-2xx" in did.out or "Socket errors" in did.out:
        raise Failed(f"wrk said: {did.out.strip()}")
    return {"per_s": float(rate.group(1)), "cpu_ns": did.cpu_s * 1e9 / int(total.group(1))}


class Records:
    """NDJSON files whose rendered requests have REQUEST_BYTES bytes each."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.pad = 64
        seen = request_size(self.start_one)
        self.pad += REQUEST_BYTES - seen
        if self.pad < 0:
            raise Failed(f"hookline adds too much: {seen} bytes with a pad of 64")
        self.request_bytes = request_size(self.start_one)

    def start_one(self, port):
        path = self.write(port, 1)
        return subprocess.Popen(hookline_argv(self.build, path, 1, os.devnull),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def write(self, port, count):
        path = os.path.join(self.folder, f"records-{count}.ndjson")
        pad = "x" * self.pad
        with open(path, "w", buffering=1 << 20) as f:
            for i in range(count):
                f.write(f'{{"id":"evt_{i:09d}","url":"http://127.0.0.1:{port}/hooks",'
                        f'"body":{{"type":"order.paid","order":{i + 100000000},"pad":"{pad}"}}}}\n')
        return path


def hookline_argv(build, records, connections, results):
    return [os.path.join(build, "hookline"), "send", "--shards", "1", "--connections",
            str(connections), "--host-connections", str(connections), "--allow-net", "127.0.0.0/8",
            "--progress", "none", "--results", results, records]


def run_hookline(build, folder, records, count, connections):
    results = os.path.join(folder, "results.ndjson")
    did = Finished(pinned(hookline_argv(build, records, connections, results))).demand()
    lines = delivered = 0
    with open(results, "rb") as f:
        for line in f:
            lines += 1
            delivered += b'"delivered"' in line
    os.unlink(results)
    if lines != count or delivered != count:
        raise Failed(f"hookline: {count} records, {lines} results, {delivered} delivered")
    return {"per_s": count / did.wall_s, "cpu_ns": did.cpu_s * 1e9 / count,
            "wall_s": did.wall_s, "peak_rss_kib": did.peak_rss_kib}


# ---- scenario: throughput ------------------------------------------------------------------


def records_for(build, folder, make, port, connections, seconds):
    """A file that keeps hookline busy for about that long, and its length."""
    path = make.write(port, CALIBRATION_RECORDS)
    rate = run_hookline(build, folder, path, CALIBRATION_RECORDS, connections)["per_s"]
    os.unlink(path)
    count = max(CALIBRATION_RECORDS, int(rate * seconds) // 1000 * 1000)
    return make.write(port, count), count


def throughput_one(args, folder, port, connections, make):
    """Alternating rounds; the order turns, so that none always runs first."""
    senders = {
        "limit": lambda: run_limit(args.build, port, connections, args.seconds),
        "wrk": lambda: run_wrk(folder, port, connections, args.seconds),
    }
    facts = {"connections": connections}
    if make:
        path, count = records_for(args.build, folder, make, port, connections, args.seconds)
        facts["records"] = count
        senders["hookline"] = lambda: run_hookline(args.build, folder, path, count, connections)
    senders = {name: run for name, run in senders.items() if name in args.senders}
    rounds = {name: [] for name in senders}
    for number in range(args.rounds):
        names = list(senders)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rounds[name].append(senders[name]())
        say(f"  {connections} connections, round {number + 1} of {args.rounds}: " + ", ".join(
            f"{name} {rounds[name][-1]['per_s']:,.0f}/s" for name in names))
    facts["rounds"] = rounds
    facts["medians"] = {name: {"per_s": round(median(runs, "per_s")),
                               "cpu_ns": round(median(runs, "cpu_ns"))}
                        for name, runs in rounds.items()}
    facts["over_limit"] = paired(rounds, "limit")
    facts["over_wrk"] = paired(rounds, "wrk")
    return facts


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def paired(rounds, base):
    """Each sender's rate over base's in the same round; the median of those ratios."""
    if base not in rounds:
        return {}
    return {name: round(statistics.median(a["per_s"] / b["per_s"]
                                          for a, b in zip(runs, rounds[base])), 3)
            for name, runs in rounds.items() if name != base}


def throughput(args, folder):
    make = Records(args.build, folder) if "hookline" in args.senders else None
    found = begin("throughput")
    found.update(answer_bytes=ANSWER_BYTES, request_bytes={"limit": REQUEST_BYTES}, runs=[])
    if "wrk" in args.senders:
        found["request_bytes"]["wrk"] = request_size(lambda port: subprocess.Popen(
            wrk_argv(folder, port, 1, 30), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    if make:
        found["request_bytes"]["hookline"] = make.request_bytes
    with Receiver(args.build, RECEIVER_CPU) as port:
        for connections in args.connections:
            found["runs"].append(throughput_one(args, folder, port, connections, make))
    table = throughput_table(found)
    args.dry = args.dry or set(args.senders) != {"limit", "wrk", "hookline"}
    finish(args, found, table)


def throughput_table(found):
    lines = [heading(found), "",
             "| connections | sender | deliveries/s | over limit | over wrk | CPU ns/delivery |",
             "|---:|---|---:|---:|---:|---:|"]
    for run in found["runs"]:
        for name, at in run["medians"].items():
            over = [f"{run[which].get(name, 1.0):.2f}" if run[which] else "-"
                    for which in ("over_limit", "over_wrk")]
            lines.append(f"| {run['connections']} | {name} | {at['per_s']:,} | {over[0]} | "
                         f"{over[1]} | {at['cpu_ns']:,} |")
    return "\n".join(lines)


# ---- scenario: instructions ----------------------------------------------------------------


def counter_supported():
    if not shutil.which("perf"):
        return False
    did = Finished(["perf", "stat", "-x,", "-e", "instructions:u", "true"])
    return did.status == 0 and re.match(r"\d+,", did.err.strip()) is not None


def count_instructions(argv, how, profile):
    if how == "perf":
        did = Finished(["perf", "stat", "-x,", "-e", "instructions:u"] + argv).demand()
        return int(re.search(r"(?m)^(\d+),[^,]*,instructions:u", did.err).group(1))
    did = Finished(["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"] + argv)
    did.demand()
    return int(re.search(r"Collected : (\d+)", did.err).group(1))


def instructions(args, folder):
    """Two sizes and their difference, so that start and end cancel out."""
    how = "perf" if counter_supported() else "callgrind"
    if how == "callgrind" and not shutil.which("valgrind"):
        raise Failed("neither the processor's counter nor valgrind is there (apt: valgrind)")
    make = Records(args.build, folder)
    sizes = (args.records, args.records * 5)
    counts = {}
    with Receiver(args.build, None) as port:
        for size in sizes:
            path = make.write(port, size)
            results = os.path.join(folder, "results.ndjson")
            profile = os.path.join(folder, f"callgrind-{size}.out")
            counts[size] = count_instructions(
                hookline_argv(args.build, path, args.connections[0], results), how, profile)
            with open(results, "rb") as f:
                delivered = sum(b'"delivered"' in line for line in f)
            if delivered != size:
                raise Failed(f"hookline: {size} records, {delivered} delivered")
            say(f"  {size:,} records: {counts[size]:,} instructions")
    each = (counts[sizes[1]] - counts[sizes[0]]) / (sizes[1] - sizes[0])
    found = begin("instructions")
    found.update(counted_by=how, connections=args.connections[0], counts=counts,
                 per_delivery=round(each, 1))
    line = (f"{found['date']}, commit {found['commit']}, counted by {how}, "
            f"{args.connections[0]} connections: **{each:,.0f}** user-space instructions "
            "a delivery")
    if args.profile and how == "callgrind":
        say(Finished(["callgrind_annotate", "--auto=no", profile]).demand().out)
    finish(args, found, line)
