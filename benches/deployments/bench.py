#!/usr/bin/env python3
"""Deployments under load: how many requests are lost, and what towpath adds to a hand-written script.

    benches/deployments/bench.py [--engine process|docker] [--count 50] [--clients 8] [--every 5]

Commits `count` times to a git repository while `clients` clients ask for the service without a pause longer than 2 ms.
Beside every `every`th deployment a script does the same by hand under the same load: fetch the commit, build, start,
wait until it answers. Prints requests lost and total, where the time between *commit seen* and *traffic shifted* goes
(deployment log), and the difference of the medians. The aim: 0 lost, at most 0.5 s more than the script.

The program is TOWPATH_BIN or target/release/towpath. Docker: DOCKER_HOST, or an engine that is started and stopped.
Exit code 1 when an aim was missed.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = [str(ROOT / "tests/support/docker.sh")]
IMAGE = "towpath-test/python:3.11-2"

APP = '''
import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(ThreadingHTTPServer):
    request_queue_size = 256

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        data = VERSION.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
'''

MANIFEST = """services:
  shop:
    source:
      repository: ./app
    build:
      runtime: python3
      command: python -m compileall -q app.py
      start: python app.py
    instance: { cpu: 0.25 vCPU, memory: 512 MB }
    deploy:
      drain: 5s
"""

DOCKERFILE = f"""FROM {IMAGE}
WORKDIR /app
COPY . .
RUN python3 -m compileall -q app.py
CMD ["python3", "app.py"]
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def commit(repository, version):
    (repository / "app.py").write_text(f"VERSION = {version!r}\n{APP}")
    git = ["git", "-C", str(repository), "-c", "user.name=dev", "-c", "user.email=dev@example.com"]
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", f"Version {version}")


