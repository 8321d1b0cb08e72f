"""What the page shows of a study: its kind, its text and each picture under its own name, without secrets."""

import base64

import pytest
from pages import Page, output

from pipeline import UserError
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.studies import read_study
from pipeline.storage.store import Storage


def made(folder, names=("lines.png", "grid.png")):
    storage = Storage(str(folder))
    storage.write_json("study.json", {"format": 1, "kind": "interpolation"})
    storage.write("report/summary.txt", b"smooth, of s3://user:secret@bucket/x?token=secret")
    for name in names:
        storage.write(f"report/{name}", f"bytes of {name}".encode())
    return storage


def test_pictures_are_under_their_names(tmp_path):
    made(tmp_path, ("lines.png", "lines.pdf", "grid.png"))
    found = read_study(f"{tmp_path}/", None)
    assert (found.output, found.kind, found.text) == (str(tmp_path), "interpolation", "smooth, of s3://bucket/x")
    assert [(name, base64.b64decode(png)) for name, png in found.pictures] == [
        ("grid.png", b"bytes of grid.png"),
        ("lines.png", b"bytes of lines.png"),
    ]


def test_the_page_has_them_with_their_names(tmp_path):
    made(tmp_path / "study")
    run = output(tmp_path / "out", measured=0, sampler=("ddim",), steps=(7,))
    shown = read_study(str(tmp_path / "study"), None)
    page = Page(to_html([Part(run, {}, [], {})], [], studies=[shown]).decode())
    assert {
        a["alt"]: base64.b64decode(a["src"].partition(",")[2]) for a in page.all("img", **{"class": "figure-of-study"})
    } == {
        "interpolation, grid.png": b"bytes of grid.png",
        "interpolation, lines.png": b"bytes of lines.png",
    }
    assert f"interpolation: {tmp_path}/study" in page.sections["studies"]
    assert "smooth, of s3://bucket/x" in page.sections["studies"]


def test_what_is_no_study_is_none_and_a_damaged_one_is_one_line(tmp_path):
    assert read_study(str(tmp_path / "nothing"), None) is None
    made(tmp_path).write("study.json", b"{")
    with pytest.raises(UserError, match=f"^--out {tmp_path}: "):
        read_study(str(tmp_path), None)
