#!/usr/bin/env python3
"""Builds with an unchanged lock file: how long the second takes, beside the first.

    benches/builds/bench.py [--engine process|docker|both] [--rounds 3]

Each round deploys the Flask and the Express example as a new service, whose caches are empty, then commits a change that
leaves the lock file alone; engines and examples take turns. The times are those of the deployment's log, from *Starting
source code build* to *Successfully built*. Prints the medians and their ratio. The aim: the second build takes at most 20%
of the first.

The program is TOWPATH_BIN or target/release/towpath. Docker: DOCKER_HOST, or an engine that is started and stopped.
Exit code 1 when an aim was missed.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = [str(ROOT / "tests/support/docker.sh")]
IMAGE = "towpath-test/python:3.11-2"
EXAMPLES = {"flask": "app.py", "express": "server.js"}
AIM = 0.20


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Installation:
    def __init__(self, binary, engine, work):
        self.binary, self.root = binary, work / engine
        self.root.mkdir()
        self.services = []
        options = ["--engine", engine, "--poll", "1s", "--data-dir", self.root / "data", "-f", self.root / "towpath.yaml"]
        options += ["--http", f"127.0.0.1:{free_port()}", "--api", f"127.0.0.1:{free_port()}"]
        if engine == "docker":
            options += ["--docker-host", os.environ["DOCKER_HOST"]]
            for runtime in ("python311", "nodejs18"):
                options += ["--runtime-image", f"{runtime}={IMAGE}"]
        self.declare()
        self.log = open(self.root / "up.log", "w")
        self.server = subprocess.Popen([binary, "up", *map(str, options)], stdout=self.log, stderr=self.log)

    def declare(self):
        services = "".join(
            f"  {name}:\n    source: {{ repository: ./{name} }}\n    build: apprunner.yaml\n"
            "    instance: { cpu: 0.25 vCPU, memory: 512 MB }\n    deploy: { drain: 1s }\n"
            for name in self.services
        )
        (self.root / "new.yaml").write_text(f"services:\n{services}" if services else "services: {}\n")
        (self.root / "new.yaml").rename(self.root / "towpath.yaml")

    def command(self, *words):
        return subprocess.run(
            [self.binary, *words, "--data-dir", str(self.root / "data")], capture_output=True, text=True
        ).stdout

    def git(self, name, *words):
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        return run("git", "-C", self.root / name, *identity, *words)

    def commit(self, name, message):
        self.git(name, "add", "-A")
        self.git(name, "commit", "-q", "-m", message)
        return self.git(name, "rev-parse", "HEAD").strip()

    def add(self, name, example):
        shutil.copytree(ROOT / "examples" / example, self.root / name)
        # Equal contents would share one build.
        (self.root / name / "NAME").write_text(name)
        run("git", "init", "-q", "-b", "main", self.root / name)
        self.commit(name, "Begin")
        self.services.append(name)
        self.declare()

    def change(self, name, example):
        source = self.root / name / EXAMPLES[example]
        comment = "#" if source.suffix == ".py" else "//"
        source.write_text(source.read_text() + f"\n{comment} {time.time()}\n")
        self.commit(name, "Change the application only")

    def build_seconds(self, name, count):
        """Of the newest of so many deployments, once it has ended."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            operations = json.loads(self.command("operations", name, "--output", "json") or "[]")
            if len(operations) == count and operations[0]["Status"] == "SUCCEEDED":
                return self.of_log(name)
            if operations and operations[0]["Status"] not in ("PENDING", "IN_PROGRESS", "SUCCEEDED"):
                sys.exit(f"bench: {name}: {self.command('logs', name, '--deployment', 'latest')}")
            time.sleep(0.1)
        sys.exit(f"bench: {name} is not deployed\n{(self.root / 'up.log').read_text()}")

    def of_log(self, name):
        at = {}
        for line in self.command("logs", name, "--deployment", "latest").splitlines():
            for mark in ("Starting source code build", "Successfully built"):
                if mark in line:
                    at[mark] = datetime.fromisoformat(line.split()[0].replace("Z", "+00:00"))
        if len(at) != 2:
            sys.exit(f"bench: {name} was not built: {self.command('logs', name, '--deployment', 'latest')}")
        return (at["Successfully built"] - at["Starting source code build"]).total_seconds()

    def stop(self):
        self.server.send_signal(signal.SIGINT)
        try:
            self.server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.server.kill()
        self.log.close()


def measure(binary, engines, rounds, work):
    installations = {engine: Installation(binary, engine, work) for engine in engines}
    times = {(engine, example): ([], []) for engine in engines for example in EXAMPLES}
    try:
        # What is made once for a machine or an engine belongs to no build: seeds of pip, prepared base images.
        for number in range(rounds + 1):
            for engine, installation in installations.items():
                for example in EXAMPLES:
                    name = f"{example}-{number}"
                    installation.add(name, example)
                    first = installation.build_seconds(name, 1)
                    installation.change(name, example)
                    second = installation.build_seconds(name, 2)
                    if number:
                        times[engine, example][0].append(first)
                        times[engine, example][1].append(second)
    finally:
        for installation in installations.values():
            installation.stop()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["process", "docker", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binary = os.environ.get("TOWPATH_BIN", str(ROOT / "target/release/towpath"))
    engines = ["process", "docker"] if options.engine == "both" else [options.engine]
    state, started = str(ROOT / "target/test-docker"), False
    if "docker" in engines:
        for line in run(*DOCKER, "env", state).splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = value.strip("'")
        started = os.environ.get("TOWPATH_TEST_ENGINE") == "started"
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as work:
        try:
            times = measure(binary, engines, options.rounds, pathlib.Path(work))
        finally:
            if started:
                run(*DOCKER, "stop", state)
    missed = False
    print(f"{'engine':8} {'example':8} {'first':>8} {'second':>8}  ratio   medians of {options.rounds}; the aim is {AIM:.0%}")
    for (engine, example), (first, second) in times.items():
        first, second = statistics.median(first), statistics.median(second)
        met = second <= AIM * first
        missed |= not met
        print(f"{engine:8} {example:8} {first:7.2f}s {second:7.2f}s  {second / first:5.1%}  {'met' if met else 'MISSED'}")
    sys.exit(1 if missed else 0)


main()
