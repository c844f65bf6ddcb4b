"""The payment gateway that the settings choose."""

from infra.errors import Misconfigured
from infra.settings import Settings
from shop.gateways.protocol import PaymentGateway
from shop.gateways.sandbox import SandboxGateway


def open_gateway(settings: Settings) -> PaymentGateway:
    """Open the configured gateway; nothing is sent until first use.

    Raises:
        Misconfigured: its address is missing.
    """
    if settings.gateway_url is None:
        raise Misconfigured("GATEWAY_URL is missing: set it to the payment gateway's address.")
    return SandboxGateway(settings.gateway_url, timeout_s=settings.gateway_timeout_s)
