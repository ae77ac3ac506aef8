import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from relspec_core.planning.critical_path import critical_path
from relspec_core.runs.history import RunRecord, TaskOutcome
from relspec_core.runs.timeline import timeline

STARTED = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


class Tags(HTMLParser):
    """The tags of a page, as a browser finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.found.add(tag)


def ran(task: str, start: float, seconds: float, *upstream: str, worker: int = 1) -> TaskOutcome:
    return TaskOutcome(
        task=task,
        outcome="ran",
        reason="its plan changed",
        rows=1234,
        started_at=STARTED + timedelta(seconds=start),
        seconds=seconds,
        worker=worker,
        upstream=upstream,
    )


def run_of(*tasks: TaskOutcome, seconds: float | None = 10, workers: int = 2) -> RunRecord:
    return RunRecord(
        number=12,
        started_at=STARTED,
        ended_at=None if seconds is None else STARTED + timedelta(seconds=seconds),
        outcome="finished",
        pid=4,
        host="here",
        workers=workers,
        tasks=tasks,
    )


THREE = run_of(ran("a", 1, 2), ran("b", 1, 1, worker=2), ran("c", 3, 4, "a", "b"))


def drawing(page: str) -> ET.Element:
    """The SVG of a page, which is XML."""
    return ET.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])  # noqa: S314 - our own


def bars(page: str) -> list[tuple[str, list[str], float, float]]:
    """Of each bar the task in its tooltip, its classes, its left edge and its width; lanes first, then rows."""
    return [
        (
            str(bar.findtext("title")).split(":", maxsplit=1)[0],
            bar.attrib["class"].split(),
            float(bar.attrib["x"]),
            float(bar.attrib["width"]),
        )
        for bar in drawing(page).iter("rect")
    ]


def test_each_task_has_a_bar_on_its_workers_lane_and_one_in_its_own_row_both_as_long_as_it_took() -> None:
    found = bars(timeline(THREE))
    assert [name for name, *_ in found] == ["a", "c", "b", "a", "b", "c"]
    assert sorted(found[:3]) == sorted(found[3:])
    (_, _, left, width), (_, _, right, longest) = found[3], found[5]
    assert longest == pytest.approx(2 * width, abs=0.2)
    assert right == pytest.approx(left + width, abs=0.2)


def test_the_critical_path_is_named_marked_and_linked() -> None:
    page = timeline(THREE)
    assert "Critical path, 6.0 s: <b>a</b> → <b>c</b>" in page
    assert {name for name, style, *_ in bars(page) if "critical" in style} == {"a", "c"}
    assert len([path for path in drawing(page).iter("path") if path.attrib["class"] == "link"]) == 1


def test_a_tooltip_tells_reason_rows_seconds_and_what_the_task_waited_for() -> None:
    titles = [title.text for title in drawing(timeline(THREE)).iter("title")]
    assert "c: ran\nits plan changed\n1,234 rows, 4.0 s, worker 1\nafter a, b" in titles


def test_whatever_names_reasons_and_errors_hold_is_text_on_the_page() -> None:
    odd = '</title><script>alert("x")</script>&\x00\x1b'
    task = replace(ran(odd, 0, 1, odd + "2"), outcome="failed", reason=odd, error=odd)
    rest = TaskOutcome(task=odd, outcome="skipped", reason=odd)
    page = timeline(replace(run_of(task, rest), targets=(odd,), host=odd))
    drawing(page)
    tags = Tags()
    tags.feed(page)
    assert "svg" in tags.found
    assert "script" not in tags.found
    assert page.count("&lt;script&gt;") > 8
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = timeline(THREE)
    assert not re.search(r"https?:|url\(|@import|<script|<link|src=", page)
    assert "prefers-color-scheme: dark" in page


def test_tasks_that_no_worker_took_are_listed_with_their_reasons_and_errors_are_shown_in_full() -> None:
    page = timeline(
        run_of(
            replace(ran("d", 0, 1), outcome="failed", error="line 1\nline 2"),
            TaskOutcome(task="e", outcome="blocked", reason="waits for d"),
            TaskOutcome(task="f", outcome="skipped", reason="unchanged"),
        )
    )
    assert "<h2>d failed</h2>\n<pre>line 1\nline 2</pre>" in page
    assert "<summary>1 blocked</summary><table><tr><th>e</th><td>waits for d</td></tr></table>" in page
    assert "<summary>1 skipped</summary><table><tr><th>f</th><td>unchanged</td></tr></table>" in page


def test_a_run_that_started_no_task_has_no_drawing() -> None:
    page = timeline(run_of(TaskOutcome(task="f", outcome="skipped", reason="unchanged")))
    assert "<svg" not in page
    assert "No task was started." in page


@pytest.mark.parametrize("count", [3, 500])
@pytest.mark.parametrize("scale", [0.0001, 1, 100_000])
def test_everything_is_inside_the_drawing_whatever_the_number_of_tasks_and_their_length(
    count: int, scale: float
) -> None:
    tasks = [ran(f"task_{index:03}", index * scale, scale, worker=index % 2 + 1) for index in range(count)]
    svg = drawing(timeline(run_of(*tasks, seconds=None)))
    *_, width, height = (float(number) for number in svg.attrib["viewBox"].split())
    rows: set[float] = set()
    for bar in svg.iter("rect"):
        x, y, wide, high = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 240 <= x < x + wide <= width
        assert 0 < y < y + high < height
        rows.add(y)
    assert len(rows) == count + 2
    ticks = {tick.text for tick in svg.iter("text") if tick.attrib["class"] == "tick"}
    assert 3 <= len(ticks) <= 9


def test_a_critical_path_is_the_longest_chain_and_the_first_by_name_of_equal_ones() -> None:
    upstream = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "e": []}
    assert str(critical_path({"a": 1, "b": 2, "c": 3, "d": 1, "e": 4}, upstream)) == "a -> c -> d"
    assert str(critical_path({"a": 1, "b": 2, "c": 2, "d": 1, "e": 4}, upstream)) == "a -> b -> d"
    assert str(critical_path({"a": 1, "e": 9}, upstream)) == "e"


def test_a_critical_path_leads_through_tasks_that_took_no_time_and_does_not_name_them() -> None:
    found = critical_path({"a": 1, "c": 2}, {"b": ["a"], "c": ["b"]})
    assert (found.tasks, found.seconds) == (("a", "c"), 3)
    assert critical_path({}, {"b": ["a"]}).tasks == ()


def test_a_critical_path_of_a_long_chain_needs_no_deep_stack() -> None:
    chain = {f"t{index:05}": [f"t{index - 1:05}"] for index in range(1, 20_000)}
    found = critical_path(dict.fromkeys(chain, 1.0), chain)
    assert (len(found.tasks), found.seconds) == (19_999, 19_999)
