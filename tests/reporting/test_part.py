"""What the page shows of one output: the pictures of its settings with calls and time, addresses without secrets."""

import base64
import io

import numpy as np
from pages import output, read
from PIL import Image

from pipeline.reporting.part import public
from pipeline.reporting.report import write_page

NAMES = {"ddim": "DDIM η = 0.0, linear", "unipc": "UniPC-2, time-quadratic", "heun": "Heun, karras"}


def test_pictures_are_those_of_the_seeds(tmp_path):
    """In the cell of their sampler and budget, with their calls and their time below them."""
    run = output(tmp_path / "out")
    write_page([run])
    page = read(run)
    pictures = [a for a in page.all("img") if a.get("src", "").startswith("data:image/png;base64,")]
    about = [a["data-about"] for a in page.all("button") if "data-about" in a]
    cells = [row for row in page.rows if row[0] in NAMES.values() and len(row) == 4]
    rows = [*run.metrics().values()]
    assert len(pictures) == len(about) == len(rows) == 9
    assert [row[0] for row in cells] == [*NAMES.values()]
    assert [row for row in page.rows if "S = 7" in row] == [["", "S = 7", "S = 10", "S = 30"]]
    for i, (found, says, row) in enumerate(zip(pictures, about, rows, strict=True)):
        assert found["alt"] == f"{NAMES[row['sampler']]}, S = {row['steps']}: images of seeds 0 to 3"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["src"].partition(",")[2]))))
        pixels = np.random.default_rng(i).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
        assert picture.shape == (17, 17, 4)
        for k, (y, x) in enumerate([(0, 0), (0, 9), (9, 0), (9, 9)]):
            assert (picture[y : y + 8, x : x + 8, :3] == pixels[k]).all()
        below = f"{row['nfe']} calls", f"{1000 / row['images_per_second']:.3g} ms"
        assert cells[i // 3][1 + i % 3] == "".join(below)
        fid = f"{row['fid']:.{3 if row['fid'] < 1 else 2}f} ± {row['fid_se']:.{3 if row['fid'] < 1 else 2}f}"
        assert says == f"{below[0]}, {below[1]} an image, FID {fid}"


def test_urls_lose_what_may_be_secret():
    assert public("s3://bucket/a b") == "s3://bucket/a b"
    assert public("ftp://me:pa@ss@host/x?signature=abc, and a@b") == "ftp://host/x, and a@b"
    assert public("/home/me/run?1") == "/home/me/run?1"
