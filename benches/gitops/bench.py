#!/usr/bin/env python3
"""Steering from git: how soon a webhook is heeded, and what many of them and many services cost.

    benches/gitops/bench.py [--binary FILE] [--commits 20] [--services 1000] [--deliveries 10000] [--hour 7200] [--only PART…]

Parts: `webhook` (webhook to start of fetch, push to served against the build's own time), `manifest` (a commit to a manifest
repository of 1,000 services to its plan), `burst` (10,000 deliveries, half forged, a tenth sent again), `hour` (an hour of two
webhooks a second, as fast as they are taken: resident memory).

The program is --binary, TOWPATH_BIN or target/release/towpath. Repositories are served by git's own `http-backend` behind a
server here that notes when it was asked. Exit code 1 when an aim was missed.
"""

import argparse
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = b"measured with this secret"
MISSED = []

APP = '''
import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        data = VERSION.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
'''

SERVICE = """  {name}:
    source: {{ repository: "{url}" }}
    build: {{ runtime: python3, command: python -m compileall -q app.py, start: python app.py }}
    instance: {{ cpu: 0.25 vCPU, memory: 256 MB }}
    deploy: {{ drain: 1s }}
"""


def judge(figure, value, aim, shown):
    met = value <= aim
    print(f"{figure}: {shown} ({'met' if met else 'MISSED'})")
    if not met:
        MISSED.append(figure)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def commit(repository, **files):
    for name, text in files.items():
        (repository / name.replace("__", ".")).write_text(text)
    git = ["git", "-C", str(repository), "-c", "user.name=dev", "-c", "user.email=dev@example.com"]
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "A change")
    return run(*git, "rev-parse", "HEAD").strip()


