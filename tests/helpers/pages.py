"""Outputs to make pages of, with made-up numbers and pictures, and a reader of pages."""

import io
from html.parser import HTMLParser

import numpy as np
from measured_rows import numbers
from PIL import Image

from pipeline.images.pixels import pixel_digest
from pipeline.reporting.studies import read_study
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.images import ImageFile, write_images
from pipeline.sweep.run import open_run
from pipeline.sweep.shards import plan
from pipeline.work.claim import claim

VOID = {"meta", "link", "img", "br"}
NUM_IMAGES = 40
ERRORS = ("fid_se", "is_se", "kid_se", "precision_se", "recall_se")


class Page(HTMLParser):
    """What is in a page: (tag, attributes) of every element, the text of every section, and tables as rows of text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.sections, self.rows, self.open = [], {}, [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        names = [attributes.get("aria-labelledby") for tag, attributes in self.open if tag == "section"]
        for name in names:
            self.sections[name] = self.sections.get(name, "") + data
        if any(tag in ("td", "th") for tag, _ in self.open):
            self.rows[-1][-1] += data

    def all(self, tag, **wanted):
        return [a for name, a in self.elements if name == tag and wanted.items() <= a.items()]

    def settings(self):
        """The rows of the tables of numbers, without the heads."""
        return [row for row in self.rows if len(row) >= 11 and row[0] != "sampler"]


def output(out, *, measured=None, without=(), changes=None, **config):
    """An output with pictures and rows of its first `measured` settings, all by default: its run.

    Args:
        out: its folder.
        measured: number of settings that are measured.
        without: names that the rows lack, as those of earlier releases.
        changes: values that every row has instead.
        config: fields of the config.

    """
    given = {"sampler": ("ddim", "unipc", "heun"), "steps": (7, 10, 30), "eta": None, "num_images": NUM_IMAGES}
    run = open_run(SweepConfig(out=str(out), **given | config))
    claim(run)
    for i, setting in enumerate(run.settings[:measured]):
        shard = plan(setting, NUM_IMAGES, run.config.shard_size)[0]
        pixels = np.random.default_rng(i).integers(0, 256, (shard.rows, 8, 8, 1), dtype=np.uint8)
        info = ImageFile(setting.fingerprint(run.identity), shard.rows, pixel_digest(pixels), 1.0, "cpu", "2")
        write_images(run.storage, shard, pixels, info, [0])
        row = (
            setting.describe() | {k: v for k, v in numbers(i, NUM_IMAGES).items() if k not in without} | (changes or {})
        )
        run.storage.write_json(run.paths.row(setting.slug), row)
    return run


def study(out):
    """What the page shows of a made-up study with a long line and a wide picture."""
    storage = Storage(str(out))
    storage.write_json("study.json", {"format": 1, "kind": "reconstruction"})
    storage.write("report/summary.txt", ("MSE of s3://user:secret@bucket/x 0.001 " * 20 + "\n").encode())
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 1600), dtype=np.uint8)).save(picture, "PNG")
    storage.write("report/figure.png", picture.getvalue())
    return read_study(str(out), None)


def read(run):
    return Page(run.storage.read(run.paths.report("index.html")).decode())