class Load:
    """Clients on kept connections that count every answer and note when a version was seen first."""

    def __init__(self, port, clients):
        self.port, self.stopping = port, threading.Event()
        self.good, self.lost, self.first = [0] * clients, [], {}
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stopping.is_set():
            try:
                connection.request("GET", "/", headers={"Host": "shop.localhost"})
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    self.good[number] += 1
                    self.first.setdefault(body, time.time())
                else:
                    self.lost.append(f"{answer.status} {body.strip()[:80]}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
            time.sleep(0.002)

    def wait_for(self, version, seconds=180):
        until = time.time() + seconds
        while version not in self.first:
            if time.time() > until:
                sys.exit(f"error: version {version} did not answer within {seconds} s; the first losses: {self.lost[:5]}")
            time.sleep(0.005)
        return self.first[version]

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return sum(self.good)


class Script:
    """What a team without towpath writes: fetch, build, start the new version, wait for it, stop the old one."""

    def __init__(self, engine, directory, repository):
        self.engine, self.directory, self.repository, self.old = engine, directory, repository, None
        run("git", "clone", "-q", str(repository), str(directory / "checkout"))

    def deploy(self, version):
        begun, checkout = time.time(), self.directory / "checkout"
        run("git", "-C", str(checkout), "fetch", "-q", "origin")
        run("git", "-C", str(checkout), "reset", "-q", "--hard", "origin/main")
        build = getattr(self, f"build_{self.engine}")
        build(checkout, version)
        stop, address = getattr(self, f"start_{self.engine}")(version)
        until_answered(address, version)
        took = time.time() - begun
        if self.old:
            self.old()
        self.old = stop
        return took

    def build_process(self, checkout, version):
        target = self.directory / version
        shutil.copytree(checkout, target, ignore=shutil.ignore_patterns(".git"))
        # Without pip, as a script that knows that the application needs no packages: the harder comparison.
        run("python3", "-m", "venv", "--without-pip", str(target / "venv"))
        run(str(target / "venv/bin/python"), "-m", "compileall", "-q", "app.py", cwd=target)

    def start_process(self, version):
        port, target = free_port(), self.directory / version
        child = subprocess.Popen([str(target / "venv/bin/python"), "app.py"], cwd=target, env={**os.environ, "PORT": str(port)})

        def stop():
            child.terminate()
            child.wait()
            shutil.rmtree(target)

        return stop, ("127.0.0.1", port)

    def build_docker(self, checkout, version):
        (checkout / "Dockerfile").write_text(DOCKERFILE)
        # BuildKit by the Engine API, as `docker build` does it: the command's plugin for it is not everywhere.
        tree = subprocess.run(["tar", "-C", str(checkout), "--exclude=.git", "-c", "."], capture_output=True, check=True)
        built = subprocess.run(
            ["curl", "-sS", "--fail", "--unix-socket", os.environ["DOCKER_HOST"].removeprefix("unix://"), "-X", "POST",
             "-H", "Content-Type: application/x-tar", "--data-binary", "@-",
             f"http://docker/build?version=2&t=deployments-bench:{version}"], input=tree.stdout, capture_output=True)
        if built.returncode or b'"error"' in built.stdout:
            sys.exit(f"error: the script's build failed: {built.stderr}{built.stdout[-500:]}")

    def start_docker(self, version):
        name = f"deployments-bench-{version}"
        run("docker", "run", "-d", "--init", "--name", name, "-e", "PORT=8080", "--memory", "512m", "--cpus", "0.25",
            f"deployments-bench:{version}")
        address = run("docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()

        def stop():
            run("docker", "rm", "-f", name)
            run("docker", "rmi", "-f", f"deployments-bench:{version}")

        return stop, (address, 8080)


def until_answered(address, version):
    until = time.time() + 120
    while time.time() < until:
        try:
            connection = http.client.HTTPConnection(*address, timeout=2)
            connection.request("GET", "/")
            if connection.getresponse().read().decode() == version:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    sys.exit(f"error: the script's version {version} did not answer")


class Towpath:
    def __init__(self, engine, directory):
        self.binary = os.environ.get("TOWPATH_BIN") or str(ROOT / "target/release/towpath")
        self.data, self.port = directory / "data", free_port()
        manifest = directory / "towpath.yaml"
        manifest.write_text(MANIFEST)
        options = []
        if engine == "docker":
            options = ["--docker-host", os.environ["DOCKER_HOST"], "--runtime-image", f"python3={IMAGE}"]
        self.log = open(directory / "up.log", "w", encoding="utf-8")
        self.server = subprocess.Popen(
            [self.binary, "up", "-f", str(manifest), "--data-dir", str(self.data), "--engine", engine, "--poll", "1s",
             "--http", f"127.0.0.1:{self.port}", "--api", f"127.0.0.1:{free_port()}", *options],
            stdout=self.log, stderr=subprocess.STDOUT)

    def say(self, *args):
        return run(self.binary, *args, "--data-dir", str(self.data))

    def until_done(self, number):
        """The newest operation, once there are `number` and it has ended."""
        until = time.time() + 120
        while time.time() < until:
            operations = json.loads(self.say("operations", "shop", "--output", "json"))
            if len(operations) >= number and operations[0].get("EndedAt"):
                return operations[0]
            time.sleep(0.05)
        sys.exit("error: an operation did not end")

    def stages(self, operation):
        """Seconds between the lines of its log, by what begins."""
        stages, last = {}, None
        for line in self.say("logs", "shop", "--deployment", operation["Id"]).splitlines():
            found = re.match(r"(\S+Z)\s+\[AppRunner\] (.*)", line)
            name = found and stage(found[2])
            if not name:
                continue
            at = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
            if last:
                stages[last[0]] = stages.get(last[0], 0) + at - last[1]
            last = (name, at)
            stages.setdefault("seen", at)
            if name == "drain and retire":
                stages["shifted"] = at
        return stages

    def stop(self):
        self.server.send_signal(signal.SIGINT)
        self.server.wait(60)


def stage(line):
    for begin, name in [
        ("Service deployment started", "fetch"),
        ("Successfully pulled", "identify"),
        ("Starting source code build.", "build"),
        ("Deploying the new version", "start"),
        ("Performing health checks", "check"),
        ("The new version passed", "shift"),
        ("Traffic goes to", "drain and retire"),
        ("Service deployment completed", "done"),
    ]:
        if line.startswith(begin):
            return name
    return None


def bench(engine, count, clients, every, directory):
    repository = directory / "app"
    repository.mkdir()
    run("git", "-C", str(repository), "init", "-q", "-b", "main")
    commit(repository, "v0")
    script = Script(engine, directory, repository)
    script_times, seen_to_shifted, from_commit, stages = [], [], [], {}
    towpath = Towpath(engine, directory)
    try:
        until = time.time() + 60
        while b"v0" not in ask(towpath.port):
            if time.time() > until:
                sys.exit(f"error: the service did not answer:\n{(directory / 'up.log').read_text()}")
            time.sleep(0.05)
        towpath.until_done(1)
        load = Load(towpath.port, clients)
        for number in range(1, count + 1):
            version = f"v{number}"
            committed = time.time()
            commit(repository, version)
            from_commit.append(load.wait_for(version) - committed)
            took = towpath.stages(towpath.until_done(number + 1))
            seen_to_shifted.append(took.pop("shifted") - took.pop("seen"))
            for name, seconds in took.items():
                stages.setdefault(name, []).append(seconds)
            if number % every == 0:
                script_times.append(script.deploy(version))
        good = load.finish()
    finally:
        towpath.stop()
        if script.old:
            script.old()
    return report(engine, count, good, load.lost, seen_to_shifted, script_times, stages, from_commit)


def ask(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/", headers={"Host": "shop.localhost"})
        return connection.getresponse().read()
    except OSError:
        return b""


def report(engine, count, good, lost, shifted, script, stages, from_commit):
    median = lambda values: statistics.median(values) if values else float("nan")
    verdict = lambda met: "met" if met else "MISSED"
    print(f"{engine}: {count} deployments, {len(lost)} of {good + len(lost)} requests lost (aim: 0: {verdict(not lost)})")
    for what in lost[:10]:
        print(f"  lost: {what}")
    print(f"  commit seen to traffic shifted: median {median(shifted):.2f} s, worst {max(shifted):.2f} s")
    print(f"  the same by a script:           median {median(script):.2f} s ({len(script)} times)")
    adds = median(shifted) - median(script)
    print(f"  towpath adds:                   {adds:+.2f} s (aim: at most +0.50 s: {verdict(adds <= 0.5)})")
    print(f"  commit to first new answer:     median {median(from_commit):.2f} s (polls every second)")
    print("  where it goes (medians): " + ", ".join(f"{n} {1000 * median(v):.0f} ms" for n, v in stages.items()))
    return not lost and adds <= 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["process", "docker"], action="append")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--every", type=int, default=5)
    options = parser.parse_args()
    met = True
    for engine in options.engine or ["process", "docker"]:
        started = False
        if engine == "docker":
            lines = run(*DOCKER, "env", str(ROOT / "target/test-docker"))
            os.environ["DOCKER_HOST"] = re.search(r"DOCKER_HOST='(.*)'", lines)[1]
            started = "TOWPATH_TEST_ENGINE=started" in lines
        try:
            with tempfile.TemporaryDirectory(prefix="towpath-deployments-") as directory:
                met = bench(engine, options.count, options.clients, options.every, pathlib.Path(directory)) and met
        finally:
            if started:
                run(*DOCKER, "stop", str(ROOT / "target/test-docker"))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
