"""The style of a report: light, dark, and on paper."""

STYLE = """
:root{--page:#f6f4ef;--card:#fff;--text:#22262b;--soft:#68707a;--rule:#e4e0d8;--ink:#1b5e7a;
--c0:#1b6f8f;--c1:#c65d2e;--c2:#5b8c3a;--c3:#8a4fa0;--c4:#b8912a;--c5:#56707f}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--text:#e6e8ea;
--soft:#98a1ab;--rule:#323840;--ink:#63c1de;--c0:#58bbdc;--c1:#f0935f;--c2:#9ccb74;--c3:#c795dc;
--c4:#e3c163;--c5:#a6bcc8}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 40px}
h1{font-size:30px;margin:0 0 14px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:20px;margin:0 0 14px}h2 small,p,footer{color:var(--soft);font-size:13px;
font-weight:400}
h3{font-size:14px;margin:0 0 6px;color:var(--soft);font-weight:600}
section,.tiles>div{background:var(--card);border:1px solid var(--rule);border-radius:12px}
section{padding:20px;margin:18px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(135px,1fr));gap:12px}
.tiles>div{padding:12px 16px}.tiles b{display:block;font-size:24px;line-height:1.25}
.tiles span{color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:22px}
.charts>div{min-width:0}
svg{display:block;width:100%;height:auto;overflow:visible}
.grid{stroke:var(--rule);fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}
text{font:12.5px system-ui,"DejaVu Sans",sans-serif;fill:var(--soft)}
text.strong{fill:var(--text)}.strip{fill:var(--rule);fill-opacity:.5}.ink{fill:var(--ink)}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}
.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}
.f0,.k0{fill:var(--c0);background:var(--c0)}.f1,.k1{fill:var(--c1);background:var(--c1)}
.f2,.k2{fill:var(--c2);background:var(--c2)}.f3,.k3{fill:var(--c3);background:var(--c3)}
.f4,.k4{fill:var(--c4);background:var(--c4)}.f5,.k5{fill:var(--c5);background:var(--c5)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;margin-bottom:8px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;
vertical-align:-1px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--soft);font-weight:600;font-size:13px}th:first-child,td:first-child{text-align:left}
.bar{display:block;height:10px;border-radius:3px;background:var(--c0);min-width:2px}
td.wide{width:34%}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:18px}
figure{margin:0;min-width:0}figcaption{font-size:13px;margin-top:5px;color:var(--soft)}
figcaption b{color:var(--text)}
img{display:block;width:100%;height:180px;object-fit:fill;image-rendering:pixelated;
border-radius:6px;border:1px solid var(--rule)}
@media(max-width:620px){main{padding:16px 10px}section{padding:14px}th,td{padding:6px 6px}
text{font-size:15px}}
@media print{:root{--page:#fff;--card:#fff;--text:#000;--soft:#444;--rule:#ccc;--ink:#1b5e7a;
--c0:#1b6f8f;--c1:#c65d2e;--c2:#5b8c3a;--c3:#8a4fa0;--c4:#b8912a;--c5:#56707f}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}main{max-width:none;padding:0}
section{border:0;padding:0}.charts>div,figure,tr{break-inside:avoid}}
"""
