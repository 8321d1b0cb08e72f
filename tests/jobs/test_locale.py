"""A sweep where the locale's encoding is ASCII: it ends as anywhere, and prints what ASCII has not as escapes."""

from places import draw_and_measure
from processes import ROOT, run


def test_a_sweep_in_the_c_locale(tmp_path):
    draw_and_measure(tmp_path, steps=(2,), eta=(0.0,), num_images=4, batch_size=4)
    grid = ["--steps", "2", "--eta", "0", "--num-images", "4", "--batch-size", "4", "--shard-size", "20"]
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNDEFAULTENCODING": "1"}
    status, out, err = run("sweep", *grid, "--out", tmp_path, **ascii_alone)
    assert (status, "nothing to do" in err) == (0, True), err
    assert "\\u03b7 = 0.0" in out
    # where Python warns of text that has the locale's encoding
    ours = (f"{ROOT}/pipeline/", f"{ROOT}/jobs/")  # and not an environment's libraries below the checkout
    assert not [line for line in err.splitlines() if "EncodingWarning" in line and line.startswith(ours)], err
