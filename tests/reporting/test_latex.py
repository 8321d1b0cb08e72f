"""table.tex: it parses as tables of so many columns, and compiles where a LaTeX is installed."""

import shutil
import subprocess

import pytest
from measured_rows import by_setting
from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexMacroNode,
    LatexMathNode,
    LatexSpecialsNode,
    LatexWalker,
)

from pipeline.diffusion import samplers
from pipeline.reporting import table

GIVEN = [
    "ddim:eta=0.25",
    "ddim:eta=hat",
    *samplers.SAMPLERS,
    "unipc:order=3,end=zero",
    "heun:end=first",
    "dpmpp_2m:lower_order_final=always",
]


def row(text, steps, **more):
    sampler = samplers.make(*samplers.parse(text))
    return {
        "sampler": sampler.name,
        **sampler.options,
        "steps": steps,
        "spacing": sampler.spacing,
        "nfe": steps + (steps == 20),
        "num_images": 50,
        "fid": 4.04,
        "fid_se": 0.1234,
        "is_mean": 6.123,
        "is_std": 0.1,
        "is_se": 0.05,
        "images_per_second": 1234.5,
        "options": {"isc_splits": 10},
    } | more


ROWS = [row(text, steps) for text in GIVEN for steps in (10, 20)]
CAPTION = "50 images, 100 % of them; what_was_measured & how, η = 0, #1 and $."


@pytest.fixture(scope="module", params=["one sampler", "all samplers"])
def tex(request):
    rows = ROWS if request.param == "all samplers" else [r for r in ROWS if r["sampler"] == "ddim"]
    return table.to_latex(by_setting(rows), CAPTION)


def test_it_parses_as_tables_with_a_cell_in_each_column(tex):
    nodes, *_ = LatexWalker(tex, tolerant_parsing=False).get_latex_nodes()
    tables = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    assert len(tables) == 3
    for one in tables:
        assert one.environmentname == "tabular"
        lines, cells = [], 1
        for node in one.nodelist:
            if isinstance(node, LatexSpecialsNode) and node.specials_chars == "&":
                cells += 1
            elif isinstance(node, LatexMacroNode) and node.macroname == "\\":
                lines.append(cells)
                cells = 1
        assert lines[0] == 2  # the second spans all columns of S
        assert {*lines[1:]} == {3}
        assert len(lines) > 3


def test_text_outside_of_formulas_has_nothing_that_latex_reads_otherwise(tex):
    nodes, *_ = LatexWalker(tex, tolerant_parsing=False).get_latex_nodes()
    inside = [node for table in nodes if isinstance(table, LatexEnvironmentNode) for node in table.nodelist]
    text = "".join(node.chars for node in inside if isinstance(node, LatexCharsNode))
    assert not set("_^#$%~") & set(text)
    assert {character for character in text if ord(character) > 127} <= {"±"}
    assert any(isinstance(node, LatexMathNode) for node in inside)


def test_it_compiles(tex, tmp_path):
    if (latex := shutil.which("pdflatex")) is None:
        pytest.skip("no LaTeX is installed")
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\n\\end{document}\n" % tex  # noqa: UP031
    (tmp_path / "page.tex").write_text(text)
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