class Git(http.server.ThreadingHTTPServer):
    """Repositories below a directory, by git's own http-backend. `asked` says when each repository was asked last."""

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Backend)
        self.root, self.asked, self.heard = root, {}, threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}/.git"

    def note(self, path):
        with self.heard:
            self.asked.setdefault(path.split("/")[1], []).append(time.time())
            self.heard.notify_all()

    def first_after(self, name, moment, seconds=10):
        until = time.time() + seconds
        with self.heard:
            while True:
                found = [at for at in self.asked.get(name, []) if at >= moment]
                if found:
                    return found[0]
                if time.time() > until:
                    sys.exit(f"error: {name} was not asked within {seconds} s")
                self.heard.wait(0.5)


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return self.serve(b"".join(parts))
        self.serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def serve(self, body):
        self.server.note(self.path)
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines() if ": " in line]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self.send_response(status)
        for name, value in fields:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Towpath:
    def __init__(self, binary, directory, *arguments):
        self.binary, self.data, self.log = binary, directory / "data", directory / "up.log"
        self.http, self.api = free_port(), free_port()
        secret = directory / "secret"
        secret.write_bytes(SECRET)
        self.server = subprocess.Popen(
            [binary, "up", "--data-dir", str(self.data), "--engine", "process", "--poll", "1h", "--http", f"127.0.0.1:{self.http}",
             "--api", f"127.0.0.1:{self.api}", "--github-webhook-secret-file", str(secret), *arguments],
            stdout=open(self.log, "w", encoding="utf-8"), stderr=subprocess.STDOUT)

    def say(self, *arguments):
        return run(self.binary, *arguments, "--data-dir", str(self.data))

    def hook(self, url, connection=None, forged=False, delivery=None):
        """Posts a push as GitHub does; the status."""
        body = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": url, "full_name": "acme/app"}}).encode()
        mac = hmac.new(b"another secret" if forged else SECRET, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={mac}",
                   "X-GitHub-Delivery": delivery or str(uuid.uuid4())}
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.api, timeout=30)
        connection.request("POST", "/webhooks/github", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def line(self, pattern, after=0, seconds=120):
        """The moment of the first line of its log that has the pattern, and was written after a moment."""
        until = time.time() + seconds
        while time.time() < until:
            for line in self.log.read_text().splitlines():
                found = re.match(r"(\d{4}-\S+Z)\s", line)
                if found and re.search(pattern, line):
                    at = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
                    if at >= after - 0.002:
                        return at
            if self.server.poll() is not None:
                break
            time.sleep(0.01)
        sys.exit(f"error: no line `{pattern}` in\n{self.log.read_text()[-3000:]}")

    def memory(self):
        """Resident memory of the control plane, in MB."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        if self.server.poll() is None:
            subprocess.run([self.binary, "down", "--data-dir", str(self.data)], capture_output=True)
            self.server.wait(60)


def repository(root, name, **files):
    path = root / name
    path.mkdir(parents=True)
    run("git", "-C", str(path), "init", "-q", "-b", "main")
    commit(path, **files)
    return path


def answer(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/", headers={"Host": "shop.localhost"})
        return connection.getresponse().read().decode()
    except OSError:
        return ""


def built(towpath):
    """Seconds that the newest deployment's build took, by its log."""
    moments = {}
    for line in towpath.say("logs", "shop", "--deployment", "latest").splitlines():
        found = re.match(r"(\S+Z)\s+\[AppRunner\] (Starting source code build|Successfully built)", line)
        if found:
            moments[found[2]] = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
    begun, ended = (moments.get(k) for k in ("Starting source code build", "Successfully built"))
    return ended - begun if begun and ended else 0.0


def one_service(options, directory, git):
    app = repository(git.root, "app", app__py=f"VERSION = 'v0'\n{APP}")
    manifest = directory / "towpath.yaml"
    manifest.write_text("services:\n" + SERVICE.format(name="shop", url=git.url("app")))
    towpath = Towpath(options.binary, directory, "-f", str(manifest))
    until = time.time() + 120
    while answer(towpath.http) != "v0":
        if time.time() > until or towpath.server.poll() is not None:
            sys.exit(f"error: the service did not answer:\n{towpath.log.read_text()}")
        time.sleep(0.05)
    towpath.line("completed")
    return app, towpath


def webhook(options, directory, git):
    app, towpath = one_service(options, directory, git)
    to_fetch, beyond = [], []
    try:
        for number in range(1, options.commits + 1):
            commit(app, app__py=f"VERSION = 'v{number}'\n{APP}")
            sent = time.time()
            if towpath.hook(git.url("app")) != 202:
                sys.exit("error: the webhook was not taken")
            to_fetch.append(git.first_after("app", sent) - sent)
            while answer(towpath.http) != f"v{number}":
                if time.time() > sent + 120:
                    sys.exit(f"error: v{number} did not serve\n{towpath.log.read_text()[-3000:]}")
                time.sleep(0.01)
            served = time.time() - sent
            towpath.line("completed", sent)
            beyond.append(served - built(towpath))
    finally:
        towpath.stop()
    ms = lambda values, of: f"{1000 * of(values):.1f} ms"
    worst = max(to_fetch)
    judge("webhook to start of fetch", statistics.median(to_fetch), 0.05,
          f"median {ms(to_fetch, statistics.median)}, at most {ms([worst], max)} of {len(to_fetch)}; aim 50 ms")
    judge("push to served, beyond the build", statistics.median(beyond), 1.0,
          f"median {ms(beyond, statistics.median)}, at most {ms(beyond, max)}; aim 1000 ms")


def manifest(options, directory, git):
    """A server that plans and applies nothing: what is measured is the way from a commit to a plan."""
    repository(git.root, "app", app__py=APP)
    text = lambda size: "services:\n" + "".join(
        SERVICE.format(name=f"service-{n:04}", url=git.url("app")).replace("256 MB", size) for n in range(options.services))
    infra = repository(git.root, "infra", towpath__yaml=text("256 MB"))
    towpath = Towpath(options.binary, directory, "--repo", git.url("infra"), "--branch", "main", "--apply", "manual")
    in_force, planned = [], []
    try:
        towpath.line("is in force")
        for number in range(10):
            head = commit(infra, towpath__yaml=text(f"{257 + number} MB"))
            sent = time.time()
            towpath.hook(git.url("infra"))
            in_force.append(towpath.line(f"at {head[:7]} is in force", sent) - sent)
            begun = time.time()
            towpath.say("plan", "--output", "json")
            planned.append(time.time() - begun)
    finally:
        towpath.stop()
    total = statistics.median(in_force) + statistics.median(planned)
    judge(f"a manifest repository of {options.services} services: commit to plan", total, 0.3,
          f"{1000 * total:.0f} ms: {1000 * statistics.median(in_force):.0f} ms until the commit is in force, "
          f"{1000 * statistics.median(planned):.0f} ms for `towpath plan`; aim 300 ms")


def send(towpath, url, count, clients, forge, batch=""):
    """Deliveries from several clients; how many were answered with which status."""
    counts, lock = {}, threading.Lock()

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", towpath.api, timeout=60)
        for n in range(number, count, clients):
            # Of the genuine ones a tenth is sent again.
            again = n - clients * 2 if forge and (n // clients) % 20 == 18 and n >= clients * 2 else n
            status = towpath.hook(url, connection, forge and (n // clients) % 2 == 1, f"{batch}-{again}")
            with lock:
                counts[status] = counts.get(status, 0) + 1

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    begun = time.time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, time.time() - begun


def burst(options, directory, git):
    app, towpath = one_service(options, directory, git)
    try:
        before = towpath.memory()
        commit(app, app__py=f"VERSION = 'after'\n{APP}")
        counts, took = send(towpath, git.url("app"), options.deliveries, 8, True)
        until = time.time() + 60
        while answer(towpath.http) != "after" and time.time() < until:
            time.sleep(0.05)
        time.sleep(2)
        operations = len(json.loads(towpath.say("operations", "shop", "--output", "json")))
        half = options.deliveries // 2
        exact = counts == {202: options.deliveries - half, 401: half} and operations == 2
        judge(f"{options.deliveries} deliveries, half forged: answers and deployments that are wrong", 0 if exact else 1, 0,
              f"{counts}, {operations - 1} deployment, in {took:.1f} s")
        grown = towpath.memory() - before
        judge("memory that the burst took", grown, 32, f"{grown:.1f} MB, {before:.0f} MB before; aim 32 MB")
    finally:
        towpath.stop()


def hour(options, directory, git):
    _, towpath = one_service(options, directory, git)
    try:
        # These fill what is bounded: the ids of the last 10,000 deliveries, connections, caches of the allocator.
        warm = 10_500
        send(towpath, git.url("app"), warm, 4, False, "first")
        time.sleep(3)
        before = towpath.memory()
        counts, took = send(towpath, git.url("app"), options.hour, 4, False, "then")
        time.sleep(3)
        after = towpath.memory()
        if list(counts) != [202]:
            sys.exit(f"error: answers {counts}")
        share = (after - before) / before
        judge("an hour of two webhooks a second: growth of resident memory", share, 0.05,
              f"{100 * share:+.1f}% ({before:.1f} to {after:.1f} MB), replayed in {took:.0f} s; aim 5%")
    finally:
        towpath.stop()


def main():
    parts = {"webhook": webhook, "manifest": manifest, "burst": burst, "hour": hour}
    parser = argparse.ArgumentParser(description="measures steering from git")
    parser.add_argument("--binary", default=os.environ.get("TOWPATH_BIN") or str(ROOT / "target/release/towpath"))
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--deliveries", type=int, default=10000)
    parser.add_argument("--hour", type=int, default=7200)
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="towpath-gitops-") as directory:
            directory = pathlib.Path(directory)
            root = directory / "git"
            root.mkdir()
            parts[name](options, directory, Git(root))
    sys.exit(1 if MISSED else 0)


main()
