// The arrow keys in a table: one stop of the Tab key, and from there on from cell to cell.
//
// The table stays a table: screen readers have keys of their own for one, which a grid would take away.

const MOVES = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  PageUp: [-10, 0],
  PageDown: [10, 0],
  Home: [0, -Infinity],
  End: [0, Infinity],
};

/**
 * @param {(element: Element) => void} open what Enter does with a cell
 */
export function keys(open) {
  let at = null; // The cell with the focus.
  let drawing = false;

  function pressed(event) {
    const place = event.target.closest('td, th');
    if (event.key === 'Enter' && event.target === place) return open(place);
    const move = MOVES[event.key];
    if (!move || !place?.closest('tbody') || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const rows = place.closest('tbody').rows;
    const row = rows[clamp(place.parentElement.sectionRowIndex + move[0], rows)];
    focus(row.cells[clamp(place.cellIndex + move[1], row.cells)]);
  }

  /** The link of the row in which the focus is stays the table's only stop. */
  function entered({ target, currentTarget }) {
    const place = target.closest('tbody td, tbody th');
    if (!place) return;
    at = place;
    for (const link of currentTarget.querySelectorAll('tbody a[tabindex="0"]')) link.tabIndex = -1;
    place.parentElement.querySelector('a').tabIndex = 0;
  }

  function left() {
    if (!drawing) at = null;
  }

  /** Called in each drawing: a row that is moved in it loses the focus, and gets it back. */
  function drawn(table) {
    drawing = true;
    queueMicrotask(() => {
      drawing = false;
      if (at?.isConnected && nothingFocused()) focus(at);
      const body = document.querySelector(`${table} tbody`);
      if (body && !body.querySelector('a[tabindex="0"]')) body.querySelector('a')?.setAttribute('tabindex', '0');
    });
  }

  /** Bring a cell into view, and into the focus if nothing else has it. */
  function show(place) {
    if (!place) return;
    place.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    if (nothingFocused()) focus(place);
  }

  return { pressed, entered, left, drawn, show };
}

function nothingFocused() {
  return document.activeElement === document.body || document.activeElement?.id === 'main';
}

function focus(place) {
  const link = place.matches('th') ? place.querySelector('a') : null;
  if (!link) place.tabIndex = -1;
  (link ?? place).focus();
}

function clamp(index, list) {
  return Math.min(Math.max(index, 0), list.length - 1);
}
