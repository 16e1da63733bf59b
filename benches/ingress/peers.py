"""The peers and the upstream, configured as their experts would for this work: a reverse proxy with keep-alive to both sides.

All do the same: route by Host, least connections over four backends, set X-Forwarded-For, -Proto, -Host and a request id.
"""

import pathlib

UPSTREAM_PORTS = (19001, 19002, 19003, 19004)
HOST = "app.localhost"


def upstream(directory, workers):
    """nginx as the application: four ports, a body of 1,200 bytes from memory."""
    listens = " ".join(f"listen 127.0.0.1:{port} reuseport backlog=4096;" for port in UPSTREAM_PORTS)
    return f"""
worker_processes {workers}; pid {directory}/upstream.pid; error_log {directory}/upstream.err warn;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; tcp_nodelay on; server_tokens off;
  server {{ {listens} default_type text/plain; location / {{ return 200 "{'x' * 1200}"; }} }}
}}
"""


def nginx(directory, workers, port):
    servers = " ".join(f"server 127.0.0.1:{p};" for p in UPSTREAM_PORTS)
    return f"""
worker_processes {workers}; pid {directory}/nginx.pid; error_log {directory}/nginx.err warn;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; tcp_nodelay on; server_tokens off;
  proxy_temp_path {directory}/nginx_proxy; client_body_temp_path {directory}/nginx_body;
  upstream app {{
    zone app 64k; least_conn; {servers}
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 60s;
  }}
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096 default_server; return 404; }}
  server {{
    listen 127.0.0.1:{port}; server_name {HOST};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
"""


def haproxy(directory, workers, port):
    servers = "\n".join(f"  server u{p} 127.0.0.1:{p}" for p in UPSTREAM_PORTS)
    return f"""
global
  nbthread {workers}
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  option forwardfor
  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  use_backend app if {{ req.hdr(host),field(1,:) -i {HOST} }}
  default_backend none
backend app
  balance leastconn
{servers}
backend none
  http-request return status 404
"""


def write(directory, name, text):
    path = pathlib.Path(directory) / name
    path.write_text(text)
    return str(path)
