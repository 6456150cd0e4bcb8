"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { studies, pictures } = data;
const at = (name) => studies.columns.indexOf(name);
const words = new Intl.Collator("en", { numeric: true });

function make(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const digits = (name) => (name.endsWith(" ml") ? 3 : name === "score" || name === "spacing mm" ? 2 : name.endsWith(" mm") ? 1 : 0);
const shown = (value, name) =>
  value === null ? "" : typeof value === "number" ? value.toFixed(digits(name)) : value;

/** A filtered, sorted and paged view of rows; `draw` puts the rows of one page on show. */
function view(section, columns, rows, size, choices, draw) {
  const tools = section.querySelector(".tools");
  const search = make("input", "", { type: "search", placeholder: "filter", "aria-label": "filter" });
  const count = make("span", "", { class: "soft", role: "status" });
  const back = make("button", "‹ previous", { type: "button" });
  const next = make("button", "next ›", { type: "button" });
  const selects = choices.map((name) => {
    const place = columns.indexOf(name);
    const select = make("select", "", { "aria-label": name, "data-column": name });
    const values = [...new Set(rows.map((row) => row[place]))].filter((value) => value !== null && value !== "");
    select.append(make("option", `any ${name}`, { value: "" }), ...values.sort(words.compare).map((value) => make("option", value, { value })));
    return { select, place };
  });
  tools.append(search, ...selects.map((one) => one.select), back, next, count);
  let order = rows.map((_, n) => n);
  let kept = order;
  let page = 0;
  let texts = null;
  function turn(to) {
    page = Math.max(0, Math.min(to, Math.ceil(kept.length / size) - 1));
    const part = kept.slice(page * size, (page + 1) * size);
    back.disabled = page === 0;
    next.disabled = (page + 1) * size >= kept.length;
    const range = kept.length ? `${page * size + 1}–${page * size + part.length} of ` : "";
    count.textContent = `${range}${kept.length}${kept.length < rows.length ? `, from ${rows.length}` : ""}`;
    draw(part);
  }
  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length) texts ??= rows.map((row) => row.join("\n").toLowerCase());
    const chosen = selects.filter((one) => one.select.value !== "");
    kept = order.filter(
      (n) => chosen.every((one) => rows[n][one.place] === one.select.value) && wanted.every((word) => texts[n].includes(word)),
    );
    turn(0);
  }
  function sort(place, down) {
    const way = down ? -1 : 1;
    order = rows.map((_, n) => n).sort((a, b) => {
      const [x, y] = [rows[a][place], rows[b][place]];
      if (x === y) return a - b;
      if (x === null || y === null) return x === null ? 1 : -1;
      return way * (typeof x === "number" ? x - y : words.compare(x, y)) || a - b;
    });
    filter();
  }
  function choose(text, values) {
    search.value = text;
    for (const { select } of selects) select.value = values[select.dataset.column] ?? "";
    filter();
    section.scrollIntoView();
  }
  search.addEventListener("input", filter);
  for (const { select } of selects) select.addEventListener("change", filter);
  back.addEventListener("click", () => turn(page - 1));
  next.addEventListener("click", () => turn(page + 1));
  filter();
  return { sort, choose };
}

/** The picture and the facts of a study's row, and of one of its objects where one is given. */
function open(n, object = {}) {
  const dialog = document.getElementById("detail");
  const row = studies.rows[n];
  const folder = `done/${encodeURIComponent(row[at("key")] ?? "")}/`;
  dialog.querySelector("h2").textContent = object.id ? `${object.class} ${object.id} of study ${row[at("study")]}` : `Study ${row[at("study")]}`;
  const picture = dialog.querySelector("img");
  picture.hidden = !pictures[n];
  picture.src = pictures[n] ? `data:image/jpeg;base64,${pictures[n]}` : "";
  const link = dialog.querySelector("a");
  link.hidden = row[at("state")] !== "done";
  link.href = `${folder}preview.png`;
  const facts = [...Object.entries(object), ...studies.columns.map((name, k) => [name, row[k]])];
  const said = facts.filter(([, value]) => value !== null && value !== "");
  dialog.querySelector("dl").replaceChildren(...said.flatMap(([name, value]) => [make("dt", name), make("dd", shown(value, name))]));
  dialog.showModal();
}

function table(id, columns, rows, choices, hidden, pick) {
  const section = document.getElementById(id);
  const seen = columns.map((name, place) => ({ name, place })).filter((one) => !hidden.includes(one.name));
  const numbers = new Set(columns.filter((_, place) => rows.some((row) => typeof row[place] === "number")));
  const side = (name) => (numbers.has(name) ? "number" : "text");
  const body = section.querySelector("tbody");
  const made = view(section, columns, rows, 100, choices, (part) => {
    body.replaceChildren(
      ...part.map((n) => {
        const line = make("tr");
        line.append(...seen.map(({ name, place }) => make("td", shown(rows[n][place], name), { class: side(name) })));
        const button = make("button", line.firstChild.textContent, { type: "button", class: "link" });
        button.addEventListener("click", () => pick(n));
        line.firstChild.replaceChildren(button);
        return line;
      }),
    );
  });
  const heads = seen.map(({ name, place }) => {
    const head = make("th", "", { class: side(name), scope: "col" });
    const button = make("button", name, { type: "button" });
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      made.sort(place, down);
    });
    head.append(button);
    return head;
  });
  section.querySelector("thead tr").replaceChildren(...heads);
  return made;
}

const all = table("studies", studies.columns, studies.rows, ["state", "model", "reason"], ["slices", "spacing mm", "what happened", "what to do", "key"], (n) => open(n));

for (const id of ["lesions", "organs"]) {
  if (!document.getElementById(id)) continue;
  const { columns, rows } = data[id];
  const about = ["study", "patient", "model"];
  const whole = rows.map(([n, ...cells]) => [...about.map((name) => studies.rows[n][at(name)]), ...cells]);
  const names = [...about, ...columns.slice(1)];
  table(id, names, whole, ["model", "class"], [], (n) =>
    open(rows[n][0], Object.fromEntries(columns.slice(1).map((name, k) => [name, rows[n][k + 1]]))),
  );
}

const gallery = document.getElementById("gallery");
if (gallery) {
  const places = Object.keys(pictures).map(Number);
  const said = places.map((n) => ["study", "patient", "model", "flags"].map((name) => studies.rows[n][at(name)]));
  for (const row of said) row.push(row[3] ? "with a flag" : "without");
  view(gallery, ["study", "patient", "model", "flags", "flag"], said, 24, ["model", "flag"], (part) => {
    gallery.querySelector(".pictures").replaceChildren(
      ...part.map((k) => {
        const row = studies.rows[places[k]];
        const counts = ["lesions", "organs"].filter((name) => row[at(name)]).map((name) => `${row[at(name)]} ${name}`);
        const card = make("button", "", { type: "button", class: "card" });
        const image = make("img", "", { alt: `slices of study ${said[k][0]}`, src: `data:image/jpeg;base64,${pictures[places[k]]}` });
        const text = `${said[k][0]} · ${counts.join(", ") || "no object"}`;
        card.append(image, make("span", text), make("span", said[k][3], { class: "flag" }));
        card.addEventListener("click", () => open(places[k]));
        return card;
      }),
    );
  });
}

for (const button of document.querySelectorAll("button[data-find], button[data-state]")) {
  const { find = "", state = "", reason = "" } = button.dataset;
  button.addEventListener("click", () => all.choose(find, { state, reason }));
}
document.getElementById("close").addEventListener("click", () => document.getElementById("detail").close());
