"""No bytes make an import fail or lose a line; kernels agree with the plain reading of a field."""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from log_lines import (
    AVAZU,
    IPINYOU,
    OBD,
    TALKINGDATA,
    avazu_line,
    criteo_line,
    ipinyou_line,
    obd_line,
    talkingdata_line,
)

from adserver.errors import ConfigError
from feedback.importing.kernels.faults import MISSING, REAL, SOUND, TIME, WHOLE
from feedback.importing.kernels.moments import moments
from feedback.importing.kernels.numbers import real_numbers, whole_numbers
from feedback.importing.run import Plan, import_log

LOGS = {
    "criteo": [criteo_line(0), criteo_line(1, -3, ""), criteo_line(1, "", "ff")],
    "avazu": [AVAZU, avazu_line(0), avazu_line(1, 14103123)],
    "talkingdata": [TALKINGDATA, talkingdata_line(1), talkingdata_line(0)],
    "obd": [OBD, obd_line(1), obd_line(0, 3)],
    "ipinyou": [
        "click\tweekday\thour\t" + IPINYOU.replace(" ", "\t"),
        "0\t4\t0\t" + ipinyou_line(),
    ],
}
SPECIAL = [b"\n", b"\r\n", b"\t", b",", b'"', b"\0", b"\xff", b"\xc3", b"-", b"9" * 30, b" "]
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2_000),
        st.integers(0, 40),
        st.one_of(st.binary(max_size=8), st.sampled_from(SPECIAL)),
    ),
    max_size=12,
)


def changed(data: bytes, changes) -> bytes:
    """Some bytes taken out and others put in their place."""
    for place, gone, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + gone :]
    return data


def accounted(content: bytes, plan: Plan):
    """Rows and quarantine of a file with that content, the sums checked."""
    with tempfile.TemporaryDirectory() as place:
        path, out = Path(place) / "log", Path(place) / "out"
        path.write_bytes(content)
        try:
            manifest = import_log([path], out, plan)
        except ConfigError as refusal:
            assert str(path) in str(refusal)  # noqa: PT017 — a refusal is one of two answers
            return [], [], None
        parts = [pq.read_table(out / part["file"]) for part in manifest["parts"]]
        rows = [row for part in parts for row in part.to_pylist()]
        aside = [
            {**json.loads(line), "file": ""}
            for line in (out / "quarantine.jsonl").read_bytes().splitlines()
        ]
    assert manifest["rows_in"] == len(rows) + len(aside)
    assert manifest["quarantined"] == len(aside) == sum(manifest["reasons"].values())
    return rows, aside, manifest


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(LOGS)), CHANGES, st.integers(200, 4_000))
@example("criteo", [(0, 0, b"\xef\xbb\xbf")], 300)
@example("talkingdata", [(0, 2_000, b"")], 300)
def test_whatever_happens_to_its_bytes_every_line_is_accounted_for(name, changes, chunk):
    content = changed(("\n".join(LOGS[name] * 6) + "\n").encode(), changes)
    assume(not content.startswith(b"\x1f\x8b"))

    rows, aside, manifest = accounted(content, Plan(name))

    if manifest is None:
        return
    lines = content.count(b"\n") + (not content.endswith(b"\n")) * bool(content)
    assert manifest["rows_in"] == lines - manifest["sources"][0]["heading"]
    assert accounted(content, Plan(name, chunk=chunk))[:2] == (rows, aside)
    for one in aside:
        assert (
            content[one["byte"] :].startswith(one["text"].encode()[:1]) or "\ufffd" in one["text"]
        )


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(LOGS)), CHANGES)
def test_whatever_happens_to_an_archive_every_line_is_accounted_for(name, changes):
    content = changed(gzip.compress("\n".join(LOGS[name] * 6).encode(), mtime=0), changes)

    accounted(content, Plan(name))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(LOGS)), st.binary(max_size=3_000))
def test_noise_is_read_as_any_format(name, content):
    accounted(content, Plan(name))


def cells(texts):
    """Fields end to end, as the kernels want them."""
    raw = [text.encode() for text in texts]
    stop = np.cumsum([len(one) for one in raw], dtype=np.int64)
    start = stop - [len(one) for one in raw]
    data = np.frombuffer(b"".join(raw) + b"\n", np.uint8)
    return data, start, stop, np.zeros(len(raw), np.uint8), np.empty(len(raw), np.uint8)


