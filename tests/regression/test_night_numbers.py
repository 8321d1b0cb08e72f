"""Every number of a night's summary and history beside its comparison: numbers of which no two are equal."""

from datetime import UTC, datetime

import pytest
from nights import GRID, unlike
from scipy import stats

from pipeline.regression import history, summary
from pipeline.regression.gate import Limits, Verdict

LIMITS = Limits(0.02, 0.3)
QUALITY = ["worse", "small", "better"]
VERDICTS = [Verdict(unlike(i), QUALITY[i], "slower" if i == 1 else "ok", LIMITS) for i in range(3)]


def interval(metric, level):
    """Student's, of which the normal distribution is that of infinite degrees of freedom."""
    difference = metric.difference
    half = stats.t(difference.degrees).ppf(1 - level / 2) * difference.se
    return difference.value - half, difference.value + half


def with_interval(metric):
    low, high = interval(metric, 0.05)
    return f"{metric.difference.value:+.3g} ({low:+.3g} … {high:+.3g})"


def test_every_cell_of_the_summary():
    text = summary.to_markdown(summary.Night("n1", "digits of 2026-03-01", [], VERDICTS, 100.0))
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
    assert table[0] == [
        *("setting", "FID, baseline", "FID, tonight", "ΔFID", "interval", "quality"),
        *("ΔIS", "ΔKID", "images/s", "network", "speed"),
    ]
    for i, cells in enumerate(table[2:]):
        one = unlike(i)
        low, high = interval(one.fid, 0.05 / 3)
        assert cells == [
            GRID[i].slug,
            f"{1.07 + 0.33 * i:.3f}",
            f"{1.31 + 0.2 * i:.3f}",
            f"{100 * (0.21 - 0.13 * i) / (1.07 + 0.33 * i):+.1f}%",
            f"{low:+.3f} … {high:+.3f}",
            ["**worse**", "within tolerance", "better"][i],
            with_interval(one.metrics["is"]),
            with_interval(one.metrics["kid"]),
            f"{533 + 40 * i} → {417 + 50 * i}",
            f"{91 - 2 * i}.0% → {85 - 3 * i}.0%",
            ["ok", "**slower**", "ok"][i],
        ]
    assert len(table) == 2 + 3
    assert "ΔIS and ΔKID: 95 %, uncorrected" in text
    assert "by more than 2.0%" in text
    assert "a loss of it by more than 30%" in text
    reasons = [line for line in text.splitlines() if line.startswith(f"- {GRID[0].slug}: ") or "take " in line]
    low, high = interval(unlike(0).fid, 0.05 / 3)
    assert reasons == [
        f"- {GRID[0].slug}: FID 1.31, the baseline's 1.07; difference +0.21 in [{low:+.3g}, {high:+.3g}], "
        "+19.6% of the baseline's, tolerance 2.0%",
        f"- {GRID[1].slug}: network calls take 82.0% of the drawing, -8% of the baseline's 89.0%, tolerance 30%",
    ]


def test_every_number_of_the_history():
    date = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    for i, row in enumerate(history.rows(VERDICTS, "night", date, "2.9", "m" * 64)):
        one = unlike(i)
        low, high = interval(one.fid, 0.05 / 3)
        expected = {
            **{"setting": GRID[i].slug, "steps": GRID[i].steps, "nfe": GRID[i].nfe, "num_images": 500 + 3 * i},
            **{"fid": 1.31 + 0.2 * i, "is_mean": 6.1 + 0.3 * i, "kid_mean": 0.11 + 0.02 * i},
            **{"fid_se": 0.31 + 0.04 * i, "is_se": 0.042 + 0.007 * i, "kid_se": 0.0123 + 0.002 * i},
            **{"baseline_fid": 1.07 + 0.33 * i, "fid_limit": pytest.approx(1.02 * (1.07 + 0.33 * i))},
            **{"delta_fid": 0.21 - 0.13 * i, "low": pytest.approx(low), "high": pytest.approx(high)},
            **{"images_per_second": 417.0 + 50 * i, "baseline_images_per_second": 533.0 + 40 * i},
            **{"network_share": 0.85 - 0.03 * i, "baseline_network_share": 0.91 - 0.02 * i},
            **{"share_limit": pytest.approx(0.7 * (0.91 - 0.02 * i)), "quality": QUALITY[i], "differing": 1},
        }
        assert {name: row[name] for name in expected} == expected


def test_a_columns_metadata_have_the_most_decimals_of_the_nights_values():
    """FID has 3 decimals below 1 and 2 from there on, IS always 2, and KID 4 below 1."""
    date = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    rows = history.rows(VERDICTS, "night", date, "2.9", "m" * 64)

    def decimals(rows):
        fields = [history.schema(rows).field(name) for name in ("fid", "is_mean", "kid_mean")]
        return [(field.metadata[b"title"].decode(), field.metadata.get(b"decimals")) for field in fields]

    assert decimals(rows) == [("FID ↓", b"2"), ("IS ↑", b"2"), ("KID ↓", b"4")]
    assert decimals([*rows, rows[0] | {"fid": 0.41, "kid_mean": None}]) == [
        *(("FID ↓", b"3"), ("IS ↑", b"2"), ("KID ↓", b"4")),
    ]
    assert decimals([row | {"kid_mean": None} for row in rows])[2] == ("KID ↓", None)
