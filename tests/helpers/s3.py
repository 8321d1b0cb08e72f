"""An S3 server on loopback (moto), and a proxy in front of it that injects faults and counts requests."""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import ThreadedMotoServer

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI-a-secret-of-the-tests"
TRANSIENT = ("500", "503", "reset", "reset-body", "stall", "lost", "truncated", "corrupted")
"""Faults that a sweep has to live through. "lost" does the work and loses the answer."""
FINAL = ("403", "expired")

_ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
}


def environment(endpoint):
    """The AWS variables for a child process."""
    names = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    return names | {"AWS_ENDPOINT_URL": endpoint}


def options(endpoint, read_timeout=15):
    """The same as fsspec options, with quicker time-outs where a fault is a stall."""
    config = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": read_timeout}
    return {"key": KEY, "secret": SECRET, "endpoint_url": endpoint, "config_kwargs": config}


@contextlib.contextmanager
def moto():
    """Run a moto server on a free port; yield its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        # all servers of a process share their buckets
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
        yield url
    finally:
        server.stop()


class FaultProxy:
    """Forwards to a server; a share of the requests meets the fault that is set."""

    def __init__(self, upstream):
        self.upstream = upstream.removeprefix("http://")
        self.fault, self.share, self.hits = None, 0.0, 0
        self.requests = []
        self._random, self._lock = random.Random(0), threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def inject(self, fault, share=0.3):
        """Let `share` of the requests from now on meet `fault`."""
        self._random = random.Random(0)  # so that the same requests meet the same faults
        self.fault, self.share, self.hits = fault, share, 0

    def decide(self, method, path):
        """Count a request, and return the fault that it meets."""
        is_list = method == "GET" and "list-type" in path
        with self._lock:
            self.requests.append("LIST" if is_list else method)
            hit = self._random.random() < self.share
        only_objects = self.fault in ("truncated", "corrupted", "reset-body")
        if self.fault is None or not hit or (only_objects and (method != "GET" or is_list)):
            return None
        self.hits += 1
        return self.fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy = None

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.decide(self.command, self.path)
        if fault in _ERRORS:
            status, code, message = _ERRORS[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            return self._answer(status, [("Content-Type", "application/xml")], text)
        if fault == "stall":
            time.sleep(5)
            return self._reset()
        if fault == "reset":
            return self._reset()
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        upstream.request(self.command, self.path, body, dict(self.headers))
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        if fault == "lost":
            return self._reset()
        if fault == "corrupted" and content:
            at = len(content) // 3
            content = content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
        cut = fault in ("truncated", "reset-body")
        self._answer(response.status, response.getheaders(), content, len(content) // 2 if cut else None)
        if cut:
            self._reset() if fault == "reset-body" else self._close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _answer(self, status, headers, content, cut=None):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = dict((k.lower(), v) for k, v in headers).get("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:cut])
            self.wfile.flush()

    def _reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def _close(self):
        self.close_connection = True
        self.connection.close()

    def handle(self):
        with contextlib.suppress(OSError, ValueError):  # the client has gone, or we have closed
            super().handle()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_):
        pass
