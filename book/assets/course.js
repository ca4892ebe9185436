/* The book's own script: reading progress, tab stops on what scrolls, print. */
(() => {
  "use strict";
  const KEY = "bert-from-scratch:read";

  /* ---- progress, kept in this browser ---- */

  function load() {
    try {
      const names = JSON.parse(localStorage.getItem(KEY) || "[]");
      return new Set(Array.isArray(names) ? names : []);
    } catch {
      return null; // storage refused: no progress, no box
    }
  }

  function save(read) {
    try {
      localStorage.setItem(KEY, JSON.stringify([...read].sort()));
    } catch { /* a full or closed storage costs the tick alone */ }
  }

  function mark(element, isRead, text) {
    const old = element.querySelector(":scope > .read-mark");
    if (old) old.remove();
    if (!isRead) return;
    const span = document.createElement("span");
    span.className = "read-mark";
    span.textContent = text;
    element.append(" ", span);
  }

  function showSidebar(read) {
    for (const link of document.querySelectorAll(".bd-links a.reference")) {
      const path = decodeURI(link.pathname || "");
      const isRead = [...read].some((name) => path.endsWith(`/${name}.html`));
      mark(link, isRead, "read");
    }
  }

  function showCards(read) {
    const cards = [...document.querySelectorAll(".chapter-card[data-chapter]")];
    for (const card of cards) {
      mark(card, read.has(card.dataset.chapter), "Read");
    }
    const line = document.querySelector("#progress-line");
    if (!line || cards.length === 0) return;
    const next = cards.find((card) => !read.has(card.dataset.chapter));
    const count = cards.filter((card) => read.has(card.dataset.chapter)).length;
    line.textContent = `You have read ${count} of ${cards.length} chapters. `;
    line.hidden = count === 0;
    if (next) {
      const link = next.querySelector("a").cloneNode(true);
      line.append("Next: ", link);
    }
  }

  function show(read) {
    showSidebar(read);
    showCards(read);
    for (const box of document.querySelectorAll(".read-box")) {
      box.hidden = false;
      box.querySelector("input").checked = read.has(box.dataset.chapter);
    }
  }

  function startProgress() {
    const read = load();
    if (!read) return;
    show(read);
    document.addEventListener("change", (event) => {
      const box = event.target.closest(".read-box");
      if (!box) return;
      const now = load() || new Set();
      if (event.target.checked) now.add(box.dataset.chapter);
      else now.delete(box.dataset.chapter);
      save(now);
      show(now);
    });
    addEventListener("storage", () => show(load() || new Set()));
    addEventListener("pageshow", () => show(load() || new Set()));
  }

  /* ---- what scrolls can be reached with the keyboard ---- */

  const SCROLLS = "pre, .output.text_html, .pst-scrollable-table-container, " +
    "mjx-container[display], div.math";

  function addTabStops() {
    for (const box of document.querySelectorAll(`.bd-article :is(${SCROLLS})`)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else if (!box.matches("mjx-container")) box.removeAttribute("tabindex");
    }
  }

  /* ---- on paper every fold is open ---- */

  function startPrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const fold of opened) fold.open = true;
    });
    addEventListener("afterprint", () => {
      for (const fold of opened) fold.open = false;
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    startProgress();
    startPrint();
    addTabStops();
    document.addEventListener("toggle", addTabStops, true);
    addEventListener("resize", addTabStops);
    addEventListener("load", () => {
      const math = window.MathJax?.startup?.promise;
      if (math) math.then(addTabStops);
      addTabStops();
      document.fonts?.ready.then(addTabStops);
    });
  });
})();
