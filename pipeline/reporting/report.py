"""metrics.json and the files of report/: tables, plots, the picture of samples and the page."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.extractors import has_logits
from pipeline.evaluation.metrics import METRICS, had_false_is
from pipeline.evaluation.metrics.base import Need, listed
from pipeline.images.pictures import changes_text
from pipeline.images.pixels import Pixels
from pipeline.reporting import page, table
from pipeline.reporting.paper import EXPERIMENTS, differences, paper_fid
from pipeline.reporting.part import Part
from pipeline.reporting.published import later_samplers, published_fid
from pipeline.reporting.studies import Shown
from pipeline.reporting.timing import proportions, to_line
from pipeline.reporting.verdict import to_lines, verdict
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.grid import Row, Rows, Setting
from pipeline.sweep.images import read_first_images
from pipeline.sweep.measured import read_consistency
from pipeline.sweep.method import labels
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard

PAGE = "index.html"
"""The file of report/ that `page` writes."""
SAMPLES_A_ROW = 16
SEEDS_WIDTH = 32
"""Pixels to which a cell of the picture with the same seeds may grow, before it has one image."""
_EMA = {True: "EMA weights", False: "weights that are not EMA", None: "weights of which it is unknown if they are EMA"}


def publish(run: Run, seen: Mapping[str, Pixels] | None = None) -> str:
    """Write metrics.json and report/ of a measured run, and return the text for the terminal.

    Args:
        run: the run.
        seen: slug of a setting → its first images, of those that need not be read again.

    """
    from pipeline.reporting import plots  # matplotlib is a slow import

    measured = run.metrics()
    run.storage.write(run.paths.metrics, (json.dumps([*measured.values()], indent=2) + "\n").encode())
    near = _with_consistency(run, measured)
    rows, lines = _compared(run, near), caption(run, measured)
    said = _conclusions(run, measured)
    later = later_samplers() if rows is not near and run.config.preset == "cifar10" else ""
    beneath = "\n" + "\n\n".join(said) + "\n" + later
    run.storage.write(run.paths.report("table.md"), (table.to_markdown(rows, "\n\n".join(lines)) + beneath).encode())
    run.storage.write(run.paths.report("table.tex"), table.to_latex(rows, "\n% ".join(lines)).encode())
    run.storage.write(run.paths.report("table.csv"), table.to_csv(rows).encode())
    known = seen or {}
    pictures = {
        setting: known[setting.slug] if setting.slug in known else _first_images(run, setting)
        for setting in run.settings
    }
    figures = {
        "fid_vs_calls": plots.fid_vs_calls(rows),
        "fid_vs_seconds": plots.fid_vs_seconds(rows),
        "seconds_vs_calls": plots.seconds_vs_calls(rows),
        "samples": plots.samples(_every_setting(run, pictures)),
        "same_seeds": plots.same_seeds(_same_seeds(run, pictures)),
        "least_and_most": plots.same_seeds([(label, _ends(cells)) for label, cells in _same_seeds(run, pictures, 2)]),
    }
    if any("consistency" in row for row in rows.values()):
        figures["consistency"] = plots.consistency(rows)
    for name, formats in figures.items():
        for kind, data in formats.items():
            run.storage.write(run.paths.report(f"{name}.{kind}"), data)
    run.storage.write(run.paths.report(PAGE), page.to_html([Part(run, rows, lines, pictures)], said))
    out, paths = run.config.out.rstrip("/"), run.paths
    below = "\n\n".join(["\n".join(said), "\n".join(lines)])
    return f"{table.to_text(rows)}\n\n{below}\nFiles: {out}/{paths.metrics}, {out}/{paths.report()}"


def write_page(
    runs: list[Run],
    price_per_hour: float | None = None,
    seen: dict[str, Pixels] | None = None,
    studies: Sequence[Shown] = (),
) -> str:
    """Write the page of one or several outputs, whole or half done, into the first, and return its URL.

    Args:
        runs: the outputs, as `saved_run` reads them.
        price_per_hour: see `page.to_html`.
        seen: slug of a setting → its first images, for the page of one output that is written again and again: those
            that are in it are not read again, and others are added.
        studies: see `page.to_html`.

    """
    parts, said = [], []
    for run in runs:
        known = {} if seen is None else seen
        for setting in run.settings:
            # what is not drawn yet, or damaged, is a blank cell; jobs/verify.py says why
            with contextlib.suppress(DamagedFileError):
                known[setting.slug] = known[setting.slug] if setting.slug in known else _first_images(run, setting)
        pictures = {setting: known[setting.slug] for setting in run.settings if setting.slug in known}
        rows = _with_consistency(run, run.metrics())
        parts.append(Part(run, _compared(run, rows), caption(run, rows) if rows else [], pictures))
        name = f"{run.config.out.rstrip('/')}: " if len(runs) > 1 else ""
        said += [name + text for text in _conclusions(run, rows)]
    first = runs[0]
    first.storage.write(first.paths.report(PAGE), page.to_html(parts, said, price_per_hour, studies))
    return f"{first.config.out.rstrip('/')}/{first.paths.report(PAGE)}"


def caption(run: Run, rows: Rows) -> list[str]:
    """Return lines on what was measured, how it differs from the preset, and why it is not set beside the paper's."""
    config, measurement = run.config, run.measurement
    first = next(iter(rows.values()))
    extractor, reference = measurement.extractor, first["reference"]
    of = f" ({reference['num_images']:,} images)" if "num_images" in reference else " (statistics alone)"
    lines = [
        f"{config.num_images:,} images a setting, {_EMA[run.model.ema]}, {config.network}; "
        f"features of {extractor.name}, reference {measurement.reference.spec}{of}. "
        "FID falls with the number of images: compare only at the same number."
    ]
    if not has_logits(extractor.name):
        withdrawn = "; the IS that an earlier release wrote was made of features, and was none"
        earlier = withdrawn if any(map(had_false_is, rows.values())) else ""
        lines.append(f"{_needing('logits')} logits, and {extractor.name} has features alone{earlier}.")
    if measurement.reference.kind == "statistics":
        lines.append(f"{_needing('reference features')} features of the reference; it has statistics alone.")
    if converted := reference.get("converted"):
        lines.append(f"Images of the reference: {changes_text(converted)}.")
    lines += [f"{note}." for note in run.notes]
    if config.preset not in EXPERIMENTS:
        return lines
    measured = {"extractor": (extractor.name,), "reference": measurement.reference.spec}
    changed = config.model_copy(update=measured).overridden()
    if changed := changed | ({"extractor": extractor.name} if "extractor" in changed else {}):
        lines.append(f"Other than the preset {config.preset}: {', '.join(f'{k} {v}' for k, v in changed.items())}.")
    source = EXPERIMENTS[config.preset].source
    if reasons := differences(run, rows):
        lines.append(f"Not set beside {source}: {'; '.join(reasons)}.")
    else:
        lines.append(f"paper: {source}; another training run's weights would differ by more than noise.")
    return lines


