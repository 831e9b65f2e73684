// Parts of the page.

export function element(tag, name, parent, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

export function button(parent, text, title, act) {
  const made = element("button", "", parent, text);
  made.title = title;
  made.addEventListener("click", act);
  return made;
}

// Returns a box to tick, with its text.
export function tick(parent, text, title, checked, act) {
  const row = element("label", "fctl-layer", parent);
  row.title = title;
  const box = element("input", "", row);
  box.type = "checkbox";
  box.checked = checked;
  box.addEventListener("change", () => act(box.checked));
  element("span", "", row, text);
  return box;
}

// Returns a choice of [value, text] entries.
export function choice(parent, title, entries) {
  const made = element("select", "", parent);
  made.title = title;
  for (const [value, text] of entries) element("option", "", made, text).value = value;
  return made;
}

// Returns a part of the panel that folds.
export function fold(parent, title, tip) {
  const made = element("details", "fctl-fold", parent);
  element("summary", "", made, title).title = tip;
  return made;
}
