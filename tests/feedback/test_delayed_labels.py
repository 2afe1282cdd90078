import numpy as np
import pytest
from logged_rows import delayed_site
from synthetic import MIDNIGHT_MS as T0

from feedback.labels.delayed import (
    fnw_gradient,
    fnw_weight,
    missing_share,
    stream_interval,
    stream_rate,
)
from feedback.labels.settings import Form, LabelSettings, Window
from feedback.reports import wilson

RATE = 0.3
MINUTE_MS = 60_000
END = T0 + 120 * MINUTE_MS
NEWEST = Window(END - 20 * MINUTE_MS, END, now_ms=END)
"""Twenty minutes that end now: most of their clicks are still to come when delays are long."""


def clicks(site, form):
    settings = LabelSettings(form=form, click_window_s=3600, decision_clicks=100)
    return site.labels(NEWEST, settings)[0].impressions.click


def test_with_delays_the_naive_rate_is_low_by_the_missing_clicks_and_the_stream_is_not(tmp_path):
    site = delayed_site(tmp_path, np.random.default_rng(4), RATE, delay_s=300)
    missing = missing_share(1200, 300)

    naive, stream = clicks(site, Form.NAIVE), clicks(site, Form.STREAM)

    low, high = wilson(int(naive.sum()), len(naive))
    assert missing == pytest.approx(0.245, abs=0.001)
    assert low < RATE * (1 - missing) < high < RATE
    low, high = stream_interval(stream)
    assert low < RATE < high


def test_without_delays_the_naive_rate_and_the_stream_agree(tmp_path):
    site = delayed_site(tmp_path, np.random.default_rng(5), RATE, delay_s=0)

    naive, stream = clicks(site, Form.NAIVE), clicks(site, Form.STREAM)

    assert stream_rate(stream) == pytest.approx(float(naive.mean()), rel=0.002)
    low, high = wilson(int(naive.sum()), len(naive))
    assert low < RATE < high


def windowed(rng, rate, delay_s, window_s=1200.0, shown=2000):
    """Clicks of impressions in a window, and of a stream over the same window."""
    at = rng.uniform(-10 * delay_s, window_s, int(shown * (1 + 10 * delay_s / window_s)))
    when = np.where(rng.random(len(at)) < rate, at + rng.exponential(delay_s, len(at)), np.inf)
    inside = at >= 0
    came = (when >= 0) & (when < window_s)
    naive = (inside & came)[inside].astype(np.uint8)
    return naive, np.repeat(np.array([0, 1], np.uint8), [inside.sum(), came.sum()])


def test_over_many_windows_the_stream_is_right_in_the_mean_and_its_interval_is_honest():
    rng = np.random.default_rng(6)
    pairs = [windowed(rng, 0.05, 300.0) for _ in range(400)]

    naive = np.array([one.mean() for one, _ in pairs])
    stream = np.array([stream_rate(one) for _, one in pairs])
    covered = [low < 0.05 < high for low, high in (stream_interval(one) for _, one in pairs)]

    error = stream.std() / np.sqrt(len(stream))
    assert abs(stream.mean() - 0.05) < 3 * error
    assert naive.mean() / 0.05 - 1 == pytest.approx(-missing_share(1200, 300), abs=0.02)
    assert 0.93 <= np.mean(covered) <= 0.98


def test_training_with_the_weighted_loss_finds_the_rate_of_each_group():
    """Two groups of different rate and delay; plain log loss on the same stream finds b, not p."""
    rng = np.random.default_rng(7)
    streams = [windowed(rng, rate, 300.0, shown=40_000)[1] for rate in (0.1, 0.3)]
    group = np.repeat([0, 1], [len(one) for one in streams])
    click = np.concatenate(streams)

    def trained(gradient):
        logit = np.zeros(2)
        for _ in range(400):
            push = gradient(click, logit[group])
            logit -= 4 * np.bincount(group, push) / np.bincount(group)
        return 1 / (1 + np.exp(-logit))

    weighted = trained(fnw_gradient)
    plain = trained(lambda click, logit: 1 / (1 + np.exp(-logit)) - click)

    assert weighted == pytest.approx([0.1, 0.3], rel=0.05)
    assert weighted == pytest.approx([stream_rate(one) for one in streams], rel=1e-3)
    assert plain == pytest.approx([0.1 / 1.1, 0.3 / 1.3], rel=0.05)


def test_weights_are_the_ratios_of_what_is_true_to_what_is_seen():
    p = np.array([0.2, 0.2])
    seen = p / (1 + p)

    weight = fnw_weight(np.array([1, 0], np.uint8), p)

    assert weight == pytest.approx([0.2 / seen[0], 0.8 / (1 - seen[1])])


def test_no_click_at_all_says_nothing_of_the_rate():
    assert stream_interval(np.zeros(5, np.uint8)) == (0.0, 1.0)
