"""The history: one Parquet file per night with one row per setting, never written again."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.evaluation.metrics import beside_fid, compared_metrics
from pipeline.evaluation.metrics.base import Metric
from pipeline.regression.gate import Verdict
from pipeline.storage.store import DamagedFileError, Storage

FOLDER = "history"

_LATER = ("sampler", "network_share", "baseline_network_share", "share_limit")


def schema(rows: Sequence[Mapping[str, Any]] = ()) -> pa.Schema:
    """Return the columns of a night's file, which has these rows.

    Each metric that is compared has its value, by the name of its key, and its standard error; both are null where it
    is not measured, as IS for an extractor without logits. The metadata of the value's field has `title`, with an arrow
    to where it is better, and `decimals`, with which a column of all the night's values and errors reads well: the most
    that the metric gives one of these values. Files of earlier releases, and columns without a value, have no
    `decimals`. `delta_fid` is without the excess that few images give, which nights of earlier releases left in it;
    `low` and `high` are its interval, null for too few images. `fid_limit` is the FID above which a change beyond noise
    fails the gate. `share_limit` is the network's share of the drawing below which it fails, or null if speed is not
    compared.
    """
    return pa.schema(
        [
            ("date", pa.timestamp("s", tz="UTC")),
            *((name, pa.string()) for name in ("night", "setting", "sampler", "eta", "spacing")),
            *((name, pa.int64()) for name in ("steps", "nfe", "num_images", "differing")),
            *(pa.field(m.key, pa.float64(), metadata=_metadata(m, rows)) for m in compared_metrics()),
            *((name, pa.float64()) for name in _errors()),
            *((name, pa.float64()) for name in ("baseline_fid", "delta_fid", "low", "high", "fid_limit")),
            *((name, pa.float64()) for name in ("images_per_second", "baseline_images_per_second")),
            *((name, pa.float64()) for name in ("network_share", "baseline_network_share", "share_limit")),
            *((name, pa.string()) for name in ("quality", "speed", "device", "torch", "model")),
        ]
    )


def rows(verdicts: list[Verdict], night: str, date: datetime, torch: str, model: str) -> list[dict[str, Any]]:
    """Return a night's rows by `schema`; `torch` is the release of torch and `model` the digest of the network."""
    result = []
    for verdict in verdicts:
        comparison, limits = verdict.comparison, verdict.limits
        setting, row = comparison.setting, comparison.row
        before, tonight = comparison.speeds
        low, high = comparison.fid.interval or (None, None)
        result.append(
            {
                "date": date,
                "night": night,
                "setting": setting.slug,
                "sampler": setting.sampler.label,
                "eta": setting.sampler.slug.removeprefix("eta") if "eta" in setting.sampler.options else None,
                "spacing": setting.spacing,
                "steps": setting.steps,
                "nfe": setting.nfe,
                "differing": len(comparison.differing),
                **{name: row[name] for name in ("num_images", *(m.key for m in compared_metrics()), *_errors())},
                "baseline_fid": comparison.fid.baseline,
                "delta_fid": comparison.fid.difference.value,
                "low": low,
                "high": high,
                "fid_limit": (1 + limits.fid) * comparison.fid.baseline,
                "images_per_second": tonight.images_per_second,
                "baseline_images_per_second": before.images_per_second,
                "network_share": tonight.network_share,
                "baseline_network_share": before.network_share,
                "share_limit": verdict.share_limit,
                "quality": verdict.quality,
                "speed": verdict.speed,
                "device": "/".join(tonight.devices),
                "torch": torch,
                "model": model,
            }
        )
    return result


def _metadata(metric: Metric, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    decimals = [metric.decimals(row[metric.key]) for row in rows if row[metric.key] is not None]
    return {"title": metric.heading} | ({"decimals": str(max(decimals))} if decimals else {})


def _errors() -> list[str]:
    return [metric.se for metric in compared_metrics() if metric.se is not None]


def append(storage: Storage, night: str, rows: list[dict[str, Any]]) -> None:
    """Commit the file of a night."""
    storage.write_table(f"{FOLDER}/{night}.parquet", pa.Table.from_pylist(rows, schema(rows)), {}, row_group_size=1000)


def read(storage: Storage) -> list[dict[str, Any]]:
    """Return the rows of all nights, oldest first.

    A file that is damaged or not a night's is left out and named on standard error: the answer does not need it.
    """
    rows: list[dict[str, Any]] = []
    for name in sorted(name for name in storage.ls(FOLDER) if name.endswith(".parquet")):
        try:
            rows += storage.read_table(f"{FOLDER}/{name}", lambda table, _: _rows(table))
        except DamagedFileError as error:
            print(f"left out of the trend: {error}", file=sys.stderr)
    return rows


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a night's file; columns that files of earlier releases have not are null."""
    columns = schema()
    later = [*_LATER, *(metric.key for metric in beside_fid()), *_errors()]
    for name in (name for name in later if name not in table.column_names):
        table = table.append_column(columns.field(name), pa.nulls(len(table), columns.field(name).type))
    rows: list[dict[str, Any]] = table.select(columns.names).to_pylist()
    return rows
