"""Read from an address that an operator chose, on a network where ours is not to be read.

The name is resolved once, every address it has is checked, and the connection is made to the
address that was checked: a name that changes its address in between gains nothing.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from infra.http import Reply

CONNECT_TIMEOUT_S = 3.0
_CHUNK = 65_536
_PORTS = {"http": 80, "https": 443}
# They carry an IPv4 address in them, which may be one of this network.
_TRANSLATED = tuple(
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)
_CONNECTED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class NotPublic(httpx.TransportError):
    """The address is not one of the public internet."""


class TooLarge(httpx.TransportError):
    """The answer is larger than what we are ready to take."""


class TooSlow(httpx.TransportError):
    """The whole of it takes longer than what we are ready to wait."""


def read(
    url: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    limit_bytes: int,
    may_be_ours: bool = False,
) -> Reply:
    """GET a URL in at most `timeout_s` from first to last byte; no redirect is followed.

    With `may_be_ours` the address may be one of this machine or network.

    Raises:
        NotPublic, TooLarge, TooSlow, httpx.HTTPError, httpx.InvalidURL: there is no answer.
    """
    asked = httpx.URL(url)
    if asked.scheme not in _PORTS or not asked.host:
        raise httpx.UnsupportedProtocol("Only http and https are spoken.")
    if may_be_ours:
        return _get(asked, headers, timeout_s, limit_bytes, {})
    # The name still belongs into the request, and into the check of the certificate.
    named = {**headers, "Host": asked.netloc.decode("ascii")}
    extensions = {"sni_hostname": asked.raw_host.decode("ascii")}
    addresses = _resolve(asked)
    check(addresses)
    for address in addresses[:-1]:
        try:
            there = asked.copy_with(host=address)
            return _get(there, named, timeout_s, limit_bytes, extensions)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
    there = asked.copy_with(host=addresses[-1])
    return _get(there, named, timeout_s, limit_bytes, extensions)


def check(addresses: Sequence[str]) -> None:
    """Let only addresses of the public internet pass.

    Raises:
        NotPublic: one of them is not.
    """
    if not all(is_public(address) for address in addresses):
        raise NotPublic("The address is not public.")


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet and names one machine there."""
    if "%" in address:
        return False
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _TRANSLATED):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _resolve(url: httpx.URL) -> Sequence[str]:
    port = url.port or _PORTS[url.scheme]
    try:
        found = socket.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpx.ConnectError("The name has no address.") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _get(
    url: httpx.URL,
    headers: Mapping[str, str],
    timeout_s: float,
    limit_bytes: int,
    extensions: Mapping[str, Any],
) -> Reply:
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    with (
        _Alarm(timeout_s) as alarm,
        httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as client,
    ):
        try:
            watched = {**extensions, "trace": alarm.watch}
            with client.stream("GET", url, headers=headers, extensions=watched) as answer:
                body = _whole(answer, limit_bytes)
        except httpx.TransportError as error:
            raise (TooSlow("Time is up.") if alarm.is_due else error) from None
        if alarm.has_gone_off:  # what looks like the end of the answer was ours
            raise TooSlow("Time is up.")
        return Reply(answer.status_code, answer.headers, body)


def _whole(answer: httpx.Response, limit_bytes: int) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes(_CHUNK):
        body += chunk
        if len(body) > limit_bytes:
            raise TooLarge("The answer is too large.")
    return bytes(body)


class _Alarm:
    """Shuts the connection down when time is up: time-outs hold for each wait, not for all."""

    def __init__(self, timeout_s: float) -> None:
        self.has_gone_off = False
        self._ends_at_s = time.monotonic() + timeout_s
        self._stream: Any = None
        self._timer = threading.Timer(timeout_s, self._go_off)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    @property
    def is_due(self) -> bool:
        """Tell whether time is up, be it that the alarm itself comes a moment late."""
        return self.has_gone_off or time.monotonic() >= self._ends_at_s

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear from the client which connection it uses."""
        if event in _CONNECTED:
            self._stream = info["return_value"]
            if self.has_gone_off:
                self._shut()

    def _go_off(self) -> None:
        self.has_gone_off = True
        if self._stream is not None:
            self._shut()

    def _shut(self) -> None:
        try:
            self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already
