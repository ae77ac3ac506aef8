"""The timeline of a run: a self-contained HTML page that draws when each task ran."""

from __future__ import annotations

import html
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from relspec_core.model.formatting import duration_text
from relspec_core.warehouses.storage_sizes import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from relspec_core.runs.history import RunRecord, TaskOutcome


WIDTH, LABELS, MARGIN = 1200, 240, 16
AXIS, GAP, LANE = 26, 14, 22
ROW_HEIGHTS = ((60, 22), (200, 18))  # up to so many rows, pixels each
LOWEST_ROW = 14
LETTER = 6.6  # pixels, of the labels' type
ROOM = 160  # pixels, of the text beside a bar
THINNEST = 2.0
MOST_TICKS = 8
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A task on the drawing; seconds count from the run's start."""

    task: TaskOutcome
    start: float
    seconds: float
    critical: bool

    @property
    def end(self) -> float:
        """End, in seconds from the run's start."""
        return self.start + self.seconds

    @property
    def style(self) -> str:
        """CSS classes of the bar."""
        return f"bar {self.task.outcome}{' critical' if self.critical else ''}"

    @property
    def title(self) -> str:
        """Tooltip text."""
        lines = [f"{self.task.task}: {self.task.outcome}", self.task.reason, ", ".join(self.task.measures)]
        lines += [f"after {', '.join(self.task.upstream)}"] if self.task.upstream else []
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Horizontal scale of the drawing."""

    seconds: float

    @property
    def width(self) -> float:
        """Pixels for the whole run."""
        return WIDTH - LABELS - MARGIN

    def x(self, second: float) -> float:
        """The pixel of a moment."""
        return LABELS + self.width * second / self.seconds

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round moments, evenly spread, at most eight of them behind the start."""
        step = next(step for step in _steps() if self.seconds / step <= MOST_TICKS)
        return tuple(step * index for index in range(int(self.seconds / step) + 1))


def timeline(run: RunRecord) -> str:
    """A page that shows a run: each worker's tasks, each task in a row of its own, the critical path, and the rest.

    Made of one text without scripts or addresses; for light and dark screens.
    """
    bars, rest = _bars(run), [task for task in run.tasks if task.started_at is None or task.seconds is None]
    title = f"Run {run.number}"
    parts = [
        f"<title>{title}</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style>",
        f'<h1>{title} <span class="end {run.outcome}">{run.outcome}</span></h1>',
        _facts(run),
        *_path(run),
        _drawing(run, bars) if bars else "<p>No task was started.</p>",
        *_errors(run),
        *_rest(rest),
    ]
    return "\n".join(["<!doctype html>", '<html lang="en">', '<meta charset="utf-8">', *parts, "</html>", ""])


def _bars(run: RunRecord) -> tuple[Bar, ...]:
    """Bars of the started tasks, by start."""
    critical = frozenset(run.critical_path.tasks)
    return tuple(
        Bar(
            task=task,
            start=max(0.0, (task.started_at - run.started_at).total_seconds()),
            seconds=task.seconds,
            critical=task.task in critical,
        )
        for task in run.tasks
        if task.started_at is not None and task.seconds is not None
    )


