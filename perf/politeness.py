"""Scenario politeness: how much of a receiver's limit is used, and how much it had to refuse.

Every dialect is a receiver of its own: a port of one sinker, which counts what it let pass and what
it refused in each window. One hookline has records for all of them at once, far more than the
limit lets through, and is ended when each has seen enough windows.
"""
import contextlib
import json
import os
import re
import time

from bench import Sending, Sinker, begin, finish, heading, say

COUNT, WINDOW_S = 2000, 10
# Told on every answer.
TOLD = ["x-rate-limit", "x-ratelimit", "x-ratelimit-decimal", "x-ratelimit-epoch",
        "x-ratelimit-ms", "x-ratelimit-duration", "x-ratelimit-date", "x-ratelimit-iso",
        "ratelimit", "ratelimit-floor", "draft3", "draft7", "structured",
        "x-ratelimit,retry-after"]
# Told with 429 only, and not at all.
REFUSALS = ["retry-after", "retry-after-decimal", "retry-after-date"]
SILENT = ["none"]
GOALS = {"told": (0.98, 0.001), "refusals": (0.98, 0.001), "silent": (0.85, 0.05)}


def kind_of(dialect):
    return "silent" if dialect in SILENT else "refusals" if dialect in REFUSALS else "told"


def write_records(path, ports, dialects, each):
    urls = [f"http://127.0.0.1:{port}/limit/{COUNT}-per-{WINDOW_S}s/{dialect}"
            for port, dialect in zip(ports, dialects)]
    with open(path, "w", buffering=1 << 20) as f:
        for i in range(each):
            for k, url in enumerate(urls):
                f.write(f'{{"id":"{k}-{i}","url":"{url}","body":{{"type":"order.paid"}}}}\n')


def windows_of(path):
    """For each port its windows that are over, in their order."""
    found = {}
    with open(path) as f:
        for line in f:
            if not line.endswith("\n"):
                break
            w = json.loads(line)
            port = int(w["listener"].rsplit(":", 1)[1])
            found.setdefault(port, []).append(w)
    return found


def seconds(stamp):
    day, clock, micros = re.fullmatch(r"(.*)T(.*)\.(\d{6})Z", stamp).groups()
    whole = time.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S")
    return time.mktime(whole) - time.timezone + int(micros) / 1e6


def judge(dialect, shards, windows, wanted):
    """Of `wanted` windows, and of the time from the first one's beginning to the beginning of the
    one after the last: what a sender leaves out between windows is lost to it as well."""
    count = min(wanted, len(windows) - 1)
    row = {"dialect": dialect, "shards": shards, "windows": count,
           "each": [[w["allowed"], w["refused"]] for w in windows[:count]]}
    if count < 2:
        return row
    length_s = seconds(windows[count]["start"]) - seconds(windows[0]["start"])
    allowed = sum(w["allowed"] for w in windows[:count])
    after = windows[1:count]
    asked = sum(w["allowed"] + w["refused"] for w in after)
    row["used"] = allowed / (COUNT * length_s / WINDOW_S)
    row["refused"] = sum(w["refused"] for w in after) / asked
    used, refused = GOALS[kind_of(dialect)]
    row["ok"] = row["used"] >= used and row["refused"] <= refused and count == wanted
    return row


def politeness(args, folder):
    dialects = args.dialects or TOLD + REFUSALS + SILENT
    wanted = 2 if args.quick else 10
    patience_s = (wanted + 3) * WINDOW_S * 1.1
    shards_of = (1, 2)
    found = begin("politeness")
    found.update(count=COUNT, window_s=WINDOW_S, windows=wanted, goals=GOALS)
    with contextlib.ExitStack() as stack:
        runs = []
        for shards in shards_of:
            log = os.path.join(folder, f"limits-{shards}")
            sinker = stack.enter_context(Sinker(args.build, ["127.0.0.1:0"] * len(dialects),
                                                ("--limit-log", log)))
            records = os.path.join(folder, f"records-{shards}.ndjson")
            write_records(records, sinker.ports, dialects, int(COUNT * (wanted + 3) * 1.2))
            runs.append((shards, log, sinker, records))
        for shards, _, _, records in runs:
            stack.enter_context(Sending(args.build, ("--shards", str(shards)), records))
        began = time.monotonic()
        say(f"  {len(dialects)} receivers, {wanted} windows of {WINDOW_S} s")
        while time.monotonic() - began < patience_s:
            time.sleep(1)
            done = [len(w) > wanted for _, log, sinker, _ in runs
                    for w in [windows_of(log).get(port, []) for port in sinker.ports]]
            if all(done):
                break
        found["seconds"] = round(time.monotonic() - began, 1)
        found["rows"] = [judge(dialect, shards, windows_of(log).get(port, []), wanted)
                         for shards, log, sinker, _ in runs
                         for dialect, port in zip(dialects, sinker.ports)]
    finish(args, found, table(found, shards_of))


def table(found, shards_of):
    lines = [heading(found), "",
             "| hints | " + " | ".join(f"used, {n} shard{'s' * (n > 1)} | refused"
                                       for n in shards_of) + " | goal |",
             "|---|" + "---:|---:|" * len(shards_of) + "---|"]
    rows = {(r["dialect"], r["shards"]): r for r in found["rows"]}
    for dialect in dict.fromkeys(r["dialect"] for r in found["rows"]):
        cells = []
        for shards in shards_of:
            r = rows[dialect, shards]
            cells.append(f"{r['used']:.1%} | {r['refused']:.2%}" if "used" in r else "- | -")
        used, refused = found["goals"][kind_of(dialect)]
        ok = all(rows[dialect, shards].get("ok") for shards in shards_of)
        lines.append(f"| {dialect} | " + " | ".join(cells) +
                     f" | {used:.0%}, {refused:.1%}: {'met' if ok else 'missed'} |")
    return "\n".join(lines)
