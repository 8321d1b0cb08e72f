"""The files of report/: tables, plots and the picture of samples."""

from pipeline.generation.images import read_images
from pipeline.generation.shards import Shard
from pipeline.grid import Setting
from pipeline.reporting import plots, table
from pipeline.storage import Storage

SAMPLES_A_ROW = 16


def caption(rows: list[table.Row], extractor: str, reference: str) -> str:
    """Return one line that says what was measured."""
    return (
        f"{rows[0]['num_images']:,} images a setting, features of {extractor}, reference {reference}. "
        "FID falls with the number of images: compare only at the same number."
    )


def write_report(
    storage: Storage, rows: list[table.Row], settings: list[Setting], shard_end: int, fingerprint: str, caption: str
) -> None:
    """Write table.md, table.tex, table.csv, fid_vs_steps.png, fid_vs_seconds.png and samples.png.

    Args:
        storage: the output of the run.
        rows: of metrics.json.
        settings: in the order of `rows`.
        shard_end: end of each setting's first shard, which samples.png shows the start of.
        fingerprint: the run's.
        caption: first line of the tables.

    """
    storage.write("report/table.md", table.to_markdown(rows, caption).encode())
    storage.write("report/table.tex", table.to_latex(rows, caption).encode())
    storage.write("report/table.csv", table.to_csv(rows).encode())
    storage.write("report/fid_vs_steps.png", plots.fid_vs_steps(rows))
    storage.write("report/fid_vs_seconds.png", plots.fid_vs_seconds(rows))
    pictures = []
    for setting in settings:
        pixels, _ = read_images(storage, Shard(setting, 0, shard_end), fingerprint)
        eta = r"$\hat{\sigma}$" if setting.eta == "hat" else rf"$\eta$={setting.eta_text}"
        spacing = "" if setting.spacing == settings[0].spacing else f" {setting.spacing}"
        pictures.append((f"{eta} S={setting.steps}{spacing}", pixels[:SAMPLES_A_ROW]))
    storage.write("report/samples.png", plots.samples(pictures))
