"""The one style of the page: light and dark by the reader's choice, on phones, on paper."""

from __future__ import annotations

STYLE = """
:root{--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--paper:#fff;--card:#f6f8fa;--blue:#0b6bcb;
--good:#1a7f37;--warn:#8a5a00;--bad:#b42318;--goodbg:#e6f4ea;--warnbg:#fdf3dc;--badbg:#fdeceb}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa6b2;--line:#30363d;
--paper:#0f1419;--card:#171d24;--blue:#58a6ff;--good:#56d364;--warn:#e3b341;--bad:#ff8178;
--goodbg:#12261a;--warnbg:#2a2210;--badbg:#2d1615}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 20px 40px;max-width:1040px;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
overflow-wrap:anywhere}
h1{margin:0 0 12px;font-size:30px;line-height:1.15;letter-spacing:-.01em}
h2{margin:40px 0 4px;font-size:20px}
.period{margin:0;color:var(--soft)}
.verdict{margin:0;padding:14px 16px;border-radius:10px;border-left:6px solid var(--good);
background:var(--goodbg)}
.verdict strong{display:block}
.verdict.warn,.verdict.unknown{border-color:var(--warn);background:var(--warnbg)}
.verdict.bad{border-color:var(--bad);background:var(--badbg)}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:16px 0 0;padding:0;
list-style:none}
.tiles li{padding:12px 16px;border-radius:10px;background:var(--card)}
.tiles b{display:block;font-size:26px;line-height:1.2;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:14px}
.tiles .bad b{color:var(--bad)}
.tiles .warn b{color:var(--warn)}
table{width:100%;border-collapse:collapse;font-size:15px}
caption{padding:4px 0 8px;text-align:left;color:var(--soft);font-size:14px}
th,td{padding:8px 12px 8px 0;border-bottom:1px solid var(--line);text-align:left;
vertical-align:middle}
thead th{color:var(--soft);font-size:13px;font-weight:600;vertical-align:bottom;
border-bottom-color:var(--soft);overflow-wrap:normal}
tbody th{font-weight:600}
th:last-child,td:last-child{padding-right:0}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:20px}
small{color:var(--soft);font-size:13px;white-space:nowrap}
td:not(.number) small{white-space:normal}
p.note,.more{color:var(--soft);font-size:14px;margin:10px 0 0}
.plain{margin:6px 0 0;padding-left:20px}
.unknown{color:var(--warn)}
.soon{color:var(--bad);font-weight:600}
.badge{display:inline-block;padding:1px 9px;border-radius:10px;font-size:13px;font-weight:600;
white-space:nowrap;background:var(--card);color:var(--soft)}
.badge.problem{background:var(--badbg);color:var(--bad)}
.badge.warning{background:var(--warnbg);color:var(--warn)}
code{font:13px/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
svg{display:block;max-width:100%}
.base{stroke:var(--line)}
.line{fill:none;stroke:var(--blue);stroke-width:1.8;stroke-linejoin:round}
.area{fill:var(--blue);opacity:.16}
.dot,.fine{fill:var(--blue)}
.track{fill:var(--line)}
.nearly{fill:var(--warn)}
.full{fill:var(--bad)}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media (max-width:640px){body{padding:16px 14px 32px}h1{font-size:26px}.wide{display:none}
.tiles{grid-template-columns:repeat(2,1fr)}table{font-size:14px}th,td{padding-right:8px}
.number{white-space:normal;padding-right:12px}.number small{display:block}
.spark{width:84px;height:28px}}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--card:#fff;--blue:#0b6bcb;
--good:#1a7f37;--warn:#7a5000;--bad:#a01810;--goodbg:#fff;--warnbg:#fff;--badbg:#fff}
body{max-width:none;padding:0;font-size:11pt}tr,.tiles li{break-inside:avoid}
h2{break-after:avoid}thead{display:table-header-group}
.tiles li,.verdict{border:1px solid var(--line)}.verdict{border-left-width:6px}}
"""
"""Colours of text have a contrast of at least 4.5 to their ground."""
