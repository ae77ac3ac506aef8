"""How the timeline of a run looks."""

from __future__ import annotations

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
