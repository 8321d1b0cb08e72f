"""The page in Chromium: on a phone and a desktop, light and dark, by mouse and by keyboard."""

import json
import os
import shutil
from pathlib import Path

import pytest
from figures import unsaved
from pages import output, study

from pipeline.reporting.report import publish, write_page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
SEEN = [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "light"), (DESKTOP, "dark")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pages: of a whole run, of half a one, and of two outputs side by side with a study."""
    base = tmp_path_factory.mktemp("pages")
    whole, half = output(base / "whole"), output(base / "half", measured=4)
    with pytest.MonkeyPatch.context() as patch:
        unsaved(patch)
        publish(whole)
    write_page([half])
    both = output(base / "both")
    write_page([both, half], studies=[study(base / "study")])
    return {name: base / name / "report" / "index.html" for name in ("whole", "half", "both")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with an empty profile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright is installed: pip install playwright")
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True, args=[*ARGUMENTS]
        )
        yield context
        context.close()


@pytest.fixture
def see(browser, files):
    """Open a page: see(name, size, scheme). In the end there was no error and no request but for the file."""
    pages, errors, requests = [], [], []

    def open_page(name="whole", size=DESKTOP, scheme="light"):
        page = browser.new_page()
        page.set_default_timeout(10_000)
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else 0)
        page.on("request", lambda request: requests.append(request.url))
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(files[name].as_uri())
        return page

    yield open_page
    loaded = [url for url in requests if not url.startswith("data:")]
    for page in pages:
        page.close()
    assert errors == []
    assert set(loaded) <= {file.as_uri() for file in files.values()}
    assert len(loaded) == len(pages)


def column(page, index):
    return page.eval_on_selector_all("table.numbers tbody tr", f"rows => rows.map(r => r.cells[{index}].dataset.v)")


def sorted_by(page):
    return page.eval_on_selector_all(
        "table.numbers thead th", "all => all.map((h, i) => [i, h.ariaSort]).filter(([, by]) => by)"
    )


@pytest.mark.parametrize("name", ["whole", "half", "both"])
@pytest.mark.parametrize(("size", "scheme"), SEEN)
def test_it_fits_and_is_accessible(see, name, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    page = see(name, size, scheme)
    width = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert width == [size["width"]] * 2
    assert page.locator(".chart svg:visible").count() == 4
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(json.loads(f"[{colour[4:-1]}]")) < 300) == (scheme == "dark")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_table_sorts_by_mouse_and_keyboard(see):
    page = see()
    assert sorted_by(page) == [[4, "ascending"]]
    heads = page.locator("table.numbers thead button")
    fid = [float(value) for value in column(page, 4)]
    assert fid == sorted(fid)
    heads.nth(4).click()
    assert (sorted_by(page), column(page, 4)) == ([[4, "descending"]], [str(value) for value in reversed(fid)])
    heads.nth(10).focus()
    for key, order, falling in (("Enter", "descending", True), ("Space", "ascending", False)):
        page.keyboard.press(key)
        speeds = [float(value) for value in column(page, 10)]
        assert (sorted_by(page), speeds) == ([[10, order]], sorted(speeds, reverse=falling))
    heads.nth(2).click()
    assert [int(value) for value in column(page, 2)] == [7, 7, 7, 10, 10, 10, 30, 30, 30]  # as numbers, not text
    heads.nth(0).click()
    names = page.locator("table.numbers tbody th").all_text_contents()
    assert names == ["DDIM η = 0.0"] * 3 + ["Heun"] * 3 + ["UniPC-2"] * 3


def test_what_is_not_measured_comes_last(see):
    page = see("half")
    for _ in range(2):
        page.locator("table.numbers thead button").nth(4).click()
        texts = page.locator("table.numbers tbody tr").all_text_contents()
        assert ["not measured yet" in text for text in texts] == [False] * 4 + [True] * 5


def test_the_whole_table_can_be_reached_by_keyboard(see):
    page = see(size=PHONE)
    table = page.locator(".scroll").first
    assert table.get_attribute("tabindex") == "0"  # Chromium focuses what scrolls by itself, others do not
    table.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.scroll').scrollLeft > 0")


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_a_picture_enlarges_and_closes(see, size):
    page = see(size=size)
    button = page.locator(".seeds button").nth(4)
    small = button.bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    assert dialog.locator("img").bounding_box()["width"] > 2 * small
    assert dialog.locator("img").get_attribute("alt") == button.locator("img").get_attribute("alt")
    assert "UniPC-2, time-quadratic, S = 10" in dialog.text_content()
    assert "10 calls" in dialog.text_content()
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size["width"]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("it => it === document.activeElement")
    button.click()
    assert dialog.is_visible()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_a_mark_says_its_setting(see, size):
    page = see(size=size)
    chart = page.locator(".chart").first
    says = page.locator(".readout").first
    hint = says.text_content()
    mark = chart.locator("svg:visible [data-name]").nth(3)
    mark.locator("path").last.hover()
    assert says.text_content() == mark.get_attribute("data-name")
    chart.focus()
    page.keyboard.press("Home")
    names = [one.get_attribute("data-name") for one in chart.locator("svg:visible [data-name]").all()]
    assert (len(names), says.text_content()) == (9, names[0])
    page.keyboard.press("ArrowRight")
    assert says.text_content() == names[1]
    assert chart.locator("svg:visible .ring").is_visible()
    page.keyboard.press("Escape")
    assert says.text_content() == hint


def test_everything_works_without_a_mouse(see):
    """By Tab alone: charts, heads of the table, the table, pictures and links, each with a visible focus."""
    page = see()
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const it = document.activeElement, style = getComputedStyle(it);"
                "return [it.className || it.closest('table')?.className || it.tagName, style.outlineStyle] })()"
            )
        )
    kinds = {kind for kind, _ in reached}
    assert {"chart", "scroll", "numbers", "seeds", "SUMMARY", "A"} <= kinds
    assert {outline for kind, outline in reached if kind != "BODY"} <= {"solid", "auto"}


def test_links_lead_to_files(see, files):
    page = see()
    links = page.eval_on_selector_all("a", "all => all.map(a => a.href)")
    assert len(links) == 4
    for link in links:
        assert Path(link.removeprefix("file://")).is_file()
    assert files["whole"].stat().st_size < 1_000_000