def _conclusions(run: Run, rows: Rows) -> list[str]:
    """Return the verdict and the line on time as sentences; a label is the same, however much is measured."""
    methods = [setting.method for setting in run.settings]
    return to_lines(verdict(rows), labels(methods)) + to_line(proportions(rows), labels(methods, short=True))


def _needing(need: Need) -> str:
    titles = [metric.title for metric in METRICS.values() if need in metric.needs]
    return f"{listed(titles)} need{'s' if len(titles) == 1 else ''}"


def _compared(run: Run, rows: Rows) -> Rows:
    """Return the rows with the published numbers beside them if these may be compared; else the same rows."""
    if not rows or run.config.preset not in EXPERIMENTS or differences(run, rows):
        return rows
    return {setting: row | _beside(run, setting) for setting, row in rows.items()}


def _beside(run: Run, setting: Setting) -> dict[str, Any]:
    beside = {"fid_paper": paper_fid(EXPERIMENTS[run.config.preset], setting)}
    return beside | ({"fid_published": published_fid(setting)} if run.config.preset == "cifar10" else {})


def _with_consistency(run: Run, measured: Rows) -> dict[Setting, Row]:
    """Return the rows that are measured, with the distance from the sampler's largest S where that is known."""
    compared = read_consistency(run.storage, run.paths, run.settings)
    near = {s: {"consistency": one["score"], "consistency_se": one["score_se"]} for s, one in compared.items()}
    return {setting: row | near.get(setting, {}) for setting, row in measured.items()}


def _ends(cells: dict[int, Pixels]) -> dict[int, Pixels]:
    """Return the cells of the least and the largest S."""
    return {s: cells[s] for s in (min(cells), max(cells))}


def _first_images(run: Run, setting: Setting) -> Pixels:
    """Return a setting's first images. Raises DamagedFileError if its first file is missing or damaged."""
    end = min(run.config.shard_size, run.config.num_images)
    return read_first_images(run.storage, Shard(setting, 0, end), setting.fingerprint(run.identity), SAMPLES_A_ROW)


def _names(run: Run) -> dict[Setting, str]:
    """Return setting → label of its method."""
    names = labels((setting.method for setting in run.settings), short=True)
    return {setting: names[setting.method] for setting in run.settings}


def _every_setting(run: Run, pictures: dict[Setting, Pixels]) -> list[tuple[str, Pixels]]:
    names = _names(run)
    return [(f"{names[setting]}, S = {setting.steps}", pixels) for setting, pixels in pictures.items()]


def _same_seeds(run: Run, pictures: dict[Setting, Pixels], more: int = 1) -> list[tuple[str, dict[int, Pixels]]]:
    rows: dict[str, dict[int, Pixels]] = {}
    count = more * max(1, SEEDS_WIDTH // run.model.image_shape[2])
    names = _names(run)
    for setting, pixels in pictures.items():
        rows.setdefault(names[setting], {})[setting.steps] = pixels[:count]
    return [*rows.items()]
