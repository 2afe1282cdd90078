"""OpenRTB 2.6, with us as the final seller (/openrtb2/auction) or as a bidder (/openrtb2/bid)."""

from adserver.wire.openrtb_answer import render
from adserver.wire.openrtb_request import parse

__all__ = ["parse", "render"]
