"""A feature file, with logits and without, and those that earlier releases wrote without having logits."""

import hashlib

import pytest
import torch

from pipeline.evaluation.features import as_column, read_features, write_features
from pipeline.storage.store import DamagedFileError, Storage

FEATURES, LOGITS = torch.randn(7, 5), torch.randn(7, 3)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def columns(storage):
    return storage.read_table("f.parquet", lambda table, metadata: (table, metadata))


@pytest.mark.parametrize("logits", [LOGITS, None])
def test_what_is_written_is_read(storage, logits):
    write_features(storage, "f.parquet", 4, FEATURES, logits, {"name": 1})
    made = read_features(storage, "f.parquet")
    assert made.seeds == [*range(4, 11)]
    assert torch.equal(made.features, FEATURES)
    assert made.logits is None if logits is None else torch.equal(made.logits, logits)
    table, metadata = columns(storage)
    layers = [layer.numpy().tobytes() for layer in (FEATURES, logits) if layer is not None]
    assert (metadata["name"], metadata["features_digest"]) == (1, hashlib.sha256(b"".join(layers)).hexdigest())
    assert table.column_names == ["seed", "features", "logits"][: 1 + len(layers)]


def test_features_again_are_no_logits(storage):
    write_features(storage, "f.parquet", 0, FEATURES, FEATURES.clone(), {})
    made = read_features(storage, "f.parquet")
    assert torch.equal(made.features, FEATURES)
    assert made.logits is None


def test_logits_that_are_taken_away_or_put_in_are_damage(storage):
    write_features(storage, "f.parquet", 0, FEATURES, LOGITS, {})
    table, metadata = columns(storage)
    storage.write_table("f.parquet", table.drop_columns("logits"), metadata, 1000)
    with pytest.raises(DamagedFileError, match="do not match their digest"):
        read_features(storage, "f.parquet")
    write_features(storage, "f.parquet", 0, FEATURES, None, {})
    table, metadata = columns(storage)
    storage.write_table("f.parquet", table.append_column("logits", as_column(FEATURES)), metadata, 1000)
    with pytest.raises(DamagedFileError, match="do not match their digest"):
        read_features(storage, "f.parquet")
