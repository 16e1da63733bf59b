"""Sends requests at a fixed rate and prints the 99th percentile of their latencies in ms: `paced.py PORT HOST RATE SECONDS`.

A request's latency counts from the moment it was due (no coordinated omission).
"""

import selectors
import socket
import sys
import time

CONNECTIONS = 64


def main(port, host, rate, seconds):
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for s in idle:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, [b"", 0.0])
    keys = {s: selector.get_key(s).data for s in idle}
    began, sent, latencies = time.perf_counter(), 0, []
    total = int(rate * seconds)
    while len(latencies) < total:
        now = time.perf_counter()
        while idle and sent < total and began + sent / rate <= now:
            s = idle.pop()
            keys[s][:] = [b"", began + sent / rate]
            s.send(request)
            sent += 1
        wait = 0 if not idle or sent == total else max(0.0, began + sent / rate - time.perf_counter())
        for key, _ in selector.select(wait if idle and sent < total else 0.05):
            key.data[0] += key.fileobj.recv(65536)
            if complete(key.data[0]):
                latencies.append(time.perf_counter() - key.data[1])
                idle.append(key.fileobj)
    latencies.sort()
    print(latencies[int(len(latencies) * 0.99)] * 1e3)


def complete(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= length


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
