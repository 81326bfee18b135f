// Lists of which some are chosen: how many are, all of a page at once, and the key x.
"use strict";

for (const form of document.querySelectorAll("[data-picks]")) {
  const boxes = [...form.querySelectorAll("input[name=line]")];
  const all = form.querySelector("[data-pick-all]");
  const said = form.querySelector("[data-picked]");
  const count = () => {
    const picked = boxes.filter((box) => box.checked).length;
    if (said) said.textContent = picked ? `(${picked})` : "";
    if (all) {
      all.checked = picked > 0 && picked === boxes.length;
      all.indeterminate = picked > 0 && picked < boxes.length;
    }
  };
  if (all) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      count();
    });
  }
  form.addEventListener("change", count);
  // Back from the next page the boxes are as they were left.
  window.addEventListener("pageshow", count);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("textarea, select, input:not([type=checkbox])")) return;
    const box = document.activeElement?.closest("[data-row]")?.querySelector("input[name=line]");
    if (!box) return;
    box.checked = !box.checked;
    count();
    event.preventDefault();
  });
}
