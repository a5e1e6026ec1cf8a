"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svg = document.querySelector("svg.picture");
  const view = document.getElementById("view");
  const panel = document.getElementById("panel");
  const details = document.getElementById("details");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const marks = [...svg.querySelectorAll("g.place")];
  const markOf = new Map(marks.map((mark) => [mark.dataset.place, mark]));
  const wayMarks = [...svg.querySelectorAll("g.way")];
  const places = new Map();
  const graphs = new Map();
  for (const graph of data.graphs) {
    for (const place of graph.places) { places.set(place.id, place); graphs.set(place.id, graph); }
  }
  const whole = svg.viewBox.baseVal;
  const all = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  let box = { ...all };

  // --- zoom and pan, all in the coordinates of the drawing
  const scale = () => Math.max(box.width / svg.clientWidth, box.height / svg.clientHeight);
  const show = () => svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`);
  const point = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const fit = () => { box = { ...all }; show(); };
  const zoom = (factor, at) => {
    const width = Math.min(Math.max(box.width * factor, 60), all.width * 8);
    const by = width / box.width;
    const middle = at || { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    box = { x: middle.x - (middle.x - box.x) * by, y: middle.y - (middle.y - box.y) * by, width, height: box.height * by };
    show();
  };
  // large graphs begin where they can be read, at their start
  const begin = () => {
    fit();
    const small = scale();
    if (small <= 1.6) return;
    const width = svg.clientWidth * 1.25, height = svg.clientHeight * 1.25;
    const first = rectOf(marks[0]);
    box = { x: first.x + first.width / 2 - width / 2, y: first.y - 24, width, height };
    show();
  };
  const rectOf = (mark) => {
    const shape = mark.getBBox();
    const into = svg.getScreenCTM().inverse().multiply(mark.getScreenCTM());
    const corner = new DOMPoint(shape.x, shape.y).matrixTransform(into);
    return { x: corner.x, y: corner.y, width: shape.width, height: shape.height };
  };
  const bringInto = (mark) => {
    const rect = rectOf(mark), margin = 20;
    const seen = { width: svg.clientWidth * scale(), height: svg.clientHeight * scale() };
    const left = box.x + box.width / 2 - seen.width / 2, top = box.y + box.height / 2 - seen.height / 2;
    let dx = 0, dy = 0;
    if (rect.x < left + margin || rect.x + rect.width > left + seen.width - margin) dx = rect.x + rect.width / 2 - left - seen.width / 2;
    if (rect.y < top + margin || rect.y + rect.height > top + seen.height - margin) dy = rect.y + rect.height / 2 - top - seen.height / 2;
    if (dx || dy) { box.x += dx; box.y += dy; show(); }
  };
  document.getElementById("in").onclick = () => zoom(0.8);
  document.getElementById("out").onclick = () => zoom(1.25);
  document.getElementById("fit").onclick = fit;
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) { zoom(Math.exp(event.deltaY * 0.01), point(event)); return; }
    box.x += event.deltaX * scale(); box.y += event.deltaY * scale(); show();
  }, { passive: false });
  const fingers = new Map();
  let moved = 0;
  view.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); if (fingers.size === 1) moved = 0; });
  window.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 5) return;
    view.classList.add("moving");
    if (fingers.size === 2) {
      const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      zoom(apart(before) / apart(event), point(event));
    } else {
      box.x -= dx * scale(); box.y -= dy * scale(); show();
    }
    fingers.set(event.pointerId, event);
  });
  const lift = (event) => { fingers.delete(event.pointerId); if (!fingers.size) view.classList.remove("moving"); };
  window.addEventListener("pointerup", lift);
  window.addEventListener("pointercancel", lift);

  // --- the panel; everything is set as text
  const element = (tag, text) => { const made = document.createElement(tag); if (text !== undefined) made.textContent = text; return made; };
  const words = (value, indent = "") => {
    if (value === null || typeof value !== "object") return String(value);
    if (Array.isArray(value)) {
      if (value.every((item) => item === null || typeof item !== "object")) return value.join(", ");
      return value.map((item) => `${indent}- ${words(item, indent + "  ").trimStart()}`).join("\n");
    }
    return Object.entries(value).map(([key, item]) => {
      const text = words(item, indent + "  ");
      return item !== null && typeof item === "object" && !(Array.isArray(item) && !text.includes("\n")) ? `${indent}${key}:\n${text}` : `${indent}${key}: ${text}`;
    }).join("\n");
  };
  const section = (title, value) => { details.append(element("h3", title), element("pre", words(value))); };
  const jump = (id, text) => { const item = element("li"), button = element("button", text); button.type = "button"; button.onclick = () => choose(markOf.get(id), true); item.append(button); return item; };
  const ways = (title, list, end) => {
    if (!list.length) return;
    const items = element("ul");
    for (const way of list) items.append(jump(way[end], [way.label, places.get(way[end]).name].filter(Boolean).join(" → ")));
    details.append(element("h3", title), items);
  };
  const open = (build) => { details.replaceChildren(); build(); panel.hidden = false; panel.scrollTop = 0; };
  const work = (place) => {
    for (const [key, value] of Object.entries(place.details)) section(key, value);
    for (const inner of place.inside) {
      if (!inner.name) continue;
      details.append(element("h2", inner.name), element("p", [inner.says, ...inner.notes].join(" · ")));
      work(inner);
    }
  };
  const tell = (place) => open(() => {
    const graph = graphs.get(place.id);
    details.append(element("h2", place.name));
    details.append(element("p", [place.kind === "router" ? "router" : "", place.says, ...place.notes, place.stuck ? "leads nowhere" : "", place.reached ? "" : "not reached"].filter(Boolean).join(" · ")));
    if (graph.id) details.append(element("p", `in graph ${graph.name}`));
    const inside = data.graphs.find((one) => one.id && one.id === place.graph);
    if (inside) { const items = element("ul"); items.append(jump(inside.places[0].id, `open graph ${inside.name}`)); details.append(items); }
    work(place);
    for (const name of place.agents) if (data.agents[name]) section(`agent ${name}`, data.agents[name]);
    for (const name of place.tools) if (data.tools[name]) section(`tool ${name}`, data.tools[name]);
    ways("goes to", graph.ways.filter((way) => way.source === place.id), "target");
    ways("comes from", graph.ways.filter((way) => way.target === place.id), "source");
  });
  const file = () => open(() => {
    details.append(element("h2", data.name), element("p", data.description));
    for (const key of ["limits", "tiers", "agents", "tools"]) if (Object.keys(data[key]).length) section(key, data[key]);
  });
  const close = () => { panel.hidden = true; touch(null); };
  const touch = (mark) => {
    for (const one of svg.querySelectorAll(".chosen")) one.classList.remove("chosen");
    const id = mark ? mark.dataset.place : null;
    if (mark) mark.classList.add("chosen");
    for (const way of wayMarks) way.classList.toggle("touching", id !== null && (way.dataset.from === id || way.dataset.to === id));
  };
  const choose = (mark, focus) => {
    if (!mark) return;
    tell(places.get(mark.dataset.place));
    touch(mark);
    if (focus) mark.focus({ preventScroll: true });
    bringInto(mark);
  };
  document.getElementById("close").onclick = () => { const chosen = svg.querySelector(".chosen"); close(); if (chosen) chosen.focus({ preventScroll: true }); };
  document.getElementById("about").onclick = () => { touch(null); file(); };
  svg.addEventListener("click", (event) => {
    if (moved >= 5) return;
    const mark = event.target.closest("g.place");
    if (mark) choose(mark, true);
  });
  svg.addEventListener("focusin", (event) => { const mark = event.target.closest("g.place"); if (mark && mark.matches(":focus-visible")) bringInto(mark); });

  // --- keys
  const step = (mark, key) => {
    const from = rectOf(mark), along = key === "ArrowLeft" || key === "ArrowRight" ? "x" : "y";
    const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    const middle = (rect) => ({ x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 });
    const here = middle(from), across = along === "x" ? "y" : "x";
    let best = null, least = Infinity;
    for (const other of marks) {
      if (other === mark) continue;
      const there = middle(rectOf(other)), ahead = (there[along] - here[along]) * sign;
      if (ahead <= 4) continue;
      const cost = ahead + 2.5 * Math.abs(there[across] - here[across]);
      if (cost < least) { least = cost; best = other; }
    }
    if (best) { best.focus({ preventScroll: true }); bringInto(best); }
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { if (document.activeElement === search) { search.value = ""; look(); } close(); return; }
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); }
    else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else if (event.key === "0") fit();
    const mark = event.target.closest ? event.target.closest("g.place") : null;
    if (!mark) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(mark, true); }
    else if (event.key.startsWith("Arrow")) { event.preventDefault(); step(mark, event.key); }
  });

  // --- search: every word must be in what the place says or in its keys
  const texts = new Map(marks.map((mark) => [mark, JSON.stringify(places.get(mark.dataset.place)).toLowerCase()]));
  let matches = [], next = 0;
  const look = () => {
    const parts = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = parts.length ? marks.filter((mark) => parts.every((part) => texts.get(mark).includes(part))) : [];
    next = 0;
    svg.classList.toggle("searching", parts.length > 0);
    for (const mark of marks) mark.classList.toggle("match", matches.includes(mark));
    found.textContent = parts.length ? `${matches.length} found` : "";
  };
  search.addEventListener("input", look);
  document.getElementById("find").addEventListener("submit", (event) => {
    event.preventDefault();
    if (matches.length) choose(matches[next++ % matches.length], false);
  });
  begin();
})();
