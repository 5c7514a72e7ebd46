"""The look of the report: one style sheet for screens of every width, light and dark, and for paper."""

STYLE = """
:root { color-scheme: light dark; --back: #f5f6f8; --card: #ffffff; --text: #1d232b; --soft: #5b6572;
  --line: #dfe3e8; --tint: #f1f3f6; --base: #7b8794; --tuned: #1f66b5; --good: #1d7a43; --bad: #b3261e;
  --even: #8a6100; --rate: #3f7d4e; --held: #c2571a; }
@media (prefers-color-scheme: dark) { :root { --back: #12161b; --card: #1b2127; --text: #e5e9ee;
  --soft: #9ba6b3; --line: #313a44; --tint: #232a32; --base: #8f9bab; --tuned: #6cb0f5; --good: #5fcf8c;
  --bad: #ff8a80; --even: #e6bc5c; --rate: #7cc492; --held: #f0935a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); overflow-wrap: break-word;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header p { color: var(--soft); margin: 0; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .15rem 0 1.5rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 0 0 1rem; }
h3 { font-size: .95rem; margin: 1.6rem 0 .5rem; } h2 + h3 { margin-top: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.5rem;
  margin: 0 0 1.25rem; }
.verdict { border-left: 6px solid var(--soft); }
.verdict h2 { font-size: 1.45rem; line-height: 1.3; margin-bottom: .5rem; letter-spacing: -.01em; }
.verdict p { margin: .35rem 0; max-width: 48rem; }
.verdict.better { border-left-color: var(--good); } .verdict.better h2 { color: var(--good); }
.verdict.worse { border-left-color: var(--bad); } .verdict.worse h2 { color: var(--bad); }
.verdict.even { border-left-color: var(--even); }
.note { color: var(--soft); font-size: .9rem; margin: .75rem 0 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .9rem 1.25rem;
  margin: 0 0 .5rem; }
.facts div { min-width: 0; } .facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; font-size: .82rem; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number:not(:first-child), td.number:not(:first-child) { padding-left: .5rem; }
small { color: var(--soft); font-size: .84em; white-space: nowrap; }
.status { font-weight: 600; white-space: nowrap; } .status.ok, .status.better { color: var(--good); }
.status.failed, .status.worse { color: var(--bad); } .status.skipped, .status.even { color: var(--even); }
.ranges { margin: 1.5rem 0 0; } .range { display: grid; grid-template-columns: 4.5rem 1fr 5rem;
  align-items: center; gap: .75rem; font-size: .9rem; margin: .2rem 0; }
.range .name { color: var(--soft); } .range .number { font-weight: 600; }
.track { position: relative; height: 1.5rem; }
.track::before { content: ""; position: absolute; inset: 50% 0 auto; border-top: 1px solid var(--line); }
.track i, .track b { position: absolute; top: 50%; transform: translateY(-50%); }
.track i { height: .5rem; border-radius: .25rem; opacity: .4; min-width: 3px; background: currentColor; }
.track b { width: .8rem; height: .8rem; margin-left: -.4rem; border-radius: 50%; background: currentColor;
  border: 2px solid var(--card); }
.ends { display: flex; justify-content: space-between; color: var(--soft); font-size: .78rem;
  margin: 0 5.75rem .6rem 5.25rem; }
.base { color: var(--base); } .tuned { color: var(--tuned); }
.reply { border-top: 1px solid var(--line); padding: 1.1rem 0; break-inside: avoid; }
.reply:first-of-type { border-top: 0; padding-top: 0; } .reply:last-of-type { padding-bottom: 0; }
.question { font-weight: 600; white-space: pre-wrap; margin: 0 0 .6rem; }
.answers { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; }
.answer { background: var(--tint); border-radius: 8px; padding: .6rem .8rem; min-width: 0;
  border-top: 3px solid currentColor; }
.answer .status { color: var(--soft); } .answer .status.ok { color: var(--good); }
.answer h4 { display: flex; justify-content: space-between; gap: .5rem; margin: 0 0 .2rem; font-size: .8rem; }
.answer p, .expected p { margin: 0; white-space: pre-wrap; color: var(--text); unicode-bidi: plaintext;
  overflow-wrap: anywhere; }
.path, code, pre, h1, .question { overflow-wrap: anywhere; } .path { min-width: 9rem; }
.answer p.empty { color: var(--soft); font-style: italic; }
.expected { margin: 0 0 .7rem; } .expected h4 { margin: 0; font-size: .8rem; color: var(--soft); }
.chart { margin: 0 0 1.5rem; } 
.chart figcaption { font-size: .86rem; color: var(--soft); margin-bottom: .6rem; display: flex;
  flex-wrap: wrap; justify-content: space-between; gap: .25rem 1rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.key i { display: inline-block; width: 1.1rem; height: 3px; border-radius: 2px; background: currentColor;
  vertical-align: middle; margin-right: .4rem; }
.loss { color: var(--tuned); } .held-out { color: var(--held); } .rate { color: var(--rate); }
.plot { display: grid; padding-right: .9rem; grid-template-columns: 3.4rem 1fr;
  grid-template-rows: 14rem 1.6rem; }
.small .plot { grid-template-rows: 5rem 1.6rem; }
.plot svg { width: 100%; height: 100%; overflow: visible; border-bottom: 1px solid var(--soft); }
.plot path { fill: none; stroke: currentColor; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.plot .line { stroke-width: 2px; } .plot .dots { stroke-width: 7px; stroke-linecap: round; }
.plot .grid { stroke: var(--line); stroke-width: 1px; }
.y-axis, .x-axis { position: relative; font-size: .78rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.tick { white-space: nowrap; } .y-axis .tick { position: absolute; right: .6rem; transform: translateY(50%); }
.x-axis { grid-column: 2; } .x-axis .tick { position: absolute; top: .3rem; transform: translateX(-50%); }
.bars td:first-child { width: 11rem; } .bars td:nth-child(2) { width: 5.5rem; }
.bar { height: .55rem; border-radius: .3rem; background: var(--tuned); opacity: .55; margin-top: .5rem;
  min-width: 2px; }
pre, code { font: .88rem/1.5 ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--tint); border-radius: 8px; padding: .7rem .9rem; margin: .3rem 0 1rem;
  white-space: pre-wrap; }
details { border-top: 1px solid var(--line); margin-top: 1rem; padding-top: .8rem; }
details:first-child { border: 0; margin: 0; padding: 0; }
summary { cursor: pointer; color: var(--soft); font-size: .93rem; }
details[open] summary { margin-bottom: .5rem; }
footer { color: var(--soft); font-size: .82rem; padding: .5rem .25rem; }
@media (max-width: 640px) {
  main { padding: 1.25rem .75rem 2.5rem; } section { padding: 1.1rem 1rem; border-radius: 10px; }
  h1 { font-size: 1.3rem; } .verdict h2 { font-size: 1.25rem; }
  .answers { grid-template-columns: 1fr; }
  .facts { grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); }
  .stacking thead { display: none; } .stacking tr { display: block; padding: .6rem 0;
    border-bottom: 1px solid var(--line); } .stacking tr:last-child { border-bottom: 0; padding-bottom: 0; }
  .stacking td, .stacking td.number:not(:first-child) { display: flex; gap: 1rem; border: 0;
    padding: .12rem 0; justify-content: space-between;
    text-align: right; white-space: normal; }
  .stacking td[data-name]::before { content: attr(data-name); color: var(--soft); font-size: .84rem;
    font-weight: 400; text-align: left; flex: none; }
  .stacking td:empty { display: none; } .stacking td.title { font-weight: 600; text-align: left; }
  .range { grid-template-columns: 3.2rem 1fr 3.8rem; gap: .5rem; }
  .ends { margin-left: 3.7rem; margin-right: 4.3rem; }
  .plot { grid-template-columns: 2.7rem 1fr; grid-template-rows: 11rem 1.6rem; }
  .bars td:first-child { width: 8rem; } }
@media print {
  :root { color-scheme: light; --back: #fff; --card: #fff; --text: #000; --soft: #444; --line: #c8c8c8;
    --tint: #f4f4f4; --base: #5d6875; --tuned: #12508f; --good: #12602f; --bad: #8f1a13; --even: #6b4b00;
    --rate: #2d6a3c; --held: #9a3f0c; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  section { border: 0; border-radius: 0; padding: 0 0 .5rem; margin-bottom: 1rem; }
  .verdict { border-left: 4px solid; padding-left: .8rem; }
  h2, h3 { break-after: avoid; } tr, figure, .range, pre { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
