#!/usr/bin/env python3
"""Measures the ingress against nginx and haproxy on one machine, over loopback.

    cargo build --release && python3 benches/ingress/bench.py [--rounds 7] [--seconds 8]

Needs nginx, haproxy, wrk, and h2load (which paces requests: half of what nginx answered in the same round). Every round measures all proxies one after the other, and only figures of the same round are
compared: what else the machine does then hits all alike. Printed are medians over the rounds.

Every program runs in a session of its own, as daemons do: Linux shares the CPUs between sessions (sched_autogroup), so a
proxy alone in its session and one beside the load generator would not be measured alike.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import peers

PORTS = {"towpath": 18100, "nginx": 18101, "haproxy": 18102}
TICKS = os.sysconf("SC_CLK_TCK")
LATENCY_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Towpath:
    """Our ingress, driven over its own link: length-prefixed JSON on a Unix socket, listeners as descriptors."""

    def __init__(self, exe, directory, workers, port):
        home = pathlib.Path(directory) / "ingress"
        log = open(pathlib.Path(directory) / "ingress.log", "w")
        self.process = subprocess.Popen(
            [exe, "ingress", "--dir", str(home), "--cores", str(workers)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.link = connect(home / "link.sock")
        self.sockets = [listener(port) for _ in range(workers)]
        self.send({"say": "hello", "version": 1})
        backends = [{"instance": f"{p:032x}", "address": f"127.0.0.1:{p}"} for p in peers.UPSTREAM_PORTS]
        entry = {"service": "0" * 32, "name": "bench", "hosts": [peers.HOST], "state": {"serving": {"backends": backends}}}
        self.send({"say": "full", "entries": [entry], "generation": 1})
        listen = {"say": "listen", "address": f"127.0.0.1:{port}", "sockets": workers}
        self.send(listen, [s.fileno() for s in self.sockets])

    def send(self, message, descriptors=()):
        body = json.dumps(message).encode()
        socket.send_fds(self.link, [struct.pack(">I", len(body)) + body], list(descriptors))

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Program:
    """A peer in the foreground; nginx' workers are its children."""

    def __init__(self, argv, log):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def pids(self):
        listed = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, listed)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def connect(path):
    link = socket.socket(socket.AF_UNIX)
    for _ in range(200):
        try:
            link.connect(str(path))
            return link
        except OSError:
            time.sleep(0.02)
    sys.exit(f"error: no ingress answers on `{path}`")


