#!/usr/bin/env python3
"""Traffic for the demo capture: a web server, an upload sink, an uploader and a connect scanner.

Only what no standard tool does in a bounded and repeatable way is here; make-capture.sh takes
curl, ping, ssh and dnsmasq for everything else.
"""

import argparse
import concurrent.futures
import http.server
import socket
import socketserver
import threading
import time

# Text that repeats, since the capture is committed: random payload would not compress.
PATTERN = b"flowlake demo payload, no meaning. " * 512


class Web(http.server.BaseHTTPRequestHandler):
    """Answers GET /bytes/N with N bytes."""

    def do_GET(self):  # noqa: N802 (the name is the base class's)
        part = self.path.rsplit("/", 1)[-1]
        if not self.path.startswith("/bytes/") or not part.isdigit():
            self.send_error(404)
            return
        left = int(part)
        self.send_response(200)
        self.send_header("Content-Length", part)
        self.end_headers()
        while left > 0:
            left -= self.wfile.write(PATTERN[:left])

    def log_message(self, *_args):
        pass


class WebServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # dual stack: IPv4 clients come as mapped addresses


class Sink(socketserver.BaseRequestHandler):
    """Reads to the end of the stream and answers with the number of bytes."""

    def handle(self):
        count = 0
        try:
            while chunk := self.request.recv(1 << 16):
                count += len(chunk)
            self.request.sendall(b"%d\n" % count)
        except OSError:
            pass  # a scanner closes without reading the answer


class SinkServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


def serve(servers):
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


def put(host, port, size, rate):
    """Uploads size bytes at about rate bytes a second, so that a transfer spans windows."""
    began = time.monotonic()
    sent = 0
    with socket.create_connection((host, port), timeout=20) as conn:
        while sent < size:
            chunk = PATTERN[: min(len(PATTERN), size - sent)]
            conn.sendall(chunk)
            sent += len(chunk)
            ahead = sent / rate - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
        conn.shutdown(socket.SHUT_WR)
        answer = int(conn.makefile("rb").readline())
    if answer != size:
        raise SystemExit(f"sent {size} bytes, the sink had {answer}")


def parse_ports(text):
    ports = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        ports.extend(range(int(first), int(last or first) + 1))
    return ports


def probe(host, port, timeout):
    try:
        socket.create_connection((host, port), timeout=timeout).close()
        return "open"
    except ConnectionRefusedError:
        return "closed"
    except TimeoutError:
        return "filtered"


def scan(host, ports, timeout):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda port: probe(host, port, timeout), ports))
    print(" ".join(f"{kind}={found.count(kind)}" for kind in ("open", "closed", "filtered")))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    sub = parser.add_subparsers(dest="what", required=True)
    cmd = sub.add_parser("serve")
    cmd.add_argument("--web", type=int, action="append", default=[], metavar="PORT")
    cmd.add_argument("--sink", type=int, action="append", default=[], metavar="PORT")
    cmd = sub.add_parser("put")
    cmd.add_argument("host")
    cmd.add_argument("port", type=int)
    cmd.add_argument("size", type=int)
    cmd.add_argument("rate", type=int, help="bytes a second")
    cmd = sub.add_parser("scan")
    cmd.add_argument("host")
    cmd.add_argument("ports", help="such as 1-150,443")
    # Below the one second after which the kernel repeats a SYN: one packet for each port.
    cmd.add_argument("--timeout", type=float, default=0.8)
    args = parser.parse_args()
    if args.what == "serve":
        serve(
            [WebServer(("::", port), Web) for port in args.web]
            + [SinkServer(("::", port), Sink) for port in args.sink]
        )
    elif args.what == "put":
        put(args.host, args.port, args.size, args.rate)
    else:
        scan(args.host, parse_ports(args.ports), args.timeout)


if __name__ == "__main__":
    main()