def plain_whole(text: str) -> int | None:
    body = text[1:] if text.startswith("-") else text
    digits, _, zeros = body.partition(".")
    fine = digits.isascii() and digits.isdigit() and len(digits) <= 18 and not zeros.strip("0")
    return int(digits) * (-1 if text.startswith("-") else 1) if fine else None


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.text("0123456789.-+eE", max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
@example(["-0", "007", "1.", ".5", "1.0", "1.01", "--1", "-", ".", "1e5", "999999999999999999"])
def test_whole_numbers_are_read_as_written(texts):
    data, start, stop, fault, known = cells(texts)
    value = np.empty(len(texts), np.int64)

    whole_numbers(data, start, stop, fault, (-(10**15), 10**15, True), value, known)

    for n, text in enumerate(texts):
        wanted = plain_whole(text)
        if not text:
            assert fault[n] == MISSING
        elif wanted is None or abs(wanted) > 10**15:
            assert fault[n] == WHOLE
        else:
            assert (fault[n], value[n], known[n]) == (SOUND, wanted, 1)


def plain_real(text: str) -> float | None:
    if not text.isascii() or text.startswith("+") or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
@example(
    ["1e-320", "0.1", "1e300", "123456789012345678901234567890", ".5", "5.", "e5", "1e", "0e9999"]
)
def test_numbers_are_read_as_python_reads_them(texts):
    data, start, stop, fault, known = cells(texts)
    value = np.empty(len(texts), np.float64)

    real_numbers(data, start, stop, fault, (-1e301, 1e301, True), value, known)

    for n, text in enumerate(texts):
        wanted = plain_real(text)
        if not text:
            assert fault[n] == MISSING
        elif wanted is None:
            assert fault[n] == REAL
        elif abs(wanted) <= 0.999e301 and "e" not in text.lower():
            assert fault[n] == SOUND
            assert math.isclose(value[n], wanted, rel_tol=1e-14, abs_tol=1e-300)
        elif 1e-280 < abs(wanted) < 1e280 and fault[n] == SOUND:
            assert math.isclose(value[n], wanted, rel_tol=1e-13)


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2199, 1, 1)),  # noqa: DTZ001 — the zone is drawn apart
    st.integers(-14 * 60, 14 * 60),
)
def test_moments_are_read_as_the_calendar_has_them(naive, shift):
    moment = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    sign, away = ("-" if shift < 0 else "+"), abs(shift)
    zone = f"{sign}{away // 60:02}:{away % 60:02}"
    texts = [
        f"{moment:%Y-%m-%d %H:%M:%S.%f}",
        f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
        f"{moment:%Y-%m-%d %H:%M:%S.%f}{zone}",
        f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03}",
        f"{moment:%Y%m%d%H%M%S}",
        f"{moment.month}/{moment.day}/{moment.year} {moment.hour}:{moment.minute:02}",
    ]
    data, start, stop, fault, known = cells(texts)
    value = np.empty(len(texts), np.int64)

    moments(data, start, stop, fault, True, value, known)

    whole = moment.replace(microsecond=0)
    wanted = [
        moment,
        moment,
        moment - timedelta(minutes=shift),
        moment,
        whole,
        whole.replace(second=0),
    ]
    assert not fault.any()
    assert value.tolist() == [round(one.timestamp() * 1000) for one in wanted]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("0123456789-:/ .TZ+x", max_size=24), min_size=1, max_size=20))
@example(["2017-02-29 00:00", "2017-13-01", "0000-00-00", "24:00", "2017-11-07 24:00", "99999999"])
def test_what_is_no_moment_is_a_fault_and_nothing_worse(texts):
    data, start, stop, fault, known = cells(texts)
    value = np.empty(len(texts), np.int64)

    moments(data, start, stop, fault, False, value, known)

    assert set(fault.tolist()) <= {SOUND, TIME}
    assert not value[fault == TIME].any()


@pytest.mark.parametrize(
    "text", ["2017-02-29 00:00", "2017-13-01", "14102124", "1/32/2017", "12:30"]
)
def test_days_that_never_were_are_no_moments(text):
    data, start, stop, fault, known = cells([text])

    moments(data, start, stop, fault, True, np.empty(1, np.int64), known)

    assert fault[0] == TIME