def _facts(run: RunRecord) -> str:
    """Key facts of the run."""
    facts = [
        ("started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("took", "not known" if run.seconds is None else duration_text(run.seconds)),
        ("workers", str(run.workers)),
        ("memory", "not known" if run.peak_memory is None else size_text(run.peak_memory)),
        ("asked for", run.asked_for),
        ("tasks", run.total),
        ("process", f"{run.pid} on {run.host}"),
    ]
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{_text(value)}</dd></div>' for name, value in facts)}</dl>"


def _path(run: RunRecord) -> Iterator[str]:
    path = run.critical_path
    if path.tasks:
        names = " → ".join(f"<b>{_text(task)}</b>" for task in path.tasks)
        yield f'<p class="path"><i class="key critical"></i>Critical path, {duration_text(path.seconds)}: {names}</p>'


def _drawing(run: RunRecord, bars: Sequence[Bar]) -> str:
    """Workers above, tasks below, on one scale."""
    ended = max(bar.end for bar in bars)
    scale = Scale(seconds=max(ended, run.seconds or 0.0) or 1.0)
    workers = sorted({bar.task.worker for bar in bars if bar.task.worker is not None})
    top = AXIS + len(workers) * LANE + (GAP if workers else 0)
    row = next((height for most, height in ROW_HEIGHTS if len(bars) <= most), LOWEST_ROW)
    height = top + len(bars) * row + AXIS
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="when each task ran">',
        *_axis(scale, height),
    ]
    for index, worker in enumerate(workers):
        y = AXIS + index * LANE
        parts.append(_label(f"worker {worker}", y + LANE / 2, "lane"))
        parts += [_rectangle(bar, scale, y + 3, LANE - 6) for bar in bars if bar.task.worker == worker]
    tops = {bar.task.task: top + index * row for index, bar in enumerate(bars)}
    parts += _links(run, bars, scale, tops, row)
    for bar in bars:
        y = tops[bar.task.task]
        parts += [_label(bar.task.task, y + row / 2, bar.style), _rectangle(bar, scale, y + 2, row - 4)]
        parts.append(_measures(bar, scale, y + row / 2))
    return "\n".join(['<div class="drawing">', *parts, "</svg>", "</div>"])


def _axis(scale: Scale, height: int) -> Iterator[str]:
    """A line for each tick, with its time above and below."""
    for second in scale.ticks:
        x = f"{scale.x(second):.1f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{AXIS - 6}" y2="{height - AXIS + 4}"/>'
        for y in (AXIS - 11, height - AXIS + 17):
            yield f'<text class="tick" x="{x}" y="{y}">{_tick(second)}</text>'


def _label(text: str, y: float, style: str) -> str:
    most = int((LABELS - MARGIN) / LETTER)
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return (
        f'<text class="label {style}" x="{LABELS - 10}" y="{y:.1f}"><title>{_text(text)}</title>{_text(short)}</text>'
    )


def _rectangle(bar: Bar, scale: Scale, y: float, height: float) -> str:
    x = scale.x(bar.start)
    width = max(THINNEST, scale.x(bar.end) - x)
    return (
        f'<rect class="{bar.style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2">'
        f"<title>{_text(bar.title)}</title></rect>"
    )


def _measures(bar: Bar, scale: Scale, y: float) -> str:
    """Duration and rows of a bar, written after it, before it or on it, depending on the space."""
    words = [duration_text(bar.seconds), *([] if bar.task.rows is None else [f"{bar.task.rows:,} rows"])]
    start, end = scale.x(bar.start), max(scale.x(bar.end), scale.x(bar.start) + THINNEST)
    if end + ROOM <= WIDTH:
        place, x = "", end + 6
    elif start - ROOM >= LABELS:
        place, x = "before", start - 6
    else:
        place, x = "inside", start + 6
    return f'<text class="measure {place}" x="{x:.1f}" y="{y:.1f}">{_text(", ".join(words))}</text>'


def _links(run: RunRecord, bars: Sequence[Bar], scale: Scale, tops: dict[str, int], row: int) -> Iterator[str]:
    """A line from each task of the critical path to the next one."""
    by_name = {bar.task.task: bar for bar in bars}
    path = [by_name[task] for task in run.critical_path.tasks if task in by_name]
    for before, after in pairwise(path):
        x, y = scale.x(before.end), tops[before.task.task] + row / 2
        yield (
            f'<path class="link" d="M{x:.1f} {y:.1f} V{tops[after.task.task] + row / 2:.1f} '
            f'H{scale.x(after.start):.1f}"/>'
        )


def _errors(run: RunRecord) -> Iterator[str]:
    for task in run.tasks:
        if task.outcome == "failed":
            yield f"<h2>{_text(task.task)} failed</h2>\n<pre>{_text(task.error or task.reason)}</pre>"


