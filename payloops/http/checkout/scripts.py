"""Scripts of the processors on the checkout pages, and the Content-Security-Policy that lets in those and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from payloops.config import Settings

Sources = Mapping[str, tuple[str, ...]]

_OWN: Final[Sources] = MappingProxyType(
    {
        "default-src": ("'none'",),
        "script-src": ("'self'",),
        "style-src": ("'self'",),
        "img-src": ("'self'",),
        "connect-src": ("'self'",),
        "form-action": ("'self'",),
        "base-uri": ("'none'",),
        "frame-ancestors": ("'none'",),
    }
)
_THEIRS: Final[Mapping[str, Sources]] = MappingProxyType(
    {
        # https://docs.stripe.com/security/guide#content-security-policy
        "stripe": {
            "connect-src": ("https://api.stripe.com",),
            "frame-src": ("https://*.js.stripe.com", "https://js.stripe.com", "https://hooks.stripe.com"),
            "script-src": ("https://*.js.stripe.com", "https://js.stripe.com"),
        },
        # What Razorpay lets in for its own shop plug-in (razorpay-magento, etc/csp_whitelist.xml). Its script styles
        # the frame that it opens, and where it can't open one it posts a form to the frame's address instead.
        "razorpay": {
            "connect-src": ("https://lumberjack.razorpay.com", "https://lumberjack-metrics.razorpay.com"),
            "form-action": ("https://api.razorpay.com",),
            "frame-src": ("https://api.razorpay.com",),
            "img-src": ("https://cdn.razorpay.com", "data:"),
            "script-src": ("https://checkout.razorpay.com", "https://cdn.razorpay.com"),
            "style-src": ("'unsafe-inline'",),
        },
    }
)


@dataclass(frozen=True, slots=True)
class ProcessorScript:
    """A processor's script for browsers. The simulator's needs nothing beside itself and frames of its own."""

    processor: str
    url: str
    simulated: bool


class Scripts:
    """The scripts of one deployment."""

    def __init__(self, settings: Settings) -> None:
        urls = {"stripe": settings.stripe_js_url, "razorpay": settings.razorpay_js_url}
        self._scripts = {name: ProcessorScript(name, url, settings.simulated(name)) for name, url in urls.items()}

    def of(self, processor: str) -> ProcessorScript:
        """That processor's."""
        return self._scripts[processor]

    def policy(self, processors: Iterable[str] = ()) -> str:
        """The policy of a page that loads the scripts of these."""
        allowed = dict(_OWN)
        for name in processors:
            script = self.of(name)
            origin = _origin(script.url)
            _allow(allowed, {"script-src": (origin,)})
            _allow(allowed, {"frame-src": (origin,)} if script.simulated else _THEIRS[name])
        return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in allowed.items())


def _allow(allowed: dict[str, tuple[str, ...]], more: Sources) -> None:
    for directive, sources in more.items():
        before = allowed.get(directive, ())
        allowed[directive] = (*before, *(source for source in sources if source not in before))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
