"""An address that an operator chose is read only if it is one of the public internet."""

import httpx
import pytest

from infra import outside
from infra.outside import NotPublic


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_of_ours_is_not_public(address: str) -> None:
    assert not outside.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert outside.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://user:password@127.0.0.1:8443/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_nothing_of_ours_is_read(url: str) -> None:
    with pytest.raises(NotPublic):
        outside.read(url, headers={}, timeout_s=1, limit_bytes=10)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/", "x"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        outside.read(url, headers={}, timeout_s=1, limit_bytes=10)


def test_a_name_with_one_address_of_ours_is_not_public() -> None:
    with pytest.raises(NotPublic):
        outside.check(["1.1.1.1", "10.0.0.1"])
