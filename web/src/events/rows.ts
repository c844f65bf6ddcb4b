/** The rows of the live feed, newest first, and never too many. */

import type { Entry, Notice } from "../live/stream";

export type Row = { key: string; time: string } & ({ kind: "entry"; entry: Entry } | { kind: "notice"; detail: string });

export const MOST_ROWS = 500;
let notices = 0;

/** Put what was just told on top; what the history has told already stays where it is. */
export function added(rows: Row[], told: { entry: Entry } | { notice: Notice }): Row[] {
  // A notice has no time of its own: it belongs between the entries it came between.
  const row: Row = "entry" in told ? rowOf(told.entry) : { key: `notice ${++notices}`, time: rows[0]?.time ?? "", kind: "notice", detail: told.notice.detail };
  return rows.some((old) => old.key === row.key) ? rows : [row, ...rows].slice(0, MOST_ROWS);
}

/** Put entries of the history, in any order, in their places among the rows. */
export function filled(rows: Row[], history: Entry[]): Row[] {
  const known = new Set(rows.map((row) => row.key));
  const missing = history.map(rowOf).filter((row) => !known.has(row.key));
  return [...rows, ...missing].toSorted(laterFirst).slice(0, MOST_ROWS);
}

function rowOf(entry: Entry): Row {
  return { key: `${entry.source} ${entry.id}`, time: entry.time, kind: "entry", entry };
}

function laterFirst(a: Row, b: Row): number {
  const later = Date.parse(b.time) - Date.parse(a.time);
  if (later || a.kind !== "entry" || b.kind !== "entry" || a.entry.source !== b.entry.source) return later || 0;
  return b.entry.id.localeCompare(a.entry.id, "en", { numeric: true });
}
