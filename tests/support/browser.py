"""A headless Chromium, and what it shows of Dagster's pages."""

import os
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
# Debian's. Playwright's own downloads are for machines that reach its servers.
CHROMIUM = Path(os.environ.get("CHROMIUM") or "/usr/bin/chromium")
# It speaks to nobody but the server under test; a test's user may be root, for whom Chromium has no sandbox.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1400, 900
WAIT_MILLISECONDS = 20_000
# An edge ends this much before the node that it points at, where its arrow is.
ARROW = 10
# So many clicks let the shop's graph be seen as a whole.
ZOOM_OUT = 3

# The places of nodes and the paths between them, both in the coordinates of the drawing.
DRAWING = """
(drawing, names) => ({
    nodes: [...drawing.querySelectorAll('foreignObject')].flatMap(node => {
        const name = [...node.querySelectorAll('*')].map(part => part.textContent).find(text => names.includes(text));
        const place = ['x', 'y', 'width', 'height'].map(side => Number(node.getAttribute(side)));
        return name ? [[name, ...place]] : [];
    }),
    paths: [...drawing.querySelectorAll('path[marker-end]')].map(path => path.getAttribute('d')),
})
"""


class Node(NamedTuple):
    """An asset where it is drawn."""

    name: str
    x: float
    y: float
    width: float
    height: float

    def is_left_by(self, x: float, y: float) -> bool:
        """Whether a path begins at its right side."""
        return abs(x - self.x - self.width) <= ARROW and self.y <= y <= self.y + self.height

    def is_reached_by(self, x: float, y: float) -> bool:
        """Whether a path ends at its left side."""
        return abs(self.x - x) <= ARROW and self.y <= y <= self.y + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class DagsterPages:
    """Dagster's pages in a browser."""

    page: Page
    url: str

    def lineage(self) -> Locator:
        """The graph of all assets, groups opened, as wide as the window lets it be."""
        self.page.goto(f"{self.url}/asset-groups")
        self._nodes().first.wait_for()
        self.page.keyboard.press("Alt+KeyE")
        self.page.wait_for_url("**expanded=**")
        self.page.reload()  # which fits the opened groups into the window, across
        zoom_out = self.page.get_by_label("zoom_out").first
        zoom_out.click(click_count=ZOOM_OUT)
        return self.page.locator("svg", has=self._nodes().first).first

    def node(self, name: str) -> Locator:
        """An asset in a graph."""
        return self._nodes().filter(has=self.page.get_by_text(name, exact=True))

    def drawn_in(self, colour: str, name: str) -> Locator:
        """The box of an asset in the graph of all, if it has this colour: red where a check has failed, else green."""
        return self.node(name).locator(f"[style*='accent-{colour}']")

    def _nodes(self) -> Locator:
        return self.page.locator("foreignObject")

    def edges_drawn(self, names: Collection[str]) -> Mapping[str, set[str]]:
        """For each of these assets those that an arrow comes from, told from where arrows begin and end."""
        graph = self.lineage()
        for name in names:
            graph.get_by_text(name, exact=True).first.wait_for()
        drawn = graph.evaluate(DRAWING, list(names))
        nodes = [Node(*node) for node in drawn["nodes"]]
        assert sorted(node.name for node in nodes) == sorted(names)
        edges: dict[str, set[str]] = {name: set() for name in names}
        for path in drawn["paths"]:
            x, y, *_, end_x, end_y = (float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path))
            (begin,) = (node for node in nodes if node.is_left_by(x, y))
            (end,) = (node for node in nodes if node.is_reached_by(end_x, end_y))
            edges[end.name].add(begin.name)
        return edges

    def open_asset(self, name: str, view: str = "overview") -> None:
        """One of the tabs of an asset's page."""
        self.page.goto(f"{self.url}/assets/{name}?view={view}")
        self.page.get_by_role("tab", name=view.capitalize()).wait_for()

    def metadata(self, key: str) -> Locator:
        """The value that an asset's page shows of one entry of its metadata."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(key, exact=True)).locator("td").nth(2)

    def table(self, header: str, *, within: Locator | None = None) -> Sequence[Sequence[str]]:
        """The rows of the table that has this header."""
        found = (within or self.page.locator("body")).locator("table", has=self.page.get_by_text(header, exact=True))
        found.last.wait_for()
        rows = found.last.locator("tbody tr").all()
        return [[cell.inner_text().strip() for cell in row.locator("td").all()] for row in rows]

    def save(self, name: str) -> None:
        """Keep what the window shows as a picture."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")


@contextmanager
def dagster_pages(url: str) -> Generator[DagsterPages]:
    """Dagster's pages in a new browser, its greeting put away and its menu folded.

    Args:
        url: of a server that nobody has looked at yet.
    """
    _find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(WAIT_MILLISECONDS)
        expect.set_options(timeout=WAIT_MILLISECONDS)
        page.goto(url)
        page.get_by_role("button", name="Skip").click()
        page.get_by_text("Hide navigation").click()
        try:
            yield DagsterPages(page=page, url=url)
        finally:
            browser.close()


def _find_chromium() -> None:
    """Fail where there is no browser; leave the tests out only where a person has said so."""
    if CHROMIUM.exists():
        return
    if os.environ.get("NO_BROWSER"):
        pytest.skip("NO_BROWSER is set, and there is no Chromium")
    pytest.fail(
        f"These tests need Chromium, and '{CHROMIUM}' does not exist. On Debian: apt-get install chromium. "
        "Elsewhere name one, CHROMIUM=/path/to/chromium, or leave them out: NO_BROWSER=1.",
        pytrace=False,
    )
