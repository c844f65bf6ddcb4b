"""The payment gateway that the settings choose."""

from infra.errors import Misconfigured
from infra.settings import Settings
from shop.gateways.protocol import PaymentGateway
from shop.gateways.sandbox import SandboxGateway


def open_gateway(settings: Settings) -> PaymentGateway:
    """Open the configured gateway; nothing is sent until first use.

    Raises:
        Misconfigured: its address or its key is missing.
    """
    if settings.payment_gateway == "stripe":
        return _open_stripe(settings)
    if settings.gateway_url is None:
        raise Misconfigured("GATEWAY_URL is missing: set it to the payment gateway's address.")
    return SandboxGateway(settings.gateway_url, timeout_s=settings.gateway_timeout_s)


def _open_stripe(settings: Settings) -> PaymentGateway:
    if settings.stripe_api_key is None:
        raise Misconfigured("STRIPE_API_KEY is missing: set it to the secret key of the account.")
    # The SDK takes 0.4 s and 20 MB, which only a process that charges through it pays.
    from shop.gateways.stripe import StripeGateway  # noqa: PLC0415

    return StripeGateway(
        settings.stripe_api_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        timeout_s=settings.gateway_timeout_s,
    )
