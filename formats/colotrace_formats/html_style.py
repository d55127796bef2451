"""The style sheet inside an HTML file (`as_html`). Each shade has its number too."""

STYLE = """
:root { color-scheme: light dark; --ink: #16212a; --paper: #fff; --quiet: #55636e; --line: #d5dce1;
  --h1: #fdf3d6; --h2: #fbdf9f; --h3: #f5bc6c; --h4: #e88a4a; --bad: #a8251d; --mark: #0b5c73; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef2; --paper: #11181d; --quiet: #a5b3bd;
  --line: #33424d; --h1: #3a3116; --h2: #57441a; --h3: #7d541d; --h4: #a95f26; --bad: #ff9a90;
  --mark: #63c5df; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1rem; max-width: 90rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .5rem; vertical-align: top;
  border-top: 1px solid var(--line); }
body > table td { overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; }
.q { color: var(--quiet); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
.h1 { background: var(--h1); } .h2 { background: var(--h2); } .h3 { background: var(--h3); }
.h4 { background: var(--h4); }
.limited { background-image:
  repeating-linear-gradient(45deg, var(--line) 0 2px, transparent 2px 6px); }
details { margin: .25rem 0; } summary { cursor: pointer; }
svg { display: block; width: 12rem; height: 1rem; } svg path { stroke: var(--mark); fill: none; }
code { font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere; }
@media print { details { display: block; } }
"""
