"""Bid logs of the iPinYou format: every known shape of line, and whatever else is in the file."""

from __future__ import annotations

import bz2
import gzip

import numpy as np
import pytest

from feedback.replay.bidlog import LONGEST, Mistakes, read

UNIT = 10_000
YZX = "1 51 0:1 17:1 2041:1\n"
IMPRESSION = ["id", "20130606000104008", "1", "u", "ua", "1.2.3.*", "216", "217", "2", "d", "l"]
IMPRESSION += ["", "slot", "300", "250", "0", "0", "5", "cr", "300", "77", "", "1458", "10006"]


def offers(path, mistakes=None, **options):
    chunks = list(read([path], UNIT, mistakes or Mistakes(), **options))
    return [
        (bool(click), int(price), int(rate))
        for one in chunks
        for click, price, rate in zip(one.click, one.market_micros, one.pctr_ppm, strict=True)
    ]


def written(tmp_path, text, name="log.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("line", "offer"),
    [
        ("0\t51\t0.0003450138\n", (False, 510_000, 345)),
        ("1 51 0.25\n", (True, 510_000, 250_000)),
        ("0 51 1e-9\n", (False, 510_000, 1)),
        ("0 0 0.1\r\n", (False, 0, 100_000)),
        ("2 1.5 0.1 more fields", (True, 15_000, 100_000)),
        (YZX, (True, 510_000, 0)),
        ("0 51\n", (False, 510_000, 0)),
        ("\t".join(IMPRESSION), (False, 770_000, 0)),
        ("\t".join(["1", "4", "00", *IMPRESSION]), (True, 770_000, 0)),
    ],
)
def test_every_shape_of_line_is_understood(tmp_path, line, offer):
    assert offers(written(tmp_path, line)) == [offer]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("560870", "fewer than two fields"),
        ("yes 51 0.1", "click 'yes' is no count"),
        ("-1 51 0.1", "click '-1' is no count"),
        ("0 cheap 0.1", "price 'cheap'"),
        ("0 nan 0.1", "price 'nan'"),
        ("0 -5 0.1", "price '-5'"),
        ("0 1e300 0.1", "price '1e300'"),
        ("0 5 1.5", "click rate '1.5'"),
        ("0 5 inf", "click rate 'inf'"),
        ("\x00\x01 \x02", "is no count"),
        ("0 1 0.1" + " " * LONGEST, "is longer than"),
    ],
)
def test_a_line_that_cannot_be_understood_is_counted_named_and_left_out(tmp_path, line, why):
    mistakes = Mistakes()
    path = written(tmp_path, f"1 5 0.5\n{line}\n0 6 0.5\n")

    found = offers(path, mistakes)

    assert [price for _, price, _ in found] == [50_000, 60_000]
    assert mistakes.count == 1
    assert why in mistakes.named[0]
    assert mistakes.named[0].startswith(f"{path}:2: ")


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress])
def test_compressed_files_are_read_and_torn_ones_up_to_the_tear(tmp_path, packed):
    data = "".join(f"0 {n} 0.1\n" for n in range(50_000)).encode()
    mistakes = Mistakes()

    whole = offers(written(tmp_path, packed(data), "whole"))
    torn = offers(written(tmp_path, packed(data)[: len(packed(data)) // 2], "torn"), mistakes)

    assert len(whole) == 50_000
    assert len(torn) < 50_000
    assert mistakes.count in {1, 2}
    assert "cannot be read on" in mistakes.named[-1]


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress])
def test_an_altered_archive_is_a_mistake_not_a_crash(tmp_path, packed):
    data = bytearray(packed("".join(f"0 {n} 0.1\n" for n in range(50_000)).encode()))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 3] ^= 0xFF
    mistakes = Mistakes()

    offers(written(tmp_path, bytes(data)), mistakes)

    assert mistakes.count


def test_a_log_comes_in_chunks_however_long_it_is(tmp_path):
    path = written(tmp_path, "0 5 0.1\n" * 1_000)

    sizes = [len(one) for one in read([path, path], UNIT, Mistakes(), chunk=300)]

    assert sizes == [300] * 6 + [200]


def test_an_empty_file_has_no_offers(tmp_path):
    assert offers(written(tmp_path, "")) == []


def test_noise_is_no_log_and_no_crash(tmp_path):
    rng = np.random.default_rng(1)
    mistakes = Mistakes()

    offers(written(tmp_path, rng.bytes(200_000)), mistakes)

    assert mistakes.count > 100
    assert len(mistakes.named) == 5
