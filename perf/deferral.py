"""Scenario deferral: a receiver that begins to fail is put on hold, gets nothing but probes, and is
back at its rate soon after it has recovered.

sinker's script makes it fail; its log of every request is what is judged. Its answers take 50 ms
and 64 requests may be in flight, so that the rate depends on the concurrency that is won back.
"""
import bisect
import contextlib
import json
import os
import time

from bench import Failed, Sending, Sinker, begin, finish, heading, say
from politeness import seconds

DELAY_MS, CONNECTIONS = 50, 64
RATE = CONNECTIONS * 1000 // DELAY_MS
PROBES = 3
GOAL_BACK_S, GOAL_RATE = 5, 0.9

# Times in seconds from the first request; the receiver fails 60 % from `fails` on, everything from
# `dead` on, and nothing from `well` on. `dead` lies behind the hold, `well` before a probe.
CASES = [
    {"name": "short", "window": 10, "cooldown": 10, "shards": 1, "fails": 12, "dead": 24,
     "well": 40, "ends": 62},
    {"name": "short, 2 shards", "window": 10, "cooldown": 10, "shards": 2, "fails": 12, "dead": 24,
     "well": 40, "ends": 62},
    {"name": "defaults", "window": 60, "cooldown": 60, "shards": 1, "fails": 62, "dead": 130,
     "well": 140, "ends": 205},
]


def script_of(case):
    delay = f"delay/{DELAY_MS}ms"
    return (f"0s {delay}\n{case['fails']}s {delay}+flaky/60+status/503\n"
            f"{case['dead']}s {delay}+status/503\n{case['well']}s {delay}\n")


def start(stack, args, folder, number, case):
    script, log, records = (os.path.join(folder, f"{what}-{number}")
                            for what in ("script", "log", "records"))
    with open(script, "w") as f:
        f.write(script_of(case))
    sinker = stack.enter_context(Sinker(args.build, ["127.0.0.1:0"], (
        "--script", script, "--time-from", "first-request", "--log", log)))
    with open(records, "w", buffering=1 << 20) as f:
        for i in range(RATE * case["ends"]):
            f.write(f'{{"id":"{i}","url":"http://127.0.0.1:{sinker.ports[0]}/",'
                    '"body":{"type":"order.paid"}}\n')
    options = ["--shards", str(case["shards"]), "--host-connections", str(CONNECTIONS)]
    if case["name"] != "defaults":
        options += ["--health-window", f"{case['window']}s", "--cooldown", f"{case['cooldown']}s"]
    return log, stack.enter_context(Sending(args.build, options, records))


def rate_from(times, at, length_s=1.0):
    return (bisect.bisect_left(times, at + length_s) - bisect.bisect_left(times, at)) / length_s


def judge(case, log):
    with open(log) as f:
        seen = [(seconds(r["time"]), r["status"]) for r in map(json.loads, f)]
    seen.sort()
    first = seen[0][0]
    times = [at - first for at, _ in seen]
    status = [code for _, code in seen]
    row = {"case": case, "requests": len(seen)}
    before = row["rate_before"] = rate_from(times, case["fails"] - 5, 4)
    # The hold: the first silence of half a cooldown.
    at = bisect.bisect_left(times, case["fails"])
    while at + 1 < len(times) and times[at + 1] - times[at] < case["cooldown"] / 2:
        at += 1
    if at + 1 >= len(times):
        row["why"] = "it was never put on hold, or never probed"
        return row
    row["held_after_s"] = times[at] - case["fails"]
    rounds, i = [], at + 1  # of probes: what comes together
    while i < len(times) and status[i] != 200:
        if not rounds or times[i] - times[i - 1] > 1:
            rounds.append({"at_s": times[i] - times[at], "count": 0})
        rounds[-1]["count"] += 1
        i += 1
    row["failed_rounds"] = rounds
    if i == len(times):
        row["why"] = "it was not back before the end"
        return row
    row["probed_s"] = times[i]
    back = next((t for t in times[i:] if rate_from(times, t) >= GOAL_RATE * before), None)
    row["back_after_s"] = None if back is None or back > case["ends"] - 2 else back - times[i]
    row["rate_after"] = rate_from(times, case["ends"] - 5, 4)
    row["ok"] = (row["held_after_s"] <= case["window"] and row["back_after_s"] is not None
                 and all(r["count"] <= PROBES for r in rounds)
                 and row["back_after_s"] <= GOAL_BACK_S)
    return row


def deferral(args, folder):
    cases = CASES[:1] if args.quick else CASES
    found = begin("deferral")
    found["rows"] = []
    with contextlib.ExitStack() as stack:
        logs = [start(stack, args, folder, i, case) for i, case in enumerate(cases)]
        began = time.monotonic()
        say(f"  {len(cases)} receivers at once, {max(c['ends'] for c in cases)} s")
        while time.monotonic() - began < max(c["ends"] for c in cases) + 1:
            time.sleep(0.5)
            for case, (_, sending) in zip(cases, logs):
                if not sending.running() and time.monotonic() - began < case["ends"]:
                    raise Failed(f"hookline ended early: {case['name']}")
    for case, (log, sending) in zip(cases, logs):
        row = judge(case, log)
        row["said"] = [line for line in sending.err.splitlines() if "on hold" in line]
        found["rows"].append(row)
        if "why" in row:
            say(f"  {case['name']}: {row['why']}")
    finish(args, found, table(found))


def table(found):
    lines = [heading(found), "",
             "| case | window, cooldown | rate before | on hold after | probes in failed rounds "
             "| back at 90 % after | rate after | goal |",
             "|---|---|---:|---:|---:|---:|---:|---|"]
    for r in found["rows"]:
        case = r["case"]
        back = r.get("back_after_s")
        held = r.get("held_after_s")
        lines.append(
            f"| {case['name']} | {case['window']} s, {case['cooldown']} s | "
            f"{r['rate_before']:,.0f}/s | {'-' if held is None else f'{held:.1f} s'} | "
            f"{', '.join(str(p['count']) for p in r.get('failed_rounds', [])) or '-'} | "
            f"{'-' if back is None else f'{back:.1f} s'} | {r.get('rate_after', 0):,.0f}/s | "
            f"{'met' if r.get('ok') else 'missed'} |")
    return "\n".join(lines)
