"""Scenario isolation: what 100 healthy receivers get while as many records go to 50 that hang and
50 that refuse connections, over what they get alone.

Two loads: at half of the highest rate (--host-rate), where nothing is short, and as fast as it
goes, where the CPU that reads the other half is missing. Rounds alternate. Goodput and latency are
read from hookline's own results file, which has healthy records only: the others wait, and are
given up when hookline is ended.
"""
import contextlib
import json
import os
import re
import statistics
import time

from bench import (RECEIVER_CPU, SENDER_CPU, Failed, Sending, Sinker, begin, finish, heading, say)
from politeness import seconds

HEALTHY, HANGING, REFUSING = 100, 50, 50
CONNECTIONS = 1024
RUN_SECONDS_MAX = 60
GOAL_HALF, GOAL_P99, GOAL_FULL = 0.99, 1.2, 0.90


def write_records(path, healthy_port, bad_port, count, with_bad):
    """count records for healthy receivers; each followed by one for a bad one, or none."""
    good = [f"http://127.0.1.{i + 1}:{healthy_port}/hooks" for i in range(HEALTHY)]
    bad = [f"http://127.0.2.{i + 1}:{bad_port}/hooks" for i in range(HANGING)]
    bad += [f"http://127.0.3.{i + 1}:{bad_port}/hooks" for i in range(REFUSING)]
    bad = [bad[i // 2 if i % 2 else HANGING + i // 2] for i in range(len(bad))]
    pad = "x" * 150
    with open(path, "w", buffering=1 << 20) as f:
        for i in range(count):
            f.write(f'{{"id":"g{i:09d}","url":"{good[i % HEALTHY]}","body":{{"pad":"{pad}"}}}}\n')
            if with_bad:
                f.write(f'{{"id":"b{i:09d}","url":"{bad[i % len(bad)]}",'
                        f'"body":{{"pad":"{pad}"}}}}\n')


def size_of(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def wait_for_silence(sending, results):
    """Until hookline ends or its results have not grown for two seconds."""
    began = changed = time.monotonic()
    size = 0
    while sending.running():
        time.sleep(0.05)
        now, new = time.monotonic(), size_of(results)
        if new != size:
            size, changed = new, now
        if size and now - changed > 2:
            return
        if now - began > RUN_SECONDS_MAX:
            raise Failed(f"isolation: not over after {RUN_SECONDS_MAX} s")


FIELDS = re.compile(rb'"id":"(.)\d+".*"outcome":"(\w+)".*"first_attempt_at":"([^"]+)",'
                    rb'"finished_at":"([^"]+)","duration_ms":([\d.]+)')


def read_results(path, count):
    first, last, durations = None, None, []
    with open(path, "rb") as f:
        for line in f:
            found = FIELDS.search(line)
            if not found:
                raise Failed(f"a line of the results is not understood: {line!r}")
            kind, outcome, began, ended, ms = found.groups()
            if kind != b"g" or outcome != b"delivered":
                continue
            first = began if first is None or began < first else first
            last = ended if last is None or ended > last else last
            durations.append(float(ms))
    if len(durations) != count:
        raise Failed(f"{count} records for healthy receivers, {len(durations)} delivered")
    length_s = seconds(last.decode()) - seconds(first.decode())
    durations.sort()
    return {"per_s": count / length_s, "p50_ms": durations[count // 2],
            "p99_ms": durations[count * 99 // 100], "p999_ms": durations[count * 999 // 1000],
            "seconds": length_s}


def run_one(args, folder, records, count, host_rate):
    results = os.path.join(folder, "results.ndjson")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(results)
    options = ["--shards", "1", "--connections", str(CONNECTIONS), "--results", results]
    if host_rate:
        options += ["--host-rate", f"{host_rate}/s"]
    with Sending(args.build, options, records, SENDER_CPU) as sending:
        wait_for_silence(sending, results)
    return read_results(results, count)


def isolation(args, folder):
    seconds_each = 2 if args.quick else 5
    found = begin("isolation")
    found.update(healthy=HEALTHY, hanging=HANGING, refusing=REFUSING, loads={})
    with contextlib.ExitStack() as stack:
        healthy = stack.enter_context(
            Sinker(args.build, [f"127.0.1.1-127.0.1.{HEALTHY}:0"], cpu=RECEIVER_CPU))
        hanging = stack.enter_context(
            Sinker(args.build, [f"127.0.2.1-127.0.2.{HANGING}:0"], ("--behave", "hang/head"),
                   cpu=RECEIVER_CPU))
        ports = healthy.ports[0], hanging.ports[0]
        trial = os.path.join(folder, "trial.ndjson")
        write_records(trial, *ports, 100_000, False)
        highest = run_one(args, folder, trial, 100_000, None)["per_s"]
        say(f"  the healthy half alone: {highest:,.0f}/s")
        for load, host_rate in (("half", max(1, int(highest / 2 / HEALTHY))), ("full", None)):
            rate = host_rate * HEALTHY if host_rate else highest
            count = int(rate * seconds_each) // HEALTHY * HEALTHY
            paths = {}
            for name in ("alone", "beside"):
                paths[name] = os.path.join(folder, f"{load}-{name}.ndjson")
                write_records(paths[name], *ports, count, name == "beside")
            rounds = {"alone": [], "beside": []}
            for number in range(args.rounds):
                for name in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
                    rounds[name].append(run_one(args, folder, paths[name], count, host_rate))
                say(f"  {load}, round {number + 1} of {args.rounds}: " + ", ".join(
                    f"{name} {runs[-1]['per_s']:,.0f}/s p99 {runs[-1]['p99_ms']:.2f} ms"
                    for name, runs in rounds.items()))
            found["loads"][load] = {"host_rate": host_rate, "count": count, "rounds": rounds,
                                    "goodput": ratio(rounds, "per_s"),
                                    "p99": ratio(rounds, "p99_ms")}
            for path in paths.values():
                os.unlink(path)
    finish(args, found, table(found))


def ratio(rounds, key):
    return round(statistics.median(b[key] / a[key]
                                   for a, b in zip(rounds["alone"], rounds["beside"])), 3)


def table(found):
    lines = [heading(found), "",
             "| load | healthy alone | beside the others | goodput ratio | p99 alone | "
             "p99 beside | p99 ratio | goal |",
             "|---|---:|---:|---:|---:|---:|---:|---|"]
    for load, at in found["loads"].items():
        mid = {name: {key: statistics.median(r[key] for r in runs) for key in ("per_s", "p99_ms")}
               for name, runs in at["rounds"].items()}
        if load == "half":
            goal = f"{GOAL_HALF}, p99 {GOAL_P99}"
            ok = at["goodput"] >= GOAL_HALF and at["p99"] <= GOAL_P99
        else:
            goal, ok = f"{GOAL_FULL:.2f}", at["goodput"] >= GOAL_FULL
        alone, beside = mid["alone"], mid["beside"]
        lines.append(f"| {load} | {alone['per_s']:,.0f}/s | {beside['per_s']:,.0f}/s | "
                     f"{at['goodput']:.3f} | {alone['p99_ms']:.2f} ms | "
                     f"{beside['p99_ms']:.2f} ms | {at['p99']:.2f} | "
                     f"{goal}: {'met' if ok else 'missed'} |")
    return "\n".join(lines)
