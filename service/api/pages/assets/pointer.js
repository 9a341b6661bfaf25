// Pointers on the stage: the chosen tool with one, zoom and pan with two fingers or the wheel.

const WINDOW_STEP = 120; // displayed gray of 65536 for each CSS pixel

// Connect mouse, pen and fingers to a stage; `tool()` returns `window`, `pan` or `ruler`.
export function connectPointers(stage, tool, hover) {
  const { element } = stage;
  const down = new Map();

  element.addEventListener("pointerdown", (event) => {
    if (!stage.facts || event.target.closest("button, label, input, select")) return;
    if (event.pointerType === "mouse" && event.button > 1) return;
    element.setPointerCapture(event.pointerId);
    const point = place(event, element);
    down.set(event.pointerId, point);
    if (down.size === 1 && toolOf(event, tool) === "ruler") {
      const source = stage.view.toSource(...point);
      stage.setRuler(source, source);
    }
  });

  element.addEventListener("pointermove", (event) => {
    const point = place(event, element);
    const before = down.get(event.pointerId);
    if (before === undefined) return hover(point);
    if (down.size === 2) pinch(stage, down, event.pointerId, point);
    else if (down.size === 1) drag(stage, toolOf(event, tool), before, point);
    down.set(event.pointerId, point);
    return hover(point);
  });

  for (const kind of ["pointerup", "pointercancel"])
    element.addEventListener(kind, (event) => down.delete(event.pointerId));
  element.addEventListener("pointerleave", () => hover(null));
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("wheel", (event) => {
    if (!stage.facts) return;
    event.preventDefault();
    stage.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event, element));
  }, { passive: false });
}

// The middle button and Ctrl pan with every tool.
function toolOf(event, tool) {
  return event.ctrlKey || event.buttons === 4 ? "pan" : tool();
}

function drag(stage, tool, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  if (tool === "pan") stage.pan(dx, dy);
  else if (tool === "ruler" && stage.ruler) stage.setRuler(stage.ruler.from, stage.view.toSource(x1, y1));
  else if (tool === "window") {
    const { centre, width } = stage.window;
    stage.setWindow({ centre: centre + dy * WINDOW_STEP, width: width + dx * WINDOW_STEP });
  }
}

function pinch(stage, down, moved, point) {
  const [still] = [...down].filter(([id]) => id !== moved).map(([, place]) => place);
  const before = down.get(moved);
  const span = (end) => Math.max(1, Math.hypot(end[0] - still[0], end[1] - still[1]));
  stage.pan((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
  stage.zoom(span(point) / span(before), (point[0] + still[0]) / 2, (point[1] + still[1]) / 2);
}

function place(event, element) {
  const area = element.getBoundingClientRect();
  return [event.clientX - area.left - element.clientLeft, event.clientY - area.top - element.clientTop];
}
