"""perf/run journal: what a state costs, by --sync, against none. See perf/README.md."""
import os
import shutil
import statistics

from bench import RECEIVER_CPU, Finished, Failed, Receiver, begin, finish, heading, pinned, say
from throughput import Records, hookline_argv

CONNECTIONS = 64
SECONDS = 4
MODES = ("off", "group", "none", "always")
CALIBRATION_RECORDS = 20_000
QUICK_RECORDS = 20_000


def run_once(build, folder, records, count, mode):
    """One run with a fresh state; the outcomes are counted in its results file."""
    results, state = (os.path.join(folder, name) for name in ("results.ndjson", "state"))
    argv = hookline_argv(build, records, CONNECTIONS, results)
    argv[-1:-1] = [] if mode == "off" else ["--state", state, "--sync", mode]
    did = Finished(pinned(argv)).demand()
    with open(results, "rb") as f:
        delivered = sum(b'"delivered"' in line for line in f)
    if delivered != count:
        raise Failed(f"--sync {mode}: {count} records, {delivered} delivered")
    facts = {"per_s": count / did.wall_s, "cpu_ns": did.cpu_s * 1e9 / count,
             "peak_rss_kib": did.peak_rss_kib}
    if mode != "off":
        facts["journal_bytes"] = os.path.getsize(os.path.join(state, "journal")) / count
        shutil.rmtree(state)
    os.unlink(results)
    return facts


def journal(args, folder):
    """Alternating rounds; the order turns. The folder should be on the disk that is meant."""
    make = Records(args.build, folder)
    found = begin("journal")
    found.update(connections=CONNECTIONS, rounds={mode: [] for mode in MODES})
    with Receiver(args.build, RECEIVER_CPU) as port:
        count = QUICK_RECORDS
        if not args.quick:
            trial = make.write(port, CALIBRATION_RECORDS)
            rate = run_once(args.build, folder, trial, CALIBRATION_RECORDS, "off")["per_s"]
            count = max(CALIBRATION_RECORDS, int(rate * SECONDS) // 1000 * 1000)
        # As many as keep `always` busy for some seconds, too: it is as fast as the disk syncs.
        counts = {mode: count // 32 if mode == "always" else count for mode in MODES}
        found["records"] = counts
        paths = {mode: make.write(port, counts[mode]) for mode in MODES}
        for number in range(args.rounds):
            turn = number % len(MODES)
            for mode in MODES[turn:] + MODES[:turn]:
                found["rounds"][mode].append(run_once(args.build, folder, paths[mode],
                                                           counts[mode], mode))
            say(f"  round {number + 1} of {args.rounds}: " + ", ".join(
                f"{mode} {found['rounds'][mode][-1]['per_s']:,.0f}/s" for mode in MODES))
    finish(args, found, table(found))


def table(found):
    lines = [heading(found), "",
             "| `--sync` | deliveries/s | over no state | CPU ns/delivery | journal bytes/record |",
             "|---|---:|---:|---:|---:|"]
    base = found["rounds"]["off"]
    for mode, runs in found["rounds"].items():
        ratio = statistics.median(a["per_s"] / b["per_s"] for a, b in zip(runs, base))
        per_s, cpu_ns = (statistics.median(r[key] for r in runs) for key in ("per_s", "cpu_ns"))
        size = "-"
        if mode != "off":
            size = f"{statistics.median(r['journal_bytes'] for r in runs):.1f}"
        name = "no state" if mode == "off" else mode
        lines.append(f"| {name} | {per_s:,.0f} | {ratio:.2f} | {cpu_ns:,.0f} | {size} |")
    return "\n".join(lines)
