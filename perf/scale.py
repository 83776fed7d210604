"""Scenario scale: what a delivery costs as the number of hosts grows.

CPU of hookline, user and system, for each delivery at 1, 1,000 and 100,000 hosts, one shard with
4,096 connections. Records come in runs of 5 for a host, or one by one round all hosts. What hosts
cost is one thing, what connections cost another: many open ones cost the kernel more than few,
and 100,000 hosts cannot keep theirs. So each load is also compared with one host that has as many
open connections, plus what as many new ones cost, by a load that closes each time.

The receiver listens on one socket for all of 127.0.0.0/8: a host is an address.
"""
import json
import os
import statistics

from bench import (RECEIVER_CPU, SENDER_CPU, Failed, Finished, Sinker, begin, finish, heading, say)

RUN = 5
CONNECTIONS = 4096
GOAL = 1.5
SECONDS_MAX = 110


def address(i):
    return f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}"


def write_records(path, port, load, count):
    pad = "x" * 150
    with open(path, "w", buffering=1 << 20) as f:
        for i in range(count):
            host = address(i // load.run_length % load.hosts)
            f.write(f'{{"id":"{i:09d}","url":"http://{host}:{port}/{load.path}",'
                    f'"body":{{"pad":"{pad}"}}}}\n')


class Load:
    """name, hosts, records in a row for one, connections for one, the path of all."""

    def __init__(self, name, hosts, run_length, host_connections=256, path="hooks"):
        self.name, self.hosts, self.run_length = name, hosts, run_length
        self.host_connections, self.path = host_connections, path
        self.rounds = []


ONE, ONE_WIDE, ONE_CLOSES = "1 host", "1 host, 4,096 connections", "1 host, closes each time"


def loads():
    every = [Load(ONE, 1, 1, 64), Load(ONE_WIDE, 1, 1, CONNECTIONS),
             Load(ONE_CLOSES, 1, 1, CONNECTIONS, "close")]
    for hosts in (1_000, 100_000):
        every.append(Load(f"{hosts:,} hosts, runs of {RUN}", hosts, RUN))
        every.append(Load(f"{hosts:,} hosts, one by one", hosts, 1))
    return every


def run_one(args, folder, load, port, count):
    records = os.path.join(folder, "records.ndjson")
    results = os.path.join(folder, "results.ndjson")
    write_records(records, port, load, count)
    argv = ["taskset", "-c", str(SENDER_CPU), os.path.join(args.build, "hookline"), "send",
            "--allow-net", "127.0.0.0/8", "--progress", "none", "--shards", "1", "--memory", "1G",
            "--connections", str(CONNECTIONS), "--host-connections", str(load.host_connections),
            "--results", results, records]
    did = Finished(argv, SECONDS_MAX).demand()
    with open(results, "rb") as f:
        delivered = sum(b'"delivered"' in line for line in f)
    if delivered != count:
        raise Failed(f"{load.name}: {count} records, {delivered} delivered")
    opened = next((line.split()[2].replace(",", "") for line in did.err.splitlines()
                   if "connections opened" in line), "0")
    return {"cpu_ns": did.cpu_s * 1e9 / count, "per_s": count / did.wall_s,
            "connections": int(opened), "peak_rss_kib": did.peak_rss_kib}


def scale(args, folder):
    count = 100_000 if args.quick else 600_000
    found = begin("scale")
    found.update(records=count, run_length=RUN, rows=[])
    every = loads()
    with Sinker(args.build, ["127.0.0.0/8:0"], cpu=RECEIVER_CPU) as sinker:
        for number in range(args.rounds):
            for load in every[number % len(every):] + every[:number % len(every)]:
                load.rounds.append(run_one(args, folder, load, sinker.ports[0], count))
                say(f"  round {number + 1} of {args.rounds}: {load.name}: "
                    f"{load.rounds[-1]['cpu_ns']:,.0f} ns")
    for load in every:
        found["rows"].append({"load": load.name, "hosts": load.hosts, "rounds": load.rounds,
                              "cpu_ns": statistics.median(r["cpu_ns"] for r in load.rounds),
                              "connections": statistics.median(
                                  r["connections"] for r in load.rounds),
                              "peak_rss_kib": max(r["peak_rss_kib"] for r in load.rounds)})
    ms = "200" if args.quick else "2000"
    found["table"] = json.loads(
        Finished([os.path.join(args.build, "perf-table"), "-d", ms]).demand().out)
    finish(args, found, table(found))


def expected(found, row):
    """What so many deliveries and new connections cost with one host that has as many open."""
    by_name = {r["load"]: r for r in found["rows"]}
    wide, closes = by_name[ONE_WIDE], by_name[ONE_CLOSES]
    opened = closes["connections"] - wide["connections"]
    each = (closes["cpu_ns"] - wide["cpu_ns"]) * found["records"] / opened
    return wide["cpu_ns"] + (row["connections"] - wide["connections"]) * each / found["records"]


def table(found):
    lines = [heading(found), "",
             "| load | CPU ns/delivery | connections opened | over one host | over one host with "
             f"as many connections (goal {GOAL}) | peak memory |", "|---|---:|---:|---:|---:|---:|"]
    base = found["rows"][0]["cpu_ns"]
    for row in found["rows"]:
        like = f"{row['cpu_ns'] / expected(found, row):.2f}" if row["hosts"] > 1 else "-"
        lines.append(f"| {row['load']} | {row['cpu_ns']:,.0f} | {row['connections']:,.0f} | "
                     f"{row['cpu_ns'] / base:.2f} | {like} | "
                     f"{row['peak_rss_kib'] / 1024:,.0f} MiB |")
    lines += ["", "| table of hosts, million operations a second | 1 thread | 2 threads |",
              "|---|---:|---:|"]
    says = {"hot_each": "one hot host: gate, permit, pace, report for each delivery",
            "hot": "one hot host as shards use it: leases, one report for 32 deliveries",
            "find": "1,000,000 hosts: find, reference, let go"}
    for key, threads in found["table"].items():
        lines.append(f"| {says[key]} | {threads['1'] / 1e6:,.1f} | {threads['2'] / 1e6:,.1f} |")
    return "\n".join(lines)
