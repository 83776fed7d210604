"""Scenario peers: deliveries a second of hookline over those of other senders, on the same records
and the same receiver: `curl --parallel` and a Node.js sender, with node's http module and, where it
is installed, undici.

Each sender has one CPU, the receiver the other; rounds alternate. They differ in speed so much that
each has a number of records of its own, enough for a few seconds.
"""
import json
import os
import shutil
import statistics
import subprocess

from bench import (HERE, RECEIVER_CPU, Failed, Finished, Receiver, begin, finish, heading, pinned,
                   say)
from throughput import Records, run_hookline

CONNECTIONS = 64
COUNTS = {"hookline": 400_000, "curl": 20_000, "node http": 40_000, "node undici": 60_000}
SENDER = os.path.join(HERE, "peers", "sender.mjs")


def has_undici():
    did = subprocess.run(["node", "--input-type=module", "-e", "await import('undici')"],
                         cwd=os.path.dirname(SENDER), stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, check=False)
    return did.returncode == 0


def result(did, count):
    return {"per_s": count / did.wall_s, "cpu_ns": did.cpu_s * 1e9 / count,
            "peak_rss_kib": did.peak_rss_kib}


def curl_config(records, path):
    """One transfer for each record; curl writes each answer's status to standard output."""
    with open(records) as f, open(path, "w") as out:
        for i, line in enumerate(f):
            record = json.loads(line)
            out.write("next\n" if i > 0 else "")
            body = json.dumps(record["body"], separators=(",", ":"))
            quoted = body.replace("\\", "\\\\").replace('"', '\\"')
            out.write(f'url = "{record["url"]}"\ndata-raw = "{quoted}"\n'
                      'header = "Content-Type: application/json"\noutput = "/dev/null"\n'
                      'write-out = "%{http_code}\\n"\n')


def run_curl(folder, records, count):
    config = os.path.join(folder, "curl.conf")
    if not os.path.exists(config):
        curl_config(records, config)
    did = Finished(pinned(["curl", "--silent", "--no-progress-meter", "--parallel",
                           "--parallel-max", str(CONNECTIONS), "--config", config])).demand()
    delivered = sum(line == "200" for line in did.out.split())
    if delivered != count:
        raise Failed(f"curl: {count} records, {delivered} delivered")
    return result(did, count)


def run_node(kind, records, count):
    did = Finished(pinned(["node", SENDER, kind, records, str(CONNECTIONS)])).demand()
    if int(did.out) != count:
        raise Failed(f"node {kind}: {count} records, {did.out.strip()} delivered")
    return result(did, count)


def peers(args, folder):
    make = Records(args.build, folder)
    names = ["hookline", "curl"] + (["node http"] if shutil.which("node") else [])
    names += ["node undici"] if shutil.which("node") and has_undici() else []
    counts = {name: COUNTS[name] // (10 if args.quick else 1) for name in names}
    found = begin("peers")
    found.update(connections=CONNECTIONS, records=counts, rounds={name: [] for name in names})
    with Receiver(args.build, RECEIVER_CPU) as port:
        paths = {name: make.write(port, count) for name, count in counts.items()}
        run = {"hookline": lambda: run_hookline(args.build, folder, paths["hookline"],
                                                counts["hookline"], CONNECTIONS),
               "curl": lambda: run_curl(folder, paths["curl"], counts["curl"]),
               "node http": lambda: run_node("http", paths["node http"], counts["node http"]),
               "node undici": lambda: run_node("undici", paths["node undici"],
                                               counts["node undici"])}
        for number in range(args.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                found["rounds"][name].append(run[name]())
            say(f"  round {number + 1} of {args.rounds}: " + ", ".join(
                f"{name} {found['rounds'][name][-1]['per_s']:,.0f}/s" for name in names))
    finish(args, found, table(found))


def table(found):
    lines = [heading(found), "",
             "| sender | deliveries/s | hookline over it | CPU ns/delivery | peak memory |",
             "|---|---:|---:|---:|---:|"]
    ours = found["rounds"]["hookline"]
    for name, runs in found["rounds"].items():
        ratio = statistics.median(a["per_s"] / b["per_s"] for a, b in zip(ours, runs))
        mid = {key: statistics.median(r[key] for r in runs)
               for key in ("per_s", "cpu_ns", "peak_rss_kib")}
        lines.append(f"| {name} | {mid['per_s']:,.0f} | {ratio:.1f} | {mid['cpu_ns']:,.0f} | "
                     f"{mid['peak_rss_kib'] / 1024:,.0f} MiB |")
    return "\n".join(lines)
