import ctypes
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

library = ctypes.CDLL(os.path.abspath("libsum.so"))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"sum {library.sum(40, 2)} by C in {os.environ['STAGE']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
