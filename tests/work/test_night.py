"""What a night draws: the baseline's run, but for the model or the config that is given for it."""

import json

from pipeline.regression.baseline import EMBEDDED, open_baseline
from pipeline.sweep.config import SweepConfig
from pipeline.work.night import open_night


def test_a_night_is_the_baselines_run_in_a_folder_of_its_own(tmp_path):
    night, again = (open_night(str(tmp_path), EMBEDDED, None, None, None) for _ in range(2))
    config = open_baseline(EMBEDDED, None).config
    assert night.run.config == config.model_copy(update={"out": f"{tmp_path}/runs/{night.name}"})
    assert night.run.identity["batch_size"] == config.batch_size
    assert night.name != again.name
    assert [*tmp_path.iterdir()] == []


def test_another_model_is_drawn_with(tmp_path, tiny_model):
    night = open_night(str(tmp_path), EMBEDDED, None, tiny_model, None)
    assert (night.run.config.model, night.run.identity["model"]) == (tiny_model, night.run.model.digest)
    assert night.run.model.digest != night.baseline.identity["model"]


def test_a_config_in_its_place_keeps_its_batches(tmp_path):
    """Fewer images than a batch are drawn in batches of the same size, whose pixels are the same."""
    own = SweepConfig(steps=(3,), eta=(0.0,), num_images=20, shard_size=10, batch_size=64)
    (tmp_path / "sweep.json").write_text(json.dumps({"config": own.model_dump()}))
    night = open_night(str(tmp_path / "nights"), EMBEDDED, str(tmp_path / "sweep.json"), None, None)
    assert night.run.config == own.model_copy(update={"out": night.run.out})
    assert night.run.identity["batch_size"] == 64
