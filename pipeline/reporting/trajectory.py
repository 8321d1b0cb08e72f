"""The report of trajectories: for each setting a strip of x_t and pred_x0 along the walks of its seeds."""

from pipeline.reporting.plots import strip
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.layout import REPORT
from pipeline.sweep.method import labels
from pipeline.sweep.study import Study


def publish(study: Study, files: dict[Setting, list[Row]]) -> str:
    """Write a figure for each setting, and return the text for the terminal.

    Args:
        study: the study.
        files: setting → rows of its file, with seed, calls, x_t and pred_x0, seed by seed.

    """
    lines, names = [], labels(setting.method for setting in files)
    for setting, rows in files.items():
        seeds = list(dict.fromkeys(row["seed"] for row in rows))
        calls = [row["calls"] for row in rows if row["seed"] == seeds[0]]
        strips = [
            (f"{what}, seed {seed}", [row[key] for row in rows if row["seed"] == seed])
            for seed in seeds
            for key, what in (("x_t", "$x_t$"), ("pred_x0", r"pred $x_0$"))
        ]
        name = f"{names[setting.method]}, S = {setting.steps}"
        title = f"{name}: after so many network calls"
        for kind, data in strip(strips, [f"{count}" for count in calls], title).items():
            study.storage.write(f"{REPORT}/{setting.slug}.{kind}", data)
        lines.append(f"{name}: after {', '.join(map(str, calls))} calls")
    return "\n".join([*lines, f"Files: {study.out.rstrip('/')}/{REPORT}/"])
