"""HTTP to servers of this machine, without the 25 ms it takes to read a certificate store."""

import ssl
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import httpx


def plain_client(base_url: str = "", *, timeout_s: float = 10.0) -> httpx.Client:
    """Make a client for plain HTTP that uses no proxy and keeps no connection open."""
    return httpx.Client(
        base_url=base_url,
        timeout=timeout_s,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def answers_ok(url: str) -> bool:
    """Tell whether a GET is answered with 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == httpx.codes.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
