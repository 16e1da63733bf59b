#!/usr/bin/env python3
"""Memory of towpath with 100 idle services on the process engine: `benches/memory.py [SERVICES]`.

The program is TOWPATH_BIN or target/release/towpath.

Prints the proportional set size (PSS) of control plane and ingress, and what each shim has to itself.
Targets: control plane + ingress at most 60 MB; a shim at most 1 MB private.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SERVICES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
ROOT = pathlib.Path(__file__).resolve().parent.parent
TOWPATH = pathlib.Path(os.environ.get("TOWPATH_BIN") or ROOT / "target/release/towpath")


def rollup(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0])
    return fields


def processes(needle):
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(needle in word for word in words) and words[0].endswith("towpath"):
                yield int(entry.name), words


def verdict(good):
    return "met" if good else "MISSED"


def main():
    with tempfile.TemporaryDirectory(prefix="towpath-memory-") as directory:
        base = pathlib.Path(directory)
        app = base / "app"
        app.mkdir()
        example = (ROOT / "examples/hello-python/app.py").read_text()
        (app / "app.py").write_text(example)
        git = ["git", "-C", str(app), "-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Say hello"]):
            subprocess.run(git + words, check=True)
        services = "".join(
            f"  idle-{n:03}:\n    source: {{ repository: ./app }}\n"
            f"    build: {{ runtime: python3, start: python app.py }}\n    instance: {{ memory: 64 MB, cpu: 0.1 vCPU }}\n"
            for n in range(SERVICES)
        )
        (base / "towpath.yaml").write_text("services:\n" + services)
        data = base / "data"
        up = [str(TOWPATH), "up", "-f", str(base / "towpath.yaml"), "--data-dir", str(data), "--engine", "process"]
        up += ["--http", "127.0.0.1:18480", "--api", "127.0.0.1:18490"]
        server = subprocess.Popen(up, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 600
            while True:
                time.sleep(2)
                status = subprocess.run(
                    [str(TOWPATH), "status", "--data-dir", str(data), "--output", "json"], capture_output=True
                )
                rows = json.loads(status.stdout or b"[]")
                running = sum(row["status"] == "RUNNING" for row in rows)
                if running == SERVICES:
                    break
                if time.monotonic() > deadline:
                    sys.exit(f"only {running} of {SERVICES} services run")
            time.sleep(30)
            pss, shims = {}, []
            for pid, words in processes(str(base)):
                fields = rollup(pid)
                if "shim" in words[1:2]:
                    shims.append(fields["Private_Clean"] + fields["Private_Dirty"])
                elif words[1] in ("up", "ingress"):
                    pss[words[1]] = fields["Pss"]
            print(f"services {SERVICES}")
            for name, value in sorted(pss.items()):
                print(f"  {name:<8} PSS {value / 1024:6.1f} MB")
            together, most = sum(pss.values()) / 1024, max(shims)
            print(f"  together PSS {together:6.1f} MB   (aim <= 60 MB: {verdict(together <= 60)})")
            middle = sorted(shims)[len(shims) // 2]
            print(f"  shims    private median {middle} kB, most {most} kB   (aim <= 1024 kB: {verdict(most <= 1024)})")
            print(f"  CPU of the control plane over its life: {sum(map(int, pathlib.Path(f'/proc/{server.pid}/stat').read_text().split()[13:15])) / 100:.1f} s")
        finally:
            subprocess.run([str(TOWPATH), "down", "--data-dir", str(data)], capture_output=True)
            server.wait(timeout=120)


main()
