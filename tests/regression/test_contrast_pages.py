"""Every cell of a comparison beside its numbers, of which no two are equal."""

import json
from types import SimpleNamespace

import pytest
import toy_metric
from scipy import stats

from pipeline.evaluation.difference import Difference
from pipeline.regression.compared import Compared
from pipeline.regression.contrast import Contrast
from pipeline.regression.contrast_pages import to_json, to_markdown, to_text

DEGREES = 19


def contrast(i, slugs):
    """The i-th contrast; FID's interval at another level than the others'."""
    metrics = {
        "fid": Compared(1.21 + i, 1.53 + 0.5 * i, Difference(0.27 - 0.6 * i, 0.04 + 0.01 * i, DEGREES), 0.0125),
        "is": Compared(6.11 + i, 5.82 + i, Difference(-0.31 - 0.02 * i, 0.05, DEGREES)),
        "kid": Compared(0.071, 0.083, Difference(0.014 + 0.01 * i, 0.003, DEGREES)),
    }
    if i == 2:
        del metrics["kid"]
    return Contrast(
        metrics,
        tuple(SimpleNamespace(slug=slug, nfe=nfe) for slug, nfe in zip(slugs, (31, 8 + i), strict=True)),
        False,
        (1234.0 + i, 617.0 + 100 * i),
        ("a GPU", "another GPU"),
        ("2.8", "2.9"),
    )


CONTRASTS = [contrast(0, ("s", "s")), contrast(1, ("s", "t")), contrast(2, ("u", "u"))]


@pytest.fixture
def besides():
    run = SimpleNamespace(config=SimpleNamespace(seed=7, num_images=4321))
    differing = {"torch": ("2.8", "2.9"), "device": ("a GPU", "another GPU")}
    baseline, other = (SimpleNamespace(text=text, run=run) for text in ("base", "other"))
    return [SimpleNamespace(baseline=baseline, other=other, paired=True, contrasts=CONTRASTS, differing=differing)]


def with_interval(one):
    half = stats.t(DEGREES).ppf(1 - one.level / 2) * one.difference.se
    value = one.difference.value
    return f"{value:+.3g} [{value - half:+.3g}, {value + half:+.3g}]"


CELLS = [
    [
        ["s", "s → t", "u"][i],
        ["1.21 → 1.53", "2.21 → 2.03", "3.21 → 2.53"][i],
        with_interval(one.fid),
        ["worse", "better", "better"][i],
        with_interval(one.metrics["is"]),
        "–" if i == 2 else with_interval(one.metrics["kid"]),
        ["1,234 → 617 (0.50×)", "1,235 → 717 (0.58×)", "1,236 → 817 (0.66×)"][i],
        ["31 → 8 (0.26×)", "31 → 9 (0.29×)", "31 → 10 (0.32×)"][i],
    ]
    for i, one in enumerate(CONTRASTS)
]
CONDITIONS = [
    *("pairs of images with the same noise: seed 7, 4,321 images", "other torch: 2.8 → 2.9"),
    "other device: a GPU → another GPU",
]


def test_every_cell_of_the_markdown_and_the_text(besides):
    page, text = to_markdown(besides), to_text(besides)
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in page.splitlines() if line.startswith("|")]
    head = ["setting", "FID", "ΔFID", "", "ΔIS", "ΔKID", "images/s", "calls"]
    assert (table[0], table[2:]) == (head, CELLS)
    assert [line.split() for line in text.splitlines() if "×)" in line] == [" ".join(cells).split() for cells in CELLS]
    assert "\n".join(f"- {line}" for line in CONDITIONS) in page
    assert "\n".join(["other", *(f"  {line}" for line in CONDITIONS)]) in text
    for shown in (page, text):
        assert "intervals of 95 %; those of ΔFID hold for all 3 settings together (Holm)" in shown


def test_a_registered_metric_has_its_own_decimals_unless_they_would_hide_a_difference(besides, monkeypatch):
    toy_metric.registered(monkeypatch)
    differences = [Difference(0.0312345, 0.0, DEGREES), Difference(4e-7, 0.0, DEGREES), Difference(0.0, None, DEGREES)]
    for one, difference in zip(CONTRASTS, differences, strict=True):
        monkeypatch.setitem(one.metrics, "norm", Compared(11.0, 11.03, difference))
    table = [line[2:-2].split(" | ") for line in to_markdown(besides).splitlines() if line.startswith("|")]
    place = table[0].index("Δmean norm")
    shown = ["+0.03123 [+0.03123, +0.03123]", "+4e-07 [+4e-07, +4e-07]", "+0.00000"]
    assert [line[place] for line in table[2:]] == shown
    assert [line[:place] + line[place + 1 :] for line in table[2:]] == CELLS
    lines = [line for line in to_text(besides).splitlines() if "×)" in line]
    assert all(f"  {cell}  " in line for cell, line in zip(shown, lines, strict=True))


def test_the_json_has_the_same_in_full(besides):
    (output,) = json.loads(json.dumps(to_json(besides)))["outputs"]
    assert output["differing"] == {"torch": ["2.8", "2.9"], "device": ["a GPU", "another GPU"]}
    for one, row in zip(CONTRASTS, output["settings"], strict=True):
        assert row["settings"] == [setting.slug for setting in one.settings]
        assert (row["images_per_second"], row["nfe"]) == ([*one.images_per_second], [s.nfe for s in one.settings])
        assert (row["devices"], row["torch"]) == (["a GPU", "another GPU"], ["2.8", "2.9"])
        for name, metric in ((name, one.metrics.get(name)) for name in ("fid", "is", "kid")):
            if metric is None:
                assert row[name] is None
                continue
            assert row[name]["values"] == [metric.baseline, metric.other]
            assert (row[name]["difference"], row[name]["se"]) == (metric.difference.value, metric.difference.se)
            half = stats.t(DEGREES).ppf(1 - metric.level / 2) * metric.difference.se
            value = metric.difference.value
            assert row[name]["interval"] == pytest.approx([value - half, value + half])
            assert row[name]["confidence"] == 1 - metric.level
            assert row[name]["p_value"] == pytest.approx(2 * stats.t(DEGREES).sf(abs(value) / metric.difference.se))
