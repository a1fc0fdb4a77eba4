// gradio's sliders tell of their release after the pointer only. The keyboard's is told here, once no key has been
// pressed for a moment: the face comes first, the whole photo after.
let release;
document.addEventListener("keyup", event => {
  const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
  if (event.target.type !== "range" || !moves.includes(event.key)) return;
  clearTimeout(release);
  release = setTimeout(() => event.target.dispatchEvent(new PointerEvent("pointerup", {bubbles: true})), 350);
});

const PULLED = 5; // pixels of the page: less is a press

const invertigo = {
  // Points on the photo: two presses (from, to), or one pull from one to the other. `place` gets them in its pixels.
  points(element, place) {
    let from = null, pressed = null;
    const drawing = event => event.target.closest?.("svg.points.placing");
    const where = (svg, event) => {
      const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
      return {left: event.clientX, top: event.clientY, x: view.x + (event.clientX - box.left) / box.width * view.width,
        y: view.y + (event.clientY - box.top) / box.height * view.height};
    };
    const pulled = event => Math.hypot(event.clientX - pressed.left, event.clientY - pressed.top) > PULLED;
    const forget = () => {
      from = pressed = null;
      element.querySelector(".pending")?.remove();
    };
    const show = (svg, begin, end) => {
      svg.querySelector(".pending")?.remove();
      const size = Number(svg.dataset.size);
      svg.insertAdjacentHTML("beforeend", `<g class="pending" stroke-width="${size / 3}">
        <line x1="${begin.x}" y1="${begin.y}" x2="${end.x}" y2="${end.y}"/>
        <circle cx="${begin.x}" cy="${begin.y}" r="${size * .8}"/></g>`);
    };
    element.addEventListener("pointerdown", event => {
      const svg = drawing(event);
      if (!svg || event.button) return;
      event.preventDefault();
      svg.setPointerCapture(event.pointerId);
      pressed = where(svg, event);
      show(svg, from ?? pressed, pressed);
    });
    element.addEventListener("pointermove", event => {
      const svg = drawing(event);
      if (!svg) return;
      const here = where(svg, event);
      if (pressed && pulled(event)) show(svg, pressed, here);
      else if (from) show(svg, from, here);
    });
    element.addEventListener("pointerup", event => {
      const svg = drawing(event);
      if (!svg || !pressed) return;
      const here = where(svg, event), begin = pulled(event) ? pressed : from;
      pressed = null;
      if (!begin) {
        from = here;
        return show(svg, here, here);
      }
      forget();
      show(svg, begin, here);
      place({x: begin.x, y: begin.y, to_x: here.x, to_y: here.y});
    });
    element.addEventListener("pointercancel", forget);
    new MutationObserver(() => { // the picture was shown anew: what was begun stays
      const svg = element.querySelector("svg.points.placing");
      if (from && svg && !svg.querySelector(".pending")) show(svg, from, from);
    }).observe(element, {childList: true, subtree: true});
    document.addEventListener("keydown", event => { if (event.key === "Escape") forget(); });
  },

  // The gallery: an edit is brought back by a press, and used as the photo by its button or by dropping it on the photo.
  gallery(element, bring, use) {
    const kind = "application/x-invertigo-edit";
    element.addEventListener("click", event => {
      const button = event.target.closest("[data-bring], [data-use]");
      if (!button) return;
      if (button.dataset.use) use(Number(button.dataset.use));
      else bring(Number(button.dataset.bring));
    });
    element.addEventListener("dragstart", event => {
      const edit = event.target.closest?.("[data-kept]");
      if (!edit) return;
      event.dataTransfer.setData(kind, edit.dataset.kept);
      event.dataTransfer.effectAllowed = "copy";
    });
    const over = event => event.dataTransfer?.types.includes(kind) && event.target.closest?.("#stage, #upload");
    for (const name of ["dragenter", "dragover", "drop"]) document.addEventListener(name, event => {
      if (!over(event)) return;
      event.preventDefault();
      event.stopPropagation();
      if (name === "drop") use(Number(event.dataTransfer.getData(kind)));
    }, true);
  },

  // File choosers offer the kinds of files that belong to their control (id -> endings).
  choose(kinds) {
    document.addEventListener("click", event => {
      for (const [id, endings] of Object.entries(kinds)) {
        const input = event.target.closest?.("#" + id)?.querySelector("input[type=file]");
        if (input) input.accept = endings.join(",");
      }
    }, true);
  },

  // A secret of this tab, which outlives a reload of the page but not the tab.
  key() {
    const name = "invertigo-key";
    let key = sessionStorage.getItem(name);
    if (!key) {
      key = [...crypto.getRandomValues(new Uint8Array(24))].map(byte => byte.toString(16).padStart(2, "0")).join("");
      sessionStorage.setItem(name, key);
    }
    return [key];
  },

  // Keys press what `presses` names (key -> selector), but not while somebody types; `hold` shows the photo before.
  listen(presses, hold) {
    const typing = target => target.isContentEditable || target.matches?.("textarea, select, [role=listbox], [role=combobox]")
      || (target.matches?.("input") && !["range", "checkbox", "radio", "button"].includes(target.type));
    document.addEventListener("keydown", event => {
      if (typing(event.target) || event.altKey || event.isComposing) return;
      const commanded = event.ctrlKey || event.metaKey, letter = event.key.toLowerCase();
      let key = event.key;
      if (commanded && letter === "z") key = event.shiftKey ? "Z" : "z";
      else if (commanded && letter === "y") key = "Z";
      else if (commanded) return;
      if (key === hold) return invertigo.hold(true);
      const pressed = document.querySelector(presses[key] ?? "#none");
      if (!pressed || pressed.disabled || !pressed.checkVisibility() || (event.repeat && key.toLowerCase() !== "z")) return;
      event.preventDefault();
      pressed.click();
    });
    document.addEventListener("keyup", event => { if (event.key === hold) invertigo.hold(false); });
    window.addEventListener("blur", () => invertigo.hold(false));
  },

  // Show the first of the two pictures alone, or both again.
  hold(held) {
    document.querySelector("#view .compare")?.classList.toggle("held", held);
  },
};

// A button shows the photo before while it is held, and so does the picture itself when it is pressed for long.
const LONG = 350, STILL = 5; // milliseconds, pixels of the page
let waiting, shown;
document.addEventListener("pointerdown", event => {
  const input = event.target.closest?.(".compare > input");
  if (event.target.closest?.(".hold")) invertigo.hold(true);
  if (!input) return;
  shown = {input, value: input.value, x: event.clientX, y: event.clientY};
  waiting = setTimeout(() => {
    invertigo.hold(true);
    shown.held = true;
  }, LONG);
}, true);
document.addEventListener("pointermove", event => {
  if (shown && Math.hypot(event.clientX - shown.x, event.clientY - shown.y) > STILL && !shown.held) clearTimeout(waiting);
}, true);
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => {
  clearTimeout(waiting);
  invertigo.hold(false);
  if (shown?.held) { // the divider goes back to where it was
    const {input, value} = shown;
    setTimeout(() => {
      input.value = value;
      input.parentNode.style.setProperty("--at", value + "%");
    });
  }
  shown = null;
}, true);
for (const [name, held] of [["keydown", true], ["keyup", false]]) document.addEventListener(name, event => {
  if (event.target.closest?.(".hold") && event.key === " ") invertigo.hold(held);
});
