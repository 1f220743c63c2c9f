// Where the steps of a pipeline stand in a drawing: in columns, each step right of all that it waits for. A line that passes a column
// has a place of its own in it, so that it is not drawn across a step.

const ROUNDS = 6;

/** Return the columns of places, and the lines as lists of places; a place has a `step`, or none where only a line passes. */
export function arrange(steps) {
  const column = columnsOf(steps);
  const columns = [];
  const places = new Map();
  const put = (number, step = null) => {
    const place = { step, before: [], after: [] };
    (columns[number] ??= []).push(place);
    return place;
  };
  for (const step of steps) {
    places.set(step.name, put(column.get(step.name), step));
  }
  const lines = [];
  for (const step of steps) {
    for (const name of step.after.filter((other) => places.has(other))) {
      const line = [places.get(name)];
      for (let number = column.get(name) + 1; number < column.get(step.name); number++) {
        line.push(put(number));
      }
      line.push(places.get(step.name));
      line.slice(1).forEach((place, i) => {
        place.before.push(line[i]);
        line[i].after.push(place);
      });
      lines.push(line);
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const isForth = round % 2 === 0;
    const order = isForth ? columns.slice(1) : columns.slice(0, -1).reverse();
    order.forEach((places) => untangle(columns, places, isForth ? "before" : "after"));
  }
  return { columns, lines };
}

/** The number of each step's column. */
function columnsOf(steps) {
  const known = new Map(steps.map((step) => [step.name, step]));
  const column = new Map();
  const find = (step) => {
    if (!column.has(step.name)) {
      column.set(step.name, 0);
      const before = step.after.map((name) => known.get(name)).filter(Boolean);
      column.set(step.name, Math.max(0, ...before.map((other) => find(other) + 1)));
    }
    return column.get(step.name);
  };
  steps.forEach(find);
  return column;
}

/** Put each place of a column where the middle of its neighbours is; one without any stays where it was. */
function untangle(columns, places, side) {
  const row = new Map(columns.flatMap((column) => column.map((place, i) => [place, i / Math.max(column.length - 1, 1)])));
  const wanted = new Map(places.map((place) => {
    const rows = place[side].map((other) => row.get(other));
    return [place, rows.length ? rows.reduce((sum, one) => sum + one, 0) / rows.length : row.get(place)];
  }));
  places.sort((one, other) => wanted.get(one) - wanted.get(other));
}
