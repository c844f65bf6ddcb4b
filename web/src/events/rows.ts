/** The rows of the live feed, newest first, and never too many. */

import type { Entry, Notice } from "../live/stream";

export type Row = { key: number; kind: "entry"; entry: Entry } | { key: number; kind: "notice"; detail: string };

export const MOST_ROWS = 500;
let lastKey = 0;

export function added(rows: Row[], told: { entry: Entry } | { notice: Notice }): Row[] {
  const key = ++lastKey;
  const row: Row = "entry" in told ? { key, kind: "entry", entry: told.entry } : { key, kind: "notice", detail: told.notice.detail };
  return [row, ...rows].slice(0, MOST_ROWS);
}