def _rest(tasks: Iterable[TaskOutcome]) -> Iterator[str]:
    """Tasks that were not started, with their reasons."""
    found = list(tasks)
    for outcome in ("blocked", "failed", "ran", "skipped"):
        chosen = [task for task in found if task.outcome == outcome]
        if chosen:
            rows = "".join(f"<tr><th>{_text(task.task)}</th><td>{_text(task.reason)}</td></tr>" for task in chosen)
            shown = "" if outcome == "skipped" else " open"
            yield f"<details{shown}><summary>{len(chosen)} {outcome}</summary><table>{rows}</table></details>"


def _steps() -> Iterator[float]:
    """Round lengths of time, in seconds, from a tenth of a millisecond on."""
    for power in (-4, -3, -2, -1):
        yield from (factor * 10.0**power for factor in (1, 2, 5))
    yield from STEPS
    days = 2
    while True:
        yield days * 86400
        days *= 2


def _tick(second: float) -> str:
    """A moment in the largest unit that has it whole.

    >>> _tick(0.25), _tick(90), _tick(120), _tick(7200)
    ('0.25 s', '90 s', '2 min', '2 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if second and second % size == 0:
            return f"{second / size:g} {unit}"
    return f"{second:g} s"


def _text(text: str) -> str:
    """A text escaped for HTML, without control characters."""
    return html.escape(text.translate(CONTROL))


STYLE = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --text: #1c2330; --faint: #667085; --line: #e4e7ec; --panel: #f8f9fb;
  --ran: #8fb0e6; --critical: #e07b1a; --failed: #cc3341; --skipped: #c3c8d2; --blocked: #b58900; --good: #2f8f55;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171d; --text: #e6e9ef; --faint: #98a2b3; --line: #2b313c; --panel: #1b2028;
    --ran: #4a74b8; --critical: #f0953a; --failed: #e5606b; --skipped: #4b5362; --blocked: #d9a92b; --good: #57b87d;
  }
}
body {
  margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.5rem; margin: 0 0 .75rem; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; color: var(--failed); }
.end { font-size: .85rem; font-weight: 600; padding: .15rem .6rem; border-radius: 1rem; vertical-align: middle;
  color: var(--back); background: var(--faint); }
.end.finished { background: var(--good); }
.end.failed, .end.died { background: var(--failed); }
.end.interrupted { background: var(--blocked); }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0 0 1rem; }
dt { color: var(--faint); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.path { overflow-wrap: anywhere; }
.key { display: inline-block; width: .9rem; height: .7rem; border-radius: 2px; margin-right: .4rem; }
.key.critical { background: var(--critical); }
.drawing { overflow-x: auto; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
svg { display: block; width: 100%; min-width: 52rem; height: auto; font: 11px system-ui, sans-serif; }
.grid { stroke: var(--line); }
.tick { fill: var(--faint); text-anchor: middle; }
.label { fill: var(--text); text-anchor: end; dominant-baseline: central; }
.label.lane { fill: var(--faint); }
.label.critical { fill: var(--critical); font-weight: 600; }
.label.failed { fill: var(--failed); font-weight: 600; }
.measure { fill: var(--faint); dominant-baseline: central; }
.measure.before { text-anchor: end; }
.measure.inside { fill: var(--text); }
rect.bar { fill: var(--ran); stroke: var(--panel); stroke-width: .5; }
rect.skipped { fill: var(--skipped); }
rect.critical { fill: var(--critical); }
rect.failed { fill: var(--failed); }
rect.bar:hover { stroke: var(--text); stroke-width: 1; }
.link { fill: none; stroke: var(--critical); stroke-width: 1.2; stroke-dasharray: 3 2; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .75rem; overflow-x: auto; }
details { margin-top: 1rem; }
summary { cursor: pointer; font-weight: 600; }
table { border-collapse: collapse; margin-top: .5rem; font-size: .9rem; }
th { text-align: left; font-weight: 500; padding: .15rem 1rem .15rem 0; vertical-align: top; }
td { color: var(--faint); padding: .15rem 0; }
""".strip()