def listener(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", port))
    s.listen(4096)
    return s


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def wrk(port, connections, seconds):
    """Requests per second of one run; any answer but 2xx ends the benchmark."""
    argv = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {peers.HOST}"]
    out = subprocess.run([*argv, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True, start_new_session=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"error: failed requests on port {port}:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), int(re.search(r"(\d+) requests in", out)[1])


def paced(port, rate, seconds, directory):
    """p99 in ms at a fixed rate over 64 connections. h2load logs each request; the first second is left out."""
    log, clients = pathlib.Path(directory) / "paced.log", 64
    log.unlink(missing_ok=True)
    argv = ["h2load", "--h1", "-t1", f"-c{clients}", f"--rps={rate / clients:.2f}", f"-D{seconds}", f"--log-file={log}"]
    # The host as part of the target: it would add another `Host` to its own.
    argv += [f"--connect-to=127.0.0.1:{port}", f"http://{peers.HOST}/"]
    subprocess.run(argv, capture_output=True, check=True, start_new_session=True, timeout=seconds * 5 + 30)
    rows = [tuple(map(int, line.split("\t"))) for line in log.read_text().splitlines()]
    if not rows or any(status != 200 for _, status, _ in rows):
        sys.exit(f"error: failed requests on port {port} at {rate:.0f}/s")
    first = min(begun for begun, _, _ in rows)
    latencies = sorted(took for begun, _, took in rows if begun - first > 1_000_000)
    if len(latencies) < 0.8 * rate * (seconds - 1):
        print(f"port {port} did not keep up with {rate:.0f} requests/s", file=sys.stderr)
        return float("inf")
    return latencies[int(len(latencies) * 0.99)] / 1e3


def measure(name, proxy, connections, seconds):
    before = cpu_seconds(proxy.pids())
    rate, requests = wrk(PORTS[name], connections, seconds)
    return {"rate": rate, "cpu_us": (cpu_seconds(proxy.pids()) - before) / requests * 1e6}


def run_rounds(proxies, options, directory):
    rounds = []
    for number in range(options.rounds):
        # Each round another order, so that none always runs on a warm or a tired machine.
        names = sorted(proxies, key=lambda name: (sorted(proxies).index(name) + number) % len(proxies))
        this = {}
        for connections in (64, 256):
            for name in names:
                this[name, connections] = measure(name, proxies[name], connections, options.seconds)
        half = this["nginx", 64]["rate"] / 2
        for name in names:
            this[name, "p99"] = paced(PORTS[name], half, options.seconds, directory)
        rounds.append(this)
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return rounds


def median(rounds, value):
    return statistics.median(value(this) for this in rounds)


# What is measured, how it is shown, and the most or the least that its ratio to a peer may be.
ROWS = [
    ("requests/s, 64 connections", lambda r, n: r[n, 64]["rate"], "{:.0f}", {"nginx": (">=", 0.95), "haproxy": (">=", 1.0)}),
    ("requests/s, 256 connections", lambda r, n: r[n, 256]["rate"], "{:.0f}", {"nginx": (">=", 0.90), "haproxy": (">=", 1.0)}),
    ("CPU/request, 64, us", lambda r, n: r[n, 64]["cpu_us"], "{:.1f}", {"nginx": ("<=", 1.1)}),
    ("CPU/request, 256, us", lambda r, n: r[n, 256]["cpu_us"], "{:.1f}", {}),
    ("p99 at half load, ms", lambda r, n: r[n, "p99"], "{:.2f}", {"nginx": ("<=", 1.2)}),
]


def report(rounds):
    """Prints the table; whether every aim is met."""
    table, met = [("", "towpath", "nginx", "haproxy", "/ nginx", "/ haproxy", "aim", "verdict")], True
    for label, value, shape, aims in ROWS:
        figures = [shape.format(median(rounds, lambda r, n=n: value(r, n))) for n in ("towpath", "nginx", "haproxy")]
        ratio = lambda r, n: value(r, "towpath") / value(r, n) if value(r, n) < float("inf") else float("nan")
        ratios = {n: median(rounds, lambda r, n=n: ratio(r, n)) for n in ("nginx", "haproxy")}
        good = all(ratios[n] >= bound if sign == ">=" else ratios[n] <= bound for n, (sign, bound) in aims.items())
        aim = ", ".join(f"{sign} {bound} {n}" for n, (sign, bound) in aims.items())
        verdict = ("met" if good else "MISSED") if aims else ""
        met = met and good
        table.append((label, *figures, f"{ratios['nginx']:.3f}", f"{ratios['haproxy']:.3f}", aim, verdict))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))))
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--exe", default="target/release/towpath")
    options = parser.parse_args()
    # What was started is stopped in any case.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: told to stop"))
    missing = [program for program in ("nginx", "haproxy", "wrk", "h2load") if not shutil.which(program)]
    if missing:
        sys.exit(f"error: not installed: {', '.join(missing)}\nhint: apt-get install nginx-light haproxy wrk nghttp2-client")
    directory = tempfile.mkdtemp(prefix="towpath-bench-")
    log = open(pathlib.Path(directory) / "peers.log", "w")
    ngx = lambda name, text: Program(["nginx", "-p", directory, "-c", peers.write(directory, name, text), "-g", "daemon off;"], log)
    started = [ngx("upstream.conf", peers.upstream(directory, options.workers))]
    try:
        proxies = {
            "towpath": Towpath(options.exe, directory, options.workers, PORTS["towpath"]),
            "nginx": ngx("nginx.conf", peers.nginx(directory, options.workers, PORTS["nginx"])),
            "haproxy": Program(["haproxy", "-db", "-f", peers.write(directory, "haproxy.cfg", peers.haproxy(directory, options.workers, PORTS["haproxy"]))], log),
        }
        started.extend(proxies.values())
        time.sleep(1)
        for name in proxies:
            wrk(PORTS[name], 64, 1)
        return report(run_rounds(proxies, options, directory))
    finally:
        for program in reversed(started):
            program.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
