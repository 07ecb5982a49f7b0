// Elements from plain values. Text always becomes a text node: names and reasons come from the network.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A sentence whose words in backticks are code.
export function prose(text) {
  return text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

// Where the screen is narrow, each row of the place's tables becomes a card: a cell is told what its column is called.
export function asCards(place) {
  for (const table of place.querySelectorAll("table:has(thead)")) {
    table.classList.add("cards");
    const titles = [...table.querySelectorAll("th")].map((cell) => cell.textContent);
    for (const row of table.querySelectorAll("tbody tr")) [...row.cells].forEach((cell, i) => { cell.dataset.title = titles[i] ?? ""; });
  }
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// What a filter says of its key, where there are keys.
export function slash() {
  return matchMedia("(max-width: 720px)").matches ? "" : "  ( / )";
}

export function buttonGroup(label, choices, chosen, choose) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value, onclick: () => choose(value) }, text));
  const group = h("div", { class: "buttons", role: "group", "aria-label": label }, buttons);
  group.choose = (value) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === String(value))));
  return group;
}

// Writes what a view shows into the address, without a new step in the history.
export function keepInAddress(path, parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) if (each !== undefined && each !== null && each !== "") search.append(name, each);
  }
  history.replaceState(history.state, "", search.size ? `${path}?${search}` : path);
}
