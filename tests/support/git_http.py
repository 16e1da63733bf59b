"""Serves git repositories over smart HTTP through `git http-backend`, well or badly, on a free loopback port.

usage: git_http.py ROOT [CERTIFICATE [ADDRESS]]    prints the port, serves (with TLS by CERTIFICATE) until its standard input ends

The first part of a path says how: /git/X serves ROOT/X; /auth/ asks for a password; /moved/ redirects to /git/; /elsewhere/
redirects to another port; /page/ answers with a web page; /busy/ with 503; /hang/ never answers; /drip/ answers a byte at a
time for ever; /v0/ knows the first protocol only; /many/N/X is /git/X; /loop/ redirects to itself; /endless/ answers a POST without
end; /files/X is the file ROOT/X, or its index.html; /flood/ sends a pack without end; /cut/ breaks off in the middle of a pack; /slow/ sends a pack slowly; /odd/ answers with what is not git's protocol.
/private/X is /git/X for who shows `ada:hunter2`, or what the file ROOT/.password holds; /lure/X asks for credentials and redirects who shows some to
another host name. What comes to that name with credentials is counted as a stray. Requests are counted: GET /figures.
"""

import base64
import http.server
import json
import os
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib

ROOT = sys.argv[1]
FIGURES = {"gets": 0, "posts": 0, "connections": 0, "largest": 0, "strays": 0}
COUNTING = threading.Lock()
KEPT = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        self.serve(self.body())

    def body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def setup(self):
        super().setup()
        self.fresh = 1

    def answer(self, status, body, *headers):
        if self.command == "POST":
            with COUNTING:
                FIGURES["largest"] = max(FIGURES["largest"], len(body))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self, body):
        if self.path == "/figures":
            return self.answer(200, json.dumps(FIGURES).encode())
        with COUNTING:
            FIGURES["posts" if self.command == "POST" else "gets"] += 1
            FIGURES["connections"] += self.fresh
            FIGURES["strays"] += "Authorization" in self.headers and self.headers["Host"].startswith("localhost")
        self.fresh = 0
        how, _, rest = self.path.lstrip("/").partition("/")
        getattr(self, "serve_" + how, self.serve_nothing)(rest, body)

    def serve_nothing(self, rest, body):
        self.answer(404, b"no")

    def serve_auth(self, rest, body):
        self.answer(401, b"who?", ("WWW-Authenticate", 'Basic realm="git"'))

    def serve_private(self, rest, body):
        path = os.path.join(ROOT, ".password")
        pair = open(path).read().strip() if os.path.exists(path) else "ada:hunter2"
        wanted = "Basic " + base64.b64encode(pair.encode()).decode()
        if self.headers["Authorization"] != wanted:
            return self.serve_auth(rest, body)
        self.serve_git(rest, body)

    def serve_lure(self, rest, body):
        if "Authorization" not in self.headers:
            return self.serve_auth(rest, body)
        self.serve_elsewhere(rest, body)

    def serve_shift(self, rest, body):
        self.answer(301, b"", ("Location", "/private/" + rest))

    def serve_moved(self, rest, body):
        self.answer(301, b"", ("Location", "/git/" + rest))

    def serve_elsewhere(self, rest, body):
        self.answer(301, b"", ("Location", "http://localhost:%d/git/%s" % (self.server.server_port, rest)))

    def serve_v0(self, rest, body):
        del self.headers["Git-Protocol"]
        self.serve_git(rest, body)

    def serve_many(self, rest, body):
        """The same repository under many names: one question to the backend a tenth of a second, so that it keeps up."""
        rest = rest.partition("/")[2]
        key = (rest, body, int(time.monotonic() * 10))
        if key not in KEPT:
            KEPT[key] = self.backend(rest, body)
        status, headers, out = KEPT[key]
        self.answer(status, out, *headers)

    def serve_loop(self, rest, body):
        self.answer(301, b"", ("Location", "/loop/" + rest))

    def serve_endless(self, rest, body):
        if not body:
            return self.serve_git(rest, body)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-result")
        self.end_headers()
        line = b"003d" + b"1" * 40 + b" refs/heads/main\n"
        while True:
            self.wfile.write(line * 1000)

    def serve_flood(self, rest, body):
        if not body or b"ls-refs" in body:
            return self.serve_git(rest, body)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-result")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        packet = lambda data: b"%04x" % (len(data) + 4) + data
        chunk = lambda data: self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        chunk(packet(b"NAK\n") + packet(b"\x01PACK" + struct.pack(">II", 2, 2**20)))
        while True:
            contents = os.urandom(4000)
            # A blob of 4,000 bytes: its kind and size in seven bits a byte, then what zlib makes of it.
            header = bytes([0x80 | 3 << 4 | len(contents) & 15, 0x80 | len(contents) >> 4 & 127, len(contents) >> 11])
            chunk(packet(b"\x01" + header + zlib.compress(contents, 0)))

    def serve_page(self, rest, body):
        self.answer(200, b"<html>sign in", ("Content-Type", "text/html; charset=utf-8"))

    def serve_busy(self, rest, body):
        self.answer(503, b"busy")

    def serve_hang(self, rest, body):
        time.sleep(3600)

    def serve_drip(self, rest, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.end_headers()
        while True:
            self.wfile.write(b"0")
            time.sleep(0.2)

    def serve_odd(self, rest, body):
        self.answer(200, b"\x00\xffzzzz" * 1000, ("Content-Type", "application/x-git-upload-pack-advertisement"))

    def serve_cut(self, rest, body):
        status, headers, out = self.backend(rest, body)
        self.close_connection = True
        self.answer(status, out, *headers) if not body else self.broken(status, headers, out)

    def broken(self, status, headers, out):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out[: len(out) // 2])

    def serve_slow(self, rest, body):
        status, headers, out = self.backend(rest, body)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        for at in range(0, len(out), 4096):
            self.wfile.write(out[at : at + 4096])
            time.sleep(0.005)

    def serve_files(self, rest, body):
        path = os.path.join(ROOT, rest.partition("#")[0])
        path = os.path.join(path, "index.html") if os.path.isdir(path) else path
        if ".." in rest or not os.path.isfile(path):
            return self.answer(404, b"no such file")
        with open(path, "rb") as file:
            page = ("Content-Type", "text/html" if path.endswith(".html") else "application/octet-stream")
            self.answer(200, file.read(), page)

    def serve_git(self, rest, body):
        status, headers, out = self.backend(rest, body)
        self.answer(status, out, *headers)

    def backend(self, rest, body):
        path, _, query = rest.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH_INFO": "/" + path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = int(dict(headers).pop("Status", "200 OK").split()[0])
        return status, [header for header in headers if header[0] != "Status"], rest


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server((sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
