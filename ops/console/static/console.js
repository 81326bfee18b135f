// What the pages do beyond what they do without a script: keys, copying, forms sent once.
"use strict";

const rows = () => [...document.querySelectorAll("[data-row]")];

function moveTo(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement?.closest("[data-row]"));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
  const row = all[Math.min(Math.max(next, 0), all.length - 1)];
  row.querySelector("a")?.focus();
  row.scrollIntoView({ block: "nearest" });
}

let goes = false;

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const help = document.getElementById("keys");
  if (help?.open) return;
  if (goes) {
    goes = false;
    document.querySelector(`.bar [data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  switch (event.key) {
    case "/": {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      search.focus();
      break;
    }
    case "j": moveTo(1); break;
    case "k": moveTo(-1); break;
    case "g":
      goes = true;
      setTimeout(() => { goes = false; }, 1500);
      break;
    case "?": help?.showModal(); break;
    default: return;
  }
  event.preventDefault();
});

function showScripted(root) {
  for (const button of root.querySelectorAll("[data-copy], [data-keys]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-keys]")) document.getElementById("keys").showModal();
  const copy = event.target.closest("[data-copy]");
  if (!copy) return;
  await navigator.clipboard.writeText(copy.parentElement.querySelector("code").textContent);
  const label = copy.textContent;
  copy.textContent = "Copied";
  setTimeout(() => { copy.textContent = label; }, 2000);
});

// Sent once; the server sees to it too, by the form's own number.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  for (const button of event.target.querySelectorAll("button")) {
    setTimeout(() => { button.disabled = true; });
  }
});
// Back from the next page the form is as it was: it may be sent, and does nothing twice.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

// Where there is little room a filter is folded, unless it narrows what is shown.
for (const button of document.querySelectorAll("[data-fold]")) {
  const form = button.closest(".filter");
  const fold = (isFolded) => {
    form.classList.toggle("is-folded", isFolded);
    button.setAttribute("aria-expanded", String(!isFolded));
  };
  button.hidden = false;
  button.addEventListener("click", () => fold(!form.classList.contains("is-folded")));
  fold(!form.querySelector("[data-clear]"));
}

showScripted(document);
document.addEventListener("htmx:after:swap", () => showScripted(document));
