// The attention view: a grid of who looks at whom, drawn in a shadow root.
//
// attention.py puts this file into every view it makes (without these comments) and
// calls mountAttention(key, data). `data` holds the weights of one or two views:
// views[i] = {label, tokens, layers, heads, b (where sentence B begins, or 0), w}.
// Everything a reader can change is in `ui` and in the panels; after a change, build()
// makes the grids anew and paint(panel) fills in colours, thumbnails and the readout.
function mountAttention(key, data) {
  const SPECIAL = /^\[(CLS|SEP|PAD)\]$/;
  const SUMMARIES = ["mean", "max", "rollout"];
  const MONO = "ui-monospace, Menlo, Consolas, monospace";
  // Nine colours, evenly spaced in lightness (OKLab), placed along the root of w.
  const THEMES = {
    light: { ink: "#1f2328", card: "#fdfcfa", ramp:
      "eff3f3 c9d9d8 99c2be 61acab 2990a5 04709e 1d4d92 282c76 1f154e" },
    dark: { ink: "#e6e9ee", card: "#171a20", ramp:
      "22252b 30375f 3a4c8e 376baa 368cb8 35afbb 5fceb3 b2e496 f3f4b1" },
  };
  const CSS = `
    :host { display: block; margin: 1rem 0; }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .card { --min: 24px; --ink: #1f2328; --dim: #59616c; --card: #fdfcfa; --line: #e2e0d9; --soft: #f1f1ec;
      --accent: #0a5aa8; --tint: #cfe3f5; color-scheme: light;
      font: 15px/1.45 var(--pst-font-family-base, var(--jp-ui-font-family, system-ui, sans-serif));
      color: var(--ink); background: var(--card); border: 1px solid var(--line);
      border-radius: 14px; padding: 16px; text-align: left; print-color-adjust: exact; }
    .card[data-theme=dark] { --ink: #e6e9ee; --dim: #a3acb9; --card: #171a20; --line: #2d333d;
      --soft: #22262e; --accent: #86c4ff; --tint: #23415e; color-scheme: dark; }
    .title { font-weight: 650; font-size: 17px; margin-bottom: 10px; }
    .panels { display: flex; flex-wrap: wrap; gap: 28px; }
    .panel { flex: 1 1 min(100%, var(--basis)); min-width: 0; }
    .bar, .row { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; }
    .name { font-weight: 600; flex: 1 0 100%; }
    .bar { margin-bottom: 12px; }
    label { display: inline-flex; align-items: center; gap: 7px; color: var(--dim); font-size: 14px;
      min-height: 28px; }
    select, button { font: inherit; font-size: 14px; color: var(--ink); background: var(--soft);
      border: 1px solid var(--line); border-radius: 8px; min-height: 30px; padding: 3px 10px; cursor: pointer; }
    select:hover, button:hover { border-color: var(--dim); }
    input { width: 17px; height: 17px; margin: 0; accent-color: var(--accent); }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    .main { min-width: min(100%, 420px); }
    .body { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 18px 24px; }
    .box { min-width: 0; max-width: 100%; overflow-x: auto; padding: 3px; margin: -3px; scroll-padding-left: 110px;
      mask: linear-gradient(to right, #000 calc(100% - var(--fade, 0px)), transparent);
      animation: fade linear; animation-timeline: scroll(self inline); }
    /* Columns out of sight on the right: fade the edge until they are scrolled to. */
    @keyframes fade { 0%, 95% { --fade: 40px; } 100% { --fade: 0px; } }
    .grid { display: grid; gap: 2px; justify-content: start; position: relative;
      grid-template-columns: max-content repeat(var(--n), minmax(var(--min), var(--side))); }
    .line { display: contents; }
    .cell { width: 100%; aspect-ratio: 1; border-radius: 4px; cursor: pointer;
      transition: opacity .15s; }
    .cell.b-left { border-left: 2px solid var(--dim); border-radius: 0 4px 4px 0; }
    .cell.b-top { border-top: 2px solid var(--dim); border-radius: 0 0 4px 4px; }
    .cell.at { outline: 2px solid var(--ink); outline-offset: 1px; z-index: 1; position: relative; }
    .cell:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; z-index: 2; position: relative; }
    .fixed .line:not(.on) .cell { opacity: .38; }
    .head { font: 12.5px/1 ${MONO}; color: var(--dim); }
    .head button { all: unset; box-sizing: border-box; cursor: pointer; white-space: pre; overflow: hidden;
      text-overflow: ellipsis; border-radius: 5px; padding: 5px; }
    .from { position: sticky; left: 0; z-index: 3; background: var(--card); display: flex; justify-content: end; }
    .from button { display: flex; align-items: center; max-width: 104px; min-width: 24px; padding-block: 0; }
    .to { display: flex; align-items: end; justify-content: center; }
    .to button { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 104px;
      min-height: 24px; min-width: var(--min); padding-inline: 0; display: flex; align-items: center; }
    .head.on { color: var(--ink); font-weight: 700; }
    .head button:hover { background: var(--soft); }
    .head button[aria-pressed=true] { background: var(--tint); color: var(--ink); font-weight: 700; }
    .corner { display: block; align-self: end; text-align: right; font: inherit; font-size: 12px; padding: 0 5px 3px; }
    .thumbs { display: grid; gap: 2px; max-width: 100%; overflow-x: auto; padding: 3px; margin: -3px;
      grid-template-columns: auto repeat(var(--n), var(--thumb)); justify-content: start; align-items: center; }
    .thumbs .name { grid-column: 1 / -1; text-align: left; font-weight: 400; }
    .thumbs span { font-size: 12px; color: var(--dim); text-align: center; min-width: 12px; }
    .thumbs button { padding: 0; border: 0; width: var(--thumb); height: var(--thumb); min-height: 0;
      border-radius: 4px; overflow: hidden; background: none; }
    .thumbs button[aria-checked=true] { outline: 2px solid var(--ink); outline-offset: 1px; }
    .thumbs button:focus-visible { outline: 3px solid var(--accent); }
    canvas { display: block; width: 100%; height: 100%; image-rendering: pixelated; }
    .arcs svg { display: block; max-width: 100%; height: auto; }
    .read { width: 0; min-width: 100%; display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px;
      min-height: 66px; margin-top: 12px; align-content: start; }
    .tops { flex: 1 0 100%; display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 10px; }
    .read b, .chip, .token { font-family: ${MONO}; font-size: 13.5px; overflow-wrap: anywhere; }
    .num { font-size: 21px; font-weight: 650; font-variant-numeric: tabular-nums; }
    .quiet { color: var(--dim); font-size: 14px; }
    .chip { padding: 2px 9px; border-radius: 7px; white-space: pre-wrap;
      background: linear-gradient(to right, var(--tint) var(--w), var(--soft) var(--w)); }
    .foot { display: flex; flex-wrap: wrap; align-items: start; justify-content: space-between; gap: 8px 24px;
      margin-top: 12px; padding-top: 10px; border-top: 1px solid var(--line); }
    .legend { width: 230px; font-size: 12px; color: var(--dim); }
    .scale { height: 8px; border-radius: 4px; margin-bottom: 2px; }
    .ticks { position: relative; height: 18px; }
    .ticks span { position: absolute; transform: translateX(-50%); }
    .ticks span:first-child { transform: none; }
    .ticks span:last-child { transform: translateX(-100%); }
    summary { cursor: pointer; font-size: 14px; color: var(--dim); min-height: 28px; width: max-content;
      border-radius: 6px; padding: 3px 6px; }
    summary:hover { color: var(--ink); }
    details[open] { flex: 1 1 100%; }
    .row { margin-top: 8px; }
    kbd { font: 12px ${MONO}; border: 1px solid var(--line); border-radius: 4px; padding: 1px 5px;
      color: var(--ink); background: var(--soft); }
    .help { font-size: 13px; line-height: 1.9; color: var(--dim); margin: 10px 0 0; max-width: 72ch; }
    .ask p { margin: 0 0 10px; }
    .ask .row { gap: 8px; margin-bottom: 12px; }
    .token { min-height: 34px; white-space: pre; }
    .token.on { background: var(--tint); border-color: var(--accent); }
    .verdict { margin: 0 0 12px; padding: 8px 12px; border-radius: 8px; background: var(--soft); }
    .live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    @media (prefers-reduced-motion: reduce) { .cell { transition: none; } }
    @media (pointer: fine) { .two { --min: 18px; } }
    @media (max-width: 480px) { .card { padding: 12px; } }
    @media print { details { display: none; } }`;

  // ---- Small helpers -----------------------------------------------------------

  // Strings become text nodes, never markup: a token may be called <script>.
  function el(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name.startsWith("on")) node[name] = value;
      else if (value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const esc = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const range = (n) => [...Array(n).keys()];

  function table(ramp) {
    const stops = ramp.split(" ").map((c) => [0, 2, 4].map((i) => parseInt(c.slice(i, i + 2), 16)));
    return range(256).map((q) => {
      const x = (q / 255) * 8, i = Math.min(7, Math.floor(x));
      return [0, 1, 2].map((k) => Math.round(stops[i][k] + (stops[i + 1][k] - stops[i][k]) * (x - i)));
    });
  }
  const shade = (w) => Math.round(Math.sqrt(Math.min(1, w)) * 255);

  // The page's own light or dark: book, JupyterLab, VS Code, Colab, then the system.
  function pageTheme() {
    const { documentElement: page, body } = document;
    const said = page.dataset.theme
      || { true: "light", false: "dark" }[body.dataset.jpThemeLight]
      || body.dataset.vscodeThemeKind
      || page.getAttribute("theme")
      || "";
    if (/dark|^vscode-high-contrast$/.test(said)) return "dark";
    if (/light/.test(said)) return "light";
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  // ---- Numbers -----------------------------------------------------------------

  // w = (q / 255)^2. A row sums to 1, so dividing by its sum undoes most of the rounding.
  function decode(view) {
    const bytes = atob(view.w), size = view.tokens.length;
    const out = new Float32Array(bytes.length);
    for (let start = 0; start < out.length; start += size) {
      let total = 0;
      for (let i = start; i < start + size; i++) total += out[i] = (bytes.charCodeAt(i) / 255) ** 2;
      for (let i = start; total && i < start + size; i++) out[i] /= total;
    }
    return out;
  }

  // The (T, T) weights of one head, or of a summary: rows look at columns.
  function matrix(view, layer, head) {
    const size = view.tokens.length, all = range(size);
    const one = (l, h) => all.map((r) => {
      const start = ((l * view.heads + h) * size + r) * size;
      return [...view.weights.subarray(start, start + size)];
    });
    const over = (l, combine) => {
      const heads = range(view.heads).map((h) => one(l, h));
      return all.map((r) => all.map((c) => combine(heads.map((m) => m[r][c]))));
    };
    const mean = (l) => over(l, (list) => sum(list) / list.length);
    if (head === "mean") return mean(layer);
    if (head === "max") return over(layer, (list) => Math.max(...list));
    if (head !== "rollout") return one(layer, head);
    // Half of each layer's output is its residual input (Abnar and Zuidema 2020).
    let flow = all.map((r) => all.map((c) => +(r === c)));
    for (let l = 0; l <= layer; l++) {
      const step = mean(l).map((row, r) => row.map((w, c) => (w + (r === c)) / 2));
      flow = step.map((row) => all.map((c) => sum(row.map((w, k) => w * flow[k][c]))));
    }
    return flow;
  }

  // Tokens, or words: a piece that begins with ## joins the one before it.
  function groups(tokens, merge) {
    const out = [];
    tokens.forEach((token, i) => {
      if (merge && i && token.startsWith("##")) {
        out.at(-1).text += token.slice(2);
        out.at(-1).ids.push(i);
      } else out.push({ text: token, ids: [i] });
    });
    return out;
  }

  // What a panel shows: p.from and p.to (groups of tokens) and p.m (their weights).
  // Attention to a word is the sum over its pieces, from a word the mean (Clark et al. 2019).
  function select(p, ui) {
    const { view } = p, all = groups(view.tokens, ui.merge);
    const keep = (side) => all.filter(({ ids: [i] }) =>
      !(ui.hide && SPECIAL.test(view.tokens[i]))
      && !(side && view.b && side !== (i < view.b ? "A" : "B")));
    [p.from, p.to] = [keep(ui.sides[0]), keep(ui.sides[1])];
    const weights = matrix(view, p.layer, p.head);
    p.m = p.from.map((from) => {
      const row = p.to.map((to) =>
        sum(from.ids.map((r) => sum(to.ids.map((c) => weights[r][c])))) / from.ids.length);
      const total = ui.renorm && p.to.length < all.length ? sum(row) : 1;
      return row.map((w) => w / (total || 1));
    });
  }

  // What the readout says: picked tokens are summed, else it is the cell pointed at.
  function reading(p) {
    const from = p.picked.from.size ? [...p.picked.from] : p.cell ? [p.cell.r] : [];
    const to = p.picked.to.size ? [...p.picked.to] : p.cell ? [p.cell.c] : [];
    if (!from.length) return null;
    const row = p.to.map((_, c) => sum(from.map((r) => p.m[r][c])));
    const top = range(row.length).sort((a, b) => row[b] - row[a]).slice(0, 3);
    return { from, row, top, value: to.length ? sum(to.map((c) => row[c])) : null,
      fromText: from.map((r) => p.from[r].text).join(" + "),
      toText: to.map((c) => p.to[c].text).join(" + ") };
  }

  const headName = (head) => (SUMMARIES.includes(head) ? head : `head ${head}`);
  const caption = (p) => `${p.view.label ? `${p.view.label}: ` : ""}layer ${p.layer}, ${headName(p.head)}`;

  // ---- One view on the page ----------------------------------------------------

  function start(host, root) {
    const pieces = data.views.some((v) => v.tokens.some((t) => t.startsWith("##")));
    const special = data.views.some((v) => v.tokens.some((t) => SPECIAL.test(t)));
    const single = data.views.length === 1;
    const ui = { merge: false, hide: false, renorm: false, sides: "", arcs: false, linked: !single };
    const panel = (view) => ({ view, layer: Math.min(data.layer, view.layers - 1),
      head: typeof data.head === "string" ? data.head : Math.min(data.head, view.heads - 1),
      cell: null, locked: false, picked: { from: new Set(), to: new Set() } });
    let panels = data.views.map(panel), theme, lut;

    const live = el("div", { class: "live", "aria-live": "polite" });
    const place = el("div", { class: "panels" });
    const scale = el("div", { class: "scale" });
    const ticks = [0, 0.1, 0.25, 0.5, 1].map((w) => el("span", { style: `left:${Math.sqrt(w) * 100}%` }, `${w}`));
    const legend = el("div", { class: "legend", role: "img", "aria-label": "Colour scale of the weights, 0 to 1" },
      "weight", scale, el("div", { class: "ticks" }, ...ticks));
    const foot = el("div", { class: "foot" }, legend, tools());
    const card = el("div", { class: "card", role: "group", "aria-label": data.title || "Attention view" },
      ...(data.title ? [el("div", { class: "title" }, data.title)] : []), place, foot, live);
    const say = (text) => { live.textContent = text; };
    const colour = (w) => `rgb(${lut[shade(w)]})`;
    // Two panels with the same tokens share what is pointed at.
    const together = (p) => panels.filter((q) => q === p || `${q.view.tokens}` === `${p.view.tokens}`);

    // -- Drawing --

    function build() {
      card.classList.toggle("two", panels.length > 1);
      place.replaceChildren(...panels.map((p) => {
        p.cell = null;
        p.locked = false;
        p.picked = { from: new Set(), to: new Set() };
        select(p, ui);
        p.heads = [...range(p.view.heads), ...SUMMARIES];
        p.layerBox = menu("layer", range(p.view.layers), (l) => setHead(p, l, p.head));
        p.headBox = menu("head", p.heads, (i) => setHead(p, p.layer, p.heads[i]));
        p.grid = grid(p);
        p.thumbs = thumbs(p);
        p.painted = null;
        p.arcs = el("div", { class: "arcs", hidden: ui.arcs ? null : "" });
        p.read = el("div", { class: "read" });
        return el("div", { class: "panel", role: "group", style: `--basis:${90 + 20 * p.to.length}px`,
          "aria-label": p.view.label || "Attention weights" },
          el("div", { class: "bar" }, ...(p.view.label ? [el("span", { class: "name" }, p.view.label)] : []),
            p.layerBox, p.headBox),
          el("div", { class: "body" }, el("div", { class: "main" }, el("div", { class: "box" }, p.grid), p.read),
            p.arcs, p.thumbs));
      }));
      panels.forEach(paint);
    }

    function menu(name, options, change) {
      const box = el("select", { "aria-label": name, onchange: () => change(box.selectedIndex) },
        ...options.map((o) => el("option", {}, `${o}`)));
      return el("label", {}, name, box);
    }

    function grid(p) {
      const wide = panels.length > 1 ? 360 : p.to.length > 12 ? 560 : 380;
      const button = (kind, role, i, text) => el("div", { class: `head ${kind}`, role },
        el("button", { tabindex: -1, "aria-pressed": "false", title: text, "data-kind": kind, "data-i": i }, text));
      p.tops = p.to.map((g, c) => button("to", "columnheader", c, g.text));
      p.sides = p.from.map((g, r) => button("from", "rowheader", r, g.text));
      const first = (list) => list.findIndex((g) => p.view.b && g.ids[0] >= p.view.b);
      const [bFrom, bTo] = [first(p.from), first(p.to)];
      p.cells = p.from.map((_, r) => p.to.map((_, c) => el("div", {
        class: `cell${r && r === bFrom ? " b-top" : ""}${c && c === bTo ? " b-left" : ""}`,
        role: "gridcell", tabindex: r + c ? -1 : 0, "data-r": r, "data-c": c })));
      p.lines = p.cells.map((cells, r) => el("div", { class: "line", role: "row" }, p.sides[r], ...cells));
      const corner = el("div", { class: "head from corner", role: "columnheader" }, "to →", el("br"), "from ↓");
      const node = el("div", { class: "grid", role: "grid", "aria-label": "Attention weights, from rows to columns",
        style: `--n:${p.to.length};--side:${Math.max(24, Math.min(52, wide / p.to.length))}px` },
        el("div", { class: "line", role: "row" }, corner, ...p.tops), ...p.lines);
      const at = ({ target: { dataset } }) => (dataset.r ? [+dataset.r, +dataset.c] : null);
      node.onpointerover = (e) => at(e) && !p.locked && point(p, ...at(e));
      node.addEventListener("focusin", (e) => {
        if (!at(e) || !e.target.matches(":focus-visible")) return;
        point(p, ...at(e));
        say(spoken(p));
      });
      node.onclick = (e) => {
        const { kind, i } = e.target.dataset;
        if (kind) pick(p, kind, +i);
        else if (at(e)) toggleLock(p, ...at(e));
      };
      node.onkeydown = (e) => gridKey(p, e);
      return node;
    }

    function thumbs(p) {
      const { layers, heads, tokens: { length: size } } = p.view;
      const side = heads > 8 ? 24 : heads > 4 ? 30 : 38;
      p.canvases = range(layers).map(() => range(heads).map(() => el("canvas", { width: size, height: size })));
      const box = el("div", { class: "thumbs", role: "radiogroup", "aria-label": "All heads, one row for each layer",
        style: `--n:${heads};--thumb:${side}px`, hidden: layers * heads > 1 ? null : "" });
      box.append(el("span", { class: "name" }, "layer ↓ head →"), el("span"),
        ...range(heads).map((h) => el("span", {}, `${h}`)));
      p.buttons = p.canvases.map((row, l) => row.map((canvas, h) => {
        const name = `layer ${l}, head ${h}`;
        return el("button", { role: "radio", "aria-label": name, title: name, "data-l": l, "data-h": h,
          onclick: () => setHead(p, l, h) }, canvas);
      }));
      p.buttons.forEach((row, l) => box.append(el("span", {}, `${l}`), ...row));
      box.onkeydown = (e) => {
        const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
        const [dl, dh] = steps[e.key] || [];
        const { l, h } = e.target.dataset;
        const next = dl !== undefined && p.buttons[+l + dl]?.[+h + dh];
        if (dl !== undefined) stop(e);
        if (next) { next.click(); next.focus(); }
      };
      return box;
    }

    function paintThumbs(p) {
      const size = p.view.tokens.length;
      p.painted = lut;
      p.canvases.forEach((row, l) => row.forEach((canvas, h) => {
        const image = new ImageData(size, size), start = (l * p.view.heads + h) * size * size;
        for (let i = 0; i < size * size; i++)
          image.data.set([...lut[shade(p.view.weights[start + i])], 255], 4 * i);
        canvas.getContext("2d").putImageData(image, 0, 0);
      }));
    }

    // Colours, choices and readout of one panel, from its state.
    function paint(p) {
      p.layerBox.lastChild.selectedIndex = p.layer;
      p.headBox.lastChild.selectedIndex = p.heads.indexOf(p.head);
      p.cells.forEach((row, r) => row.forEach((cell, c) => { cell.style.backgroundColor = colour(p.m[r][c]); }));
      const tab = p.buttons[p.layer][p.head] ? p.head : 0;
      p.buttons.forEach((row, l) => row.forEach((button, h) => {
        button.setAttribute("aria-checked", l === p.layer && h === p.head);
        button.tabIndex = l === p.layer && h === tab ? 0 : -1;
      }));
      if (p.painted !== lut) paintThumbs(p);
      mark(p);
    }

    // Everything that follows the pointer: rings, labels, arcs, readout.
    function mark(p) {
      const old = p.grid.querySelector(".at"), { cell, picked } = p;
      old?.classList.remove("at");
      if (cell) {
        p.grid.querySelector(".cell[tabindex='0']").tabIndex = -1;
        p.cells[cell.r][cell.c].tabIndex = 0;
        p.cells[cell.r][cell.c].classList.add("at");
      }
      const on = (r) => (picked.from.size ? picked.from.has(r) : cell?.r === r);
      p.lines.forEach((line, r) => line.classList.toggle("on", on(r)));
      p.sides.forEach((head, r) => head.classList.toggle("on", on(r)));
      p.tops.forEach((head, c) => head.classList.toggle("on", cell?.c === c));
      for (const [heads, set] of [[p.sides, picked.from], [p.tops, picked.to]])
        heads.forEach((head, i) => head.firstChild.setAttribute("aria-pressed", set.has(i)));
      p.grid.classList.toggle("fixed", p.locked || picked.from.size > 0);
      if (ui.arcs) p.arcs.innerHTML = svg(arcs(p), `Lines from each token to where it looks, ${caption(p)}`);
      p.read.replaceChildren(...readout(p));
    }

    function readout(p) {
      const now = reading(p), quiet = (text) => el("span", { class: "quiet" }, text);
      if (!now) return [quiet("Point at a cell, tap it, or move with the arrow keys.")];
      return [
        el("span", {}, quiet("from "), el("b", {}, now.fromText), quiet(" to "), el("b", {}, now.toText || "…")),
        ...(now.value === null ? [] : [el("span", { class: "num" }, now.value.toFixed(3))]),
        ...(p.locked ? [quiet("locked, Esc frees it")] : []),
        el("div", { class: "tops" }, quiet("most to"), ...now.top.map((c) =>
          el("span", { class: "chip", style: `--w:${(now.row[c] / now.from.length) * 100}%` },
            `${p.to[c].text} ${now.row[c].toFixed(3)}`))),
      ];
    }
    const spoken = (p) => {
      const now = reading(p);
      return now?.value == null ? "" : `from '${now.fromText}' to '${now.toText}': ${now.value.toFixed(3)}`;
    };

    // -- What the reader does --

    function setHead(p, layer, head) {
      for (const q of ui.linked ? panels : [p]) {
        q.layer = Math.min(layer, q.view.layers - 1);
        q.head = typeof head === "number" ? Math.min(head, q.view.heads - 1) : head;
        select(q, ui);
        paint(q);
      }
      say(`${caption(p)}. ${spoken(p)}`);
    }

    function point(p, r, c) {
      for (const q of together(p)) {
        q.cell = { r, c };
        mark(q);
      }
    }

    function toggleLock(p, r, c) {
      const free = p.locked && p.cell.r === r && p.cell.c === c;
      for (const q of together(p)) q.locked = !free;
      point(p, r, c);
      say(`${spoken(p)}${free ? ", unlocked" : ", locked"}`);
    }

    function pick(p, kind, i) {
      for (const q of together(p)) {
        const set = q.picked[kind];
        if (!set.delete(i)) set.add(i);
        mark(q);
      }
      say(spoken(p));
    }

    function release() {
      for (const p of panels) {
        p.locked = false;
        p.picked.from.clear();
        p.picked.to.clear();
        mark(p);
      }
      say("unlocked");
    }

    function stop(event) {
      event.preventDefault();
      event.stopPropagation();
    }

    // The page outside must not take these keys for its own (next chapter, delete cell).
    function gridKey(p, event) {
      const { key, target: { dataset } } = event, head = p.heads.indexOf(p.head);
      if (event.ctrlKey || event.metaKey || event.altKey || !dataset.r) return;
      const [r, c] = [+dataset.r, +dataset.c];
      const [bottom, right] = [p.from.length - 1, p.to.length - 1];
      const move = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
        Home: [r, 0], End: [r, right] }[key];
      const layer = { PageUp: p.layer - 1, PageDown: p.layer + 1 }[key];
      const next = { "[": head - 1, "]": head + 1 }[key];
      if (move) p.cells[Math.max(0, Math.min(bottom, move[0]))][Math.max(0, Math.min(right, move[1]))].focus();
      else if (layer !== undefined) setHead(p, Math.max(0, Math.min(p.view.layers - 1, layer)), p.head);
      else if (next !== undefined) setHead(p, p.layer, p.heads.at(next % p.heads.length));
      else if (key === "Enter" || key === " ") toggleLock(p, r, c);
      else if (key === "r") pick(p, "from", r);
      else if (key === "c") pick(p, "to", c);
      else return;
      stop(event);
    }

    function tools() {
      const check = (name, key, more = {}) => {
        const box = el("input", { type: "checkbox", ...more,
          onchange: () => { ui[key] = box.checked; if (key === "second") second(); build(); } });
        box.checked = ui[key];
        return el("label", {}, box, name);
      };
      const sides = ["all tokens", "A to A", "A to B", "B to A", "B to B"];
      const filter = el("select", { "aria-label": "sentences", onchange: () => {
        ui.sides = ["", "AA", "AB", "BA", "BB"][filter.selectedIndex];
        build();
      } }, ...sides.map((name) => el("option", {}, name)));
      const save = (name, go) => el("button", { onclick: go, "aria-label": `Save as ${name}` }, name);
      const shown = (test, node) => (test ? [node] : []);
      const keys = { "arrows Home End": "move", "Enter": "lock", "Esc": "free", "[ ]": "head", "PgUp PgDn": "layer",
        "r c": "add this row or column to a sum" };
      return el("details", {}, el("summary", {}, "More tools"),
        el("div", { class: "row" },
          ...shown(special, check("hide [CLS] and [SEP]", "hide")),
          ...shown(special || data.views.some((v) => v.b), check("rows sum to 1 again", "renorm")),
          ...shown(pieces, check("merge pieces into words", "merge")),
          check("arcs", "arcs"),
          single ? check("second head", "second") : check("same head in both", "linked"),
          ...shown(data.views.some((v) => v.b), el("label", {}, "sentences", filter))),
        el("div", { class: "row" }, save("PNG", savePng), save("SVG", () => saveAs("svg", drawing())),
          save("CSV", () => saveAs("csv", csv()))),
        el("p", { class: "help" }, "Choose token labels to sum over several tokens. In the grid: ",
          ...Object.entries(keys).flatMap(([names, what]) =>
            [...names.split(" ").flatMap((name) => [el("kbd", {}, name), " "]), `${what}. `])));
    }

    function second() {
      panels = panels.slice(0, 1);
      if (!ui.second) return;
      const [{ view, layer, head }] = panels;
      panels.push({ ...panel(view), layer, head: (+head + 1 || 0) % view.heads });
    }

    // -- Predict first --

    function ask() {
      const { tokens } = data.views[0], row = data.predict;
      const box = el("div", { class: "ask" });
      const reveal = (guess) => {
        box.replaceChildren();
        place.hidden = foot.hidden = false;
        build();
        const told = panels.map((p) => {
          const weights = p.m[row], best = Math.max(...weights), top = weights.indexOf(best);
          point(p, row, top);
          p.locked = true;
          mark(p);
          const yours = guess === null ? "" : weights[guess] === best ? "You were right. "
            : `You said '${tokens[guess]}', which gets ${weights[guess].toFixed(3)}. `;
          return `${yours}In ${caption(p)}, '${tokens[row]}' looks most at '${tokens[top]}': ${best.toFixed(3)}.`;
        });
        box.append(...told.map((text) => el("p", { class: "verdict" }, text)));
        say(told.join(" "));
        panels[0].grid.querySelector(".at").focus();
      };
      const choice = (token, i) =>
        el("button", { class: `token${i === row ? " on" : ""}`, onclick: () => reveal(i) }, token);
      box.append(el("p", {}, "Predict first: where does ", el("b", { class: "token" }, tokens[row]),
        ` look most in ${caption(panels[0])}? Choose a token.`),
        el("div", { class: "row" }, ...tokens.map(choice)),
        el("button", { class: "skip", onclick: () => reveal(null) }, "Show without a guess"));
      place.hidden = foot.hidden = true;
      place.before(box);
    }

    // -- Saving --

    function saveAs(kind, content) {
      const [{ layer, head }] = panels, types = { svg: "image/svg+xml", csv: "text/csv", png: "image/png" };
      const link = el("a", { href: URL.createObjectURL(new Blob([content], { type: types[kind] })),
        download: `attention-layer${layer}-${headName(head).replace(" ", "")}.${kind}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 9999);
    }

    // One block of rows for each panel; the first cell says what it is.
    function csv() {
      const quote = (text) => `"${text.replace(/"/g, '""')}"`;
      return panels.map((p) => [[`${caption(p)}, from rows to columns`, ...p.to.map((g) => g.text)].map(quote),
        ...p.m.map((row, r) => [quote(p.from[r].text), ...row.map((w) => w.toFixed(4))])]
        .map((line) => line.join(",")).join("\n")).join("\n\n") + "\n";
    }

    const word = (x, y, text, more = "") => `<text x="${x}" y="${y}" ${more}>${esc(text)}</text>`;
    const svg = ({ width, height, body }, name) =>
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`
      + ` viewBox="0 0 ${width} ${height}" role="img" aria-label="${esc(name)}"`
      + ` font-family="${MONO}" font-size="12" fill="${THEMES[theme].ink}">${body}</svg>`;
    const widest = (list) => 16 + 7.3 * Math.max(4, ...list.map((g) => g.text.length));

    // Tokens on the left look at tokens on the right.
    function arcs(p) {
      const left = widest(p.from), right = left + 150, y = (i) => 32 + 24 * i;
      const now = p.picked.from.size ? [...p.picked.from] : p.cell ? [p.cell.r] : range(p.from.length);
      const line = (r, c, w) => `<path d="M${left} ${y(r)}C${left + 75} ${y(r)} ${right - 75} ${y(c)} ${right} ${y(c)}"`
        + ` fill="none" stroke="${colour(Math.max(w, 0.06))}" stroke-width="${(1 + 6 * w).toFixed(1)}"/>`;
      const lines = now.flatMap((r) => p.m[r].map((w, c) => (w < 0.02 ? "" : line(r, c, w))));
      return { width: right + widest(p.to), height: y(Math.max(p.from.length, p.to.length)),
        body: word(left - 6, 12, "from", 'text-anchor="end"') + word(right + 6, 12, "to") + lines.join("")
          + p.from.map((g, r) => word(left - 6, y(r) + 4, g.text, 'text-anchor="end"')).join("")
          + p.to.map((g, c) => word(right + 6, y(c) + 4, g.text)).join("") };
    }

    function heat(p) {
      const left = widest(p.from), top = widest(p.to) + 24, x = (c) => left + 24 * c, y = (r) => top + 24 * r;
      const name = (g, c) => `<g transform="translate(${x(c) + 16} ${top - 8}) rotate(-90)">${word(0, 0, g.text)}</g>`;
      const tile = (w, r, c) => `<rect x="${x(c)}" y="${y(r)}" width="22" height="22" rx="3" fill="${colour(w)}"/>`;
      const line = (row, r) => word(left - 8, y(r) + 16, p.from[r].text, 'text-anchor="end"')
        + row.map((w, c) => tile(w, r, c)).join("");
      return { width: x(p.to.length) + 8, height: y(p.from.length) + 8,
        body: word(8, 16, caption(p)) + word(8, top - 8, "from / to")
          + p.to.map(name).join("") + p.m.map(line).join("") };
    }

    function drawing() {
      let width = 0, body = `<rect width="100%" height="100%" fill="${THEMES[theme].card}"/>`;
      const parts = panels.flatMap((p) => (ui.arcs ? [heat(p), arcs(p)] : [heat(p)]));
      for (const part of parts) {
        body += `<g transform="translate(${width} 0)">${part.body}</g>`;
        width += part.width;
      }
      const height = Math.max(...parts.map((part) => part.height));
      return svg({ width, height, body }, panels.map(caption).join("; "));
    }

    function savePng() {
      const image = new Image();
      image.onload = () => {
        const canvas = el("canvas", { width: image.width * 2, height: image.height * 2 });
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => saveAs("png", blob));
      };
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing())}`;
    }

    // -- Light and dark --

    function follow() {
      if (theme === pageTheme()) return;
      theme = pageTheme();
      lut = table(THEMES[theme].ramp);
      card.dataset.theme = theme;
      scale.style.background = `linear-gradient(to right, #${THEMES[theme].ramp.split(" ").join(", #")})`;
      panels.forEach((p) => p.grid && paint(p));
    }
    follow();
    build();
    if (data.predict !== null) ask();
    card.onkeydown = (e) => {
      if (e.key !== "Escape" || !panels.some((p) => p.locked || p.picked.from.size || p.picked.to.size)) return;
      release();
      stop(e);
    };
    root.append(el("style", {}, CSS), card);
    const watch = new MutationObserver(follow);
    for (const node of [document.documentElement, document.body])
      watch.observe(node, { attributes: true,
        attributeFilter: ["data-theme", "theme", "data-jp-theme-light", "data-vscode-theme-kind"] });
    matchMedia("(prefers-color-scheme: dark)").onchange = follow;
  }

  // Colab may run the script before its markup is there: try again for two seconds.
  // Equal views have equal keys, so every host that is still empty gets its view.
  const end = Date.now() + 2000;
  (function find() {
    const hosts = [...document.querySelectorAll(`[data-attn="${key}"]`)].filter((host) => !host.shadowRoot);
    if (!hosts.length && Date.now() < end) setTimeout(find, 50);
    for (const host of hosts) {
      const root = host.attachShadow({ mode: "open" });
      try {
        for (const view of data.views) view.weights = decode(view);
        start(host, root);
      } catch (error) {
        root.innerHTML = "<slot></slot>";
        throw error;
      }
    }
  })();
}
