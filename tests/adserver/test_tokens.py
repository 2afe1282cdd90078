import hmac
from dataclasses import replace

import pytest

from adserver.errors import ConfigError
from adserver.token_key import kept_key
from adserver.tokens import (
    VERSION,
    Fault,
    Kind,
    Signer,
    Token,
    TokenError,
    event_token,
    signer_of,
)
from auction.columns import Pricing

ISSUED = 1_793_500_000_000
TOKEN = Token(
    decision="01JABCDEFGHJKMNPQRSTVWXYZ0",
    slot=2,
    number=1_793_500_000_000_123,
    ad=123_456,
    creative="cr-1",
    campaign=1234,
    advertiser=567,
    placement="news/top",
    issued_ms=ISSUED,
    charge_micros=1310,
    clear_micros=1_310_000,
    reserved_micros=1310,
    pricing=Pricing.CPC,
    landing="https://advertiser.example/?a=1&b=ü",
    line_item=3_000_000_000,
    deal=77,
    identity=2**64 - 1,
    worker=255,
    topic=63,
    model=2**32 - 1,
    phase=2_000,
    pctr_ppm=999_999,
)
SIGNER = signer_of("k" * 32)
HOUR_MS = 3_600_000
BASE64URL = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def verify(text, kind, signer=SIGNER, now=ISSUED):
    return signer.verify(text, kind, now, HOUR_MS)


def token_of(kind, token=TOKEN, signer=SIGNER):
    if kind is Kind.CONVERSION:
        return signer.conversion(token)
    return event_token(signer.sign(token), kind)


@pytest.mark.parametrize("kind", Kind)
def test_what_was_signed_is_what_is_verified(kind):
    """Only a click needs to know where it goes."""
    expected = TOKEN if kind is Kind.CLICK else replace(TOKEN, landing="")

    assert verify(token_of(kind), kind) == expected


@pytest.mark.parametrize(
    ("pricing", "kind"),
    [
        (Pricing.CPM, Kind.IMPRESSION),
        (Pricing.CPC, Kind.CLICK),
        (Pricing.CPA, Kind.CONVERSION),
        (Pricing.FLAT, Kind.IMPRESSION),
        (Pricing.VCPM, Kind.VIEWABLE),
    ],
)
def test_each_pricing_has_one_event_that_it_pays_for(pricing, kind):
    assert replace(TOKEN, pricing=pricing).billable is kind


@pytest.mark.parametrize("length", range(8))
def test_any_length_of_names_and_address_survives(length):
    token = replace(
        TOKEN, decision="d" * length, placement="ö" * (7 - length), landing="h" * length
    )

    assert verify(event_token(SIGNER.sign(token), Kind.CLICK), Kind.CLICK) == token


def test_a_placement_key_too_long_for_a_token_is_clipped_to_whole_characters():
    token = verify(
        event_token(SIGNER.sign(replace(TOKEN, placement="ö" * 999)), Kind.CLICK), Kind.CLICK
    )

    assert isinstance(token, Token)
    assert token.placement == "ö" * 127


@pytest.mark.parametrize("kind", Kind)
def test_no_character_of_a_token_can_be_changed(kind):
    text = token_of(kind)
    body = range(len(VERSION), len(text))

    for place in body:
        for other in BASE64URL - {text[place]} if text[place] != "." else ():
            changed = text[:place] + other + text[place + 1 :]
            assert verify(changed, kind) == TokenError(Fault.FORGED)


@pytest.mark.parametrize("kind", Kind)
def test_a_token_for_one_event_is_forged_for_another(kind):
    text = token_of(kind)

    for other in set(Kind) - {kind}:
        assert verify(text, other) == TokenError(Fault.FORGED)


def test_the_landing_page_of_another_sale_cannot_be_glued_on():
    mine = event_token(SIGNER.sign(TOKEN), Kind.IMPRESSION).split(".")
    theirs = SIGNER.sign(replace(TOKEN, landing="https://evil.example/")).split(".")

    glued = f"v1.{mine[1]}{theirs[2]}.{mine[2]}"

    assert verify(glued, Kind.CLICK) == TokenError(Fault.FORGED)


@pytest.mark.parametrize(
    "text",
    ["", "v1", "v1..", "v1.a.b", "v2.YQ." + "a" * 22, "x" * 9000, "v1.a.b.c", "v1.é." + "a" * 22],
)
def test_what_is_no_token_is_malformed(text):
    assert verify(text, Kind.CLICK) == TokenError(Fault.MALFORMED)


def test_a_token_is_good_up_to_its_age_and_then_still_says_what_it_was_for():
    text = event_token(SIGNER.sign(TOKEN), Kind.CLICK)

    assert verify(text, Kind.CLICK, now=ISSUED + HOUR_MS) == TOKEN
    assert verify(text, Kind.CLICK, now=ISSUED + HOUR_MS + 1) == TokenError(Fault.EXPIRED, TOKEN)


def test_after_rotation_old_tokens_verify_until_the_old_key_is_dropped():
    old, new = "old-key-old-key-old", "new-key-new-key-new"
    text = event_token(signer_of(old).sign(TOKEN), Kind.CLICK)

    assert verify(text, Kind.CLICK, signer_of(new, [old])) == TOKEN
    assert verify(text, Kind.CLICK, signer_of(new)) == TokenError(Fault.FORGED)
    assert signer_of(new, [old]).sign(TOKEN) == signer_of(new).sign(TOKEN)


@pytest.mark.parametrize("length", [16, 64, 65, 200])
def test_the_signature_is_hmac_sha256(length):
    key = b"k" * length
    text = event_token(Signer((key,)).sign(TOKEN), Kind.CLICK)
    _, body, signature = text.split(".")

    import base64

    full = hmac.digest(key, f"v1.click.{body}".encode(), "sha256")
    assert signature == base64.urlsafe_b64encode(full[:16]).decode().rstrip("=")


@pytest.mark.parametrize("key", ["", "short"])
def test_a_server_without_a_proper_key_does_not_start(key):
    with pytest.raises(ConfigError, match="ADSERVER_TOKEN_KEY"):
        signer_of(key)


def test_a_key_never_shows_in_a_log():
    assert "kkkk" not in repr(SIGNER)


def test_the_kept_key_is_made_once_and_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "data" / "token.key"

    first = kept_key(path, b"a" * 32)

    assert kept_key(path, b"b" * 32) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["token.key"]
    assert signer_of(first)
