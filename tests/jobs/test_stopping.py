"""How a sweep says that it ended: finished, failed and stopped are told apart by status and by result.json."""

import json
import signal

import psutil
from drawn import images, wait_for_images
from here import run_here
from processes import assert_ended, communicate, start

GRID = ["--steps", "50", "--eta", "0", "1", "--num-images", "450", "--batch-size", "50", "--shard-size", "50"]


def result(out):
    return json.loads((out / "result.json").read_text())


def test_signals_stop_a_sweep_and_its_family_in_order(tmp_path):
    out = tmp_path / "out"
    process = start("sweep", *GRID, "--out", out)
    wait_for_images(process, out, 2)
    assert result(out)["state"] == "running"
    family = psutil.Process(process.pid).children(recursive=True)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):  # to the driver alone, as a service manager may
        process.send_signal(number)
    _, err = communicate(process)
    assert process.returncode == 130
    assert_ended(family)
    assert not list(out.rglob("*.tmp"))
    assert "Traceback" not in err
    stopped = result(out)
    assert (stopped["state"], stopped["failures"]) == ("stopped", {})
    assert f"stopped: 2 settings, 900 images ({stopped['images_drawn']} drawn now), 0 failures" in err
    # every shard that was counted is there; of those in flight a worker may have finished one
    assert stopped["images_drawn"] // 50 <= len(images(out)) < 18
    assert stopped["cpu_hours"] > 0
    there = len(images(out))

    status, _, err = run_here("sweep", *GRID, "--out", out)
    assert status == 0, err
    assert f"finished: 2 settings, 900 images ({900 - 50 * there} drawn now), 0 failures" in err.splitlines()[-1]
    assert result(out)["state"] == "finished"
    assert result(out)["cpu_hours"] > stopped["cpu_hours"]


def test_a_failed_sweep_names_its_shards_in_the_result(tmp_path):
    out = tmp_path / "out"
    status, _, err = run_here("sweep", *GRID, "--steps", "5", "--out", out)
    assert status == 0, err
    image = sorted(out.glob("images/*eta1-*/*.parquet"))[3]
    image.unlink()
    image.mkdir()  # a folder where the file has to go
    status, text, err = run_here("sweep", *GRID, "--steps", "5", "--out", out)
    assert (status, "FID" in text) == (1, False)
    name = f"ddim-S5-eta1-linear/{image.name}"
    failed = result(out)
    assert (failed["state"], list(failed["failures"])) == ("failed", [name])
    assert "IsADirectoryError" in failed["failures"][name]
    assert failed["stages"]["drawing"]["ddim-S5-eta1-linear"]["failed"] == 1
    assert "failed: 2 settings, 900 images (0 drawn now), 1 failures" in err
