# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the report looks, on the screen in light and dark, and on paper.

Blue is well and orange is not; they are told apart with every kind of colour vision, and symbols say the same. Text has a
contrast of 4.5 to 1 or more to what is behind it.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#fff;--panel:#f5f7fa;--text:#1a2027;--soft:#525d6a;--edge:#d3dae2;--link:#0b57a4;
--ok:#1f69a6;--ok-soft:#e6f0f9;--bad:#a84300;--bad-soft:#fdeee2;--warn:#805600;--warn-soft:#fff5d9;--on:#fff;--none:#e9edf1;
--r0:#e3eefa;--r1:#c6dcf2;--r2:#9ec6e8;--r3:#6aaad8;--r4:#2f7ab3;--r5:#1f629a;--r6:#0b4678;--ink:#14202c;--ink2:#fff;
--p:#ffb861;--p-ink:#3a1d00;--l1:#fde3c4;--l2:#fdcb92;--l3:#fdae5c;--l4:#f28c28;--code:#eef1f5}
@media (prefers-color-scheme:dark){:root{--page:#10151b;--panel:#181f27;--text:#e4e9ee;--soft:#a3afbb;--edge:#36424e;
--link:#7fb8ef;--ok:#7bb4e6;--ok-soft:#14293d;--bad:#ff9d52;--bad-soft:#3a2110;--warn:#f2c14e;--warn-soft:#352b10;
--on:#10151b;--none:#232c36;--r0:#1a3148;--r1:#1f4263;--r2:#27547e;--r3:#2f689c;--r4:#5b95c8;--r5:#86b6df;--r6:#bcdaf2;
--ink:#eef4fa;--ink2:#0c1620;--p:#d98a34;--p-ink:#1d0f00;--l1:#5c452c;--l2:#7d5527;--l3:#96591a;--l4:#d98a34;--code:#0b0f14}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header,footer{max-width:1280px;margin:0 auto;padding:0 24px}
header{padding-top:28px}footer{padding-bottom:48px;color:var(--soft);font-size:14px}
section{margin-top:44px}
h1{margin:0;font-size:15px;font-weight:600;color:var(--soft)}
h2{margin:0 0 12px;font-size:21px;line-height:1.3}h3{margin:0;font-size:16px;line-height:1.4}
p{margin:0 0 8px}a{color:var(--link)}small,.soft{color:var(--soft);font-size:14px}
body{overflow-wrap:anywhere}bdi,code,pre,td,th,h3,.headline{unicode-bidi:isolate}
code,pre{font:13.5px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.headline{display:flex;gap:16px;align-items:center;margin:12px 0 20px;padding:18px 20px;border-radius:10px;border-left:8px solid;
font-size:22px;line-height:1.35;font-weight:600;text-wrap:balance}
.headline .symbol{flex:none;font-size:30px;line-height:1;width:34px;text-align:center}
.headline span.soft{display:block;font-weight:400;color:var(--text)}
.ok .headline{background:var(--ok-soft);border-color:var(--ok)}.ok .symbol{color:var(--ok)}
.broken .headline{background:var(--bad-soft);border-color:var(--bad)}.broken .symbol{color:var(--bad)}
.degraded .headline{background:var(--warn-soft);border-color:var(--warn)}.degraded .symbol{color:var(--warn)}
.unknown .headline{background:var(--panel);border-color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;margin-top:20px;font-size:14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:0}
.tiles div{padding:12px 16px;background:var(--panel);border-radius:8px}
.tiles dt{color:var(--soft);font-size:14px}.tiles dd{margin:0;font-size:20px;font-weight:600}.tiles dd small{display:block;font-weight:400}
.finding{margin:0 0 14px;padding:14px 18px;border:1px solid var(--edge);border-left:5px solid var(--soft);border-radius:8px}
.finding.error{border-left-color:var(--bad)}.finding.warning{border-left-color:var(--warn)}
.finding>p{margin:8px 0 0;max-width:80ch}.finding .meta{margin:2px 0 0;font-size:14px;color:var(--soft)}
.badge{display:inline-block;margin-right:8px;padding:0 9px;border-radius:9px;font-size:13px;font-weight:600;background:var(--soft);color:var(--page)}
.error .badge,.badge.bad{background:var(--bad);color:var(--on)}.warning .badge{background:var(--warn);color:var(--on)}
.badge.ok{background:var(--ok);color:var(--on)}
.command{display:flex;gap:10px;align-items:flex-start;margin:8px 0 0;padding:8px 12px;background:var(--code);border-radius:6px}
.command span{flex:none;color:var(--soft);font-size:13px;line-height:1.6}
.command pre{flex:1;margin:0;white-space:pre-wrap}
.command button{flex:none;font:inherit;font-size:13px;padding:0 10px;border:1px solid var(--edge);border-radius:5px;background:var(--page);
color:var(--text);cursor:pointer}
details{margin:8px 0 0}summary{cursor:pointer}
details pre{margin:6px 0 0;padding:8px 12px;background:var(--code);border-radius:6px;white-space:pre-wrap}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}
.matrix input{margin:0 6px 12px 0;accent-color:var(--link)}.matrix label{margin-right:20px;cursor:pointer}
.heat{border-spacing:2px;font-size:14px}
.heat th{font-weight:500;text-align:left;overflow-wrap:normal;white-space:nowrap}
.heat tbody th{position:sticky;left:0;background:var(--page);padding:0 8px 0 0;max-width:11em;overflow:hidden;text-overflow:ellipsis}
.heat td{background:var(--none);color:var(--ink);text-align:center;border-radius:3px;overflow-wrap:normal}
.heat .corner,.heat .self,.heat .none{background:none;color:var(--soft);font-size:12px;font-weight:400;white-space:nowrap}
.heat .self{background:radial-gradient(circle,var(--edge) 0 2px,transparent 2.5px)}.tiny .self{background:var(--edge);opacity:.5}
.words td{min-width:112px;padding:8px 10px}
.words td b,.words td i{display:block;max-width:170px;margin:0 auto;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;
font-weight:600;font-style:normal}
.words td i{font-size:12.5px;font-weight:400}
.words thead th{text-align:center;padding-bottom:4px;max-width:150px;overflow:hidden;text-overflow:ellipsis}
.words .corner{min-width:0;text-align:left}
.middle td{width:24px;min-width:24px;height:24px;font-weight:700;font-size:13px;padding:0}
.tiny{border-spacing:1px;font-size:10px;line-height:1}
.tiny td{width:10px;min-width:10px;height:10px;padding:0;border-radius:1px;font-size:8px;font-weight:700;line-height:10px}
.tiny tbody th{padding-right:5px;line-height:10px}.heat.tiny .corner,.heat.middle .corner{text-align:left;vertical-align:bottom;padding:0 8px 4px 0}
.middle thead th,.tiny thead th{height:1px;padding:0 0 4px;vertical-align:bottom}
.middle thead span,.tiny thead span{display:block;writing-mode:vertical-rl;transform:rotate(180deg);max-height:12em;overflow:hidden;
text-overflow:ellipsis}
.tiny thead span{width:10px}.middle thead span{width:24px;line-height:24px}
.heat th.on{color:var(--page);background:var(--text)}.heat td.on{outline:2px solid var(--text);outline-offset:-1px}
.by-rtt:checked~* .r0,.by-loss:checked~* .l0{background:var(--r0)}.by-rtt:checked~* .r1{background:var(--r1)}
.by-rtt:checked~* .r2{background:var(--r2);color:var(--ink)}.by-rtt:checked~* .r3{background:var(--r3)}
.by-rtt:checked~* .r4{background:var(--r4);color:var(--ink2)}.by-rtt:checked~* .r5{background:var(--r5);color:var(--ink2)}
.by-rtt:checked~* .r6{background:var(--r6);color:var(--ink2)}
.by-loss:checked~* .l1{background:var(--l1)}.by-loss:checked~* .l2{background:var(--l2)}.by-loss:checked~* .l3{background:var(--l3)}
.by-loss:checked~* .l4{background:var(--l4);color:var(--p-ink)}.by-loss:checked~* .l5{background:var(--bad);color:var(--on)}
.by-rtt:checked~* td.f,.key.f{background:var(--bad);color:var(--on)}
.by-rtt:checked~* td.p,.key.p{background:var(--p);color:var(--p-ink)}
.heat td.n,.key.n{background:repeating-linear-gradient(45deg,var(--none) 0 3px,var(--edge) 3px 5px);color:var(--text)}
.by-rtt:checked~* .for-loss,.by-loss:checked~* .for-rtt{display:none}
.readout{min-height:1.5em;margin:8px 0;color:var(--soft);font-size:14px;display:none}.js .readout{display:block}
.legend{font-size:14px;color:var(--soft);margin-top:10px}.legend p{margin:0 0 6px}
.legend b{display:inline-block;margin-right:12px;font-weight:400}.legend span{display:inline-block;margin:0 18px 4px 0;white-space:nowrap}
.key{display:inline-block;width:18px;height:18px;margin-right:6px;border-radius:3px;vertical-align:-4px;text-align:center;
font:700 12px/18px sans-serif}
.key.ok{background:var(--ok)}.key.round{border-radius:9px}.key{vertical-align:middle;position:relative;top:-1px}
.dash{display:inline-block;width:30px;margin-right:6px;vertical-align:4px;border-top:3px solid var(--ok)}
.dash.bad{border-top:3px dashed var(--bad)}.dash.idle{border-top:2px dotted var(--soft)}
figure{margin:0}.topology{display:block;max-width:100%;height:auto;margin-bottom:12px}.many{min-width:700px}
.topology line{stroke-width:2}.topology .good{stroke:var(--ok)}.topology line.bad{stroke:var(--bad);stroke-width:3;stroke-dasharray:8 6}
.topology .idle{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:2 5}
.many line.bad{stroke-width:1.2;stroke-dasharray:5 3;opacity:.75}
.host{stroke:var(--page);stroke-width:3}.host.ok{fill:var(--ok)}.host.f{fill:var(--bad)}
.host.n{fill:var(--page);stroke:var(--soft);stroke-dasharray:4 3}
.topology text{fill:var(--text);font-size:14px}.topology .name{font-weight:600}.many .name{font-size:11px;font-weight:400}
.topology .sign{text-anchor:middle;dominant-baseline:central;font-weight:700;font-size:17px;fill:var(--on)}
.topology .sign.n{fill:var(--text)}.many .host{stroke-width:2}.many .host.n{stroke-dasharray:none}.many .sign{font-size:9px}
.topology .figure{text-anchor:middle;paint-order:stroke;stroke:var(--page);stroke-width:12px;stroke-linejoin:round}
.topology .figure.bad{fill:var(--bad);font-weight:600}
.list{width:100%;font-size:14px}.list th,.list td{padding:6px 14px 6px 0;border-bottom:1px solid var(--edge);text-align:left;vertical-align:top}
.list tbody th{font-weight:500}.list .number,.list thead th,.list .end small{white-space:nowrap}.list .end{min-width:170px;max-width:300px}
.list small{font-size:13px}.list td small{display:block}.list .end small{display:inline}.list .bad{color:var(--bad)}
.list td:last-child{min-width:220px}
.machine{margin:0;padding:10px 0;border-bottom:1px solid var(--edge)}.machine summary b{margin-right:10px}
.machine dl{display:grid;grid-template-columns:minmax(110px,170px) 1fr;gap:4px 16px;margin:10px 0 4px 18px;font-size:15px}
.machine dt{color:var(--soft)}.machine dd{margin:0;overflow-wrap:anywhere}.machine .list{margin:4px 0 8px 18px;width:auto}
@media (max-width:560px){main,header,footer{padding-left:14px;padding-right:14px}.headline{font-size:18px;padding:14px;gap:10px}
.headline .symbol{font-size:24px;width:26px}
.command{flex-wrap:wrap}.command pre{flex-basis:100%;order:3}.command button{margin-left:auto}
.machine dl{grid-template-columns:1fr;gap:0;margin-left:4px}.machine dd{margin-bottom:6px}.tiles{grid-template-columns:1fr 1fr}
.list tr{display:grid;grid-template-columns:1fr 1fr 4.2em 5.6em}.list.ends tr{grid-template-columns:1.3fr 1.3fr 5.6em}
.list tr>*{min-width:0!important;border:0!important}
.list tr{border-bottom:1px solid var(--edge)}.list tr>:last-child{grid-column:1/-1;padding-top:0}.list thead tr>:last-child{display:none}
.list thead th{white-space:normal!important}.machine .list{margin-left:0}
.words td{min-width:88px;padding:6px}}
@media print{*{print-color-adjust:exact;-webkit-print-color-adjust:exact}body{font-size:11pt}nav,.readout,.command button{display:none!important}
.finding,.machine,tr{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}.scroll{overflow:visible}
section{margin-top:24px}}
"""

# Only comforts: all content is there without it. It puts text into the page as text alone.
SCRIPT = """
(function () {
  'use strict';
  document.documentElement.className = 'js';
  document.querySelectorAll('.command').forEach(function (box) {
    var button = document.createElement('button'), code = box.querySelector('pre');
    button.type = 'button';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', 'Copy the command ' + code.textContent);
    button.addEventListener('click', function () {
      var marked = function () { getSelection().selectAllChildren(code); button.textContent = 'Marked'; };
      if (!navigator.clipboard) { marked(); return; }
      navigator.clipboard.writeText(code.textContent).then(function () { button.textContent = 'Copied'; }, marked);
    });
    box.appendChild(button);
  });
  document.querySelectorAll('.matrix').forEach(function (matrix) {
    var area = matrix.querySelector('.scroll'), rows = matrix.querySelector('table').rows, shown = matrix.querySelector('.readout'), last = [];
    var show = function (row, column) {
      if (row < 1 || column < 1 || row >= rows.length || column >= rows[row].cells.length) { return; }
      var cell = rows[row].cells[column], marked = [cell, rows[row].cells[0], rows[0].cells[column]];
      last.forEach(function (one) { one.classList.remove('on'); });
      marked.forEach(function (one) { one.classList.add('on'); });
      last = marked;
      shown.textContent = cell.title || marked[1].textContent + ' \\u2192 ' + marked[2].textContent + ': no figures';
    };
    area.addEventListener('mouseover', function (event) {
      var cell = event.target.closest('td');
      if (cell) { show(cell.parentNode.rowIndex, cell.cellIndex); }
    });
    area.addEventListener('click', function (event) {
      var cell = event.target.closest('td');
      if (cell) { show(cell.parentNode.rowIndex, cell.cellIndex); }
    });
    area.addEventListener('keydown', function (event) {
      var step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (!step) { return; }
      event.preventDefault();
      if (!last.length) { show(1, 1); return; }
      show(last[0].parentNode.rowIndex + step[0], last[0].cellIndex + step[1]);
      last[0].scrollIntoView({block: 'nearest', inline: 'nearest'});
    });
  });
}());
"""
