"""A web application of the standard library; the port comes from the variable that the platform sets."""
import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ["GREETING"] + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


port = int(os.environ.get("PORT", "8080"))
print(f"listening on port {port} as user {os.getuid()} in {os.getcwd()}")
http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
