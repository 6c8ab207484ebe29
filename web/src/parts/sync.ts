/// How far mailboxes and folders are, out of the states that appliances report.

import type { KeyedSyncState } from "../api/schema";

export interface Mailbox {
  name: string;
  folders: KeyedSyncState[];
  done: number;
  last: string;
  until: string | null;
  upToDate: boolean;
}

const newest = (a: string | null, b: string | null | undefined) => (!b || (a && a > b) ? a : b);

export function byMailbox(states: KeyedSyncState[]): Mailbox[] {
  const found = new Map<string, Mailbox>();
  for (const state of states) {
    const name = state.mailbox_name;
    const box = found.get(name) ?? { name, folders: [], done: 0, last: "", until: null, upToDate: true };
    found.set(name, box);
    if (state.folder_id !== undefined) {
      box.folders.push(state);
      if (state.status === "UP_TO_DATE") box.done += 1;
    }
    if (state.status !== "UP_TO_DATE") box.upToDate = false;
    box.last = newest(box.last, state.last_synced_at) ?? "";
    box.until = newest(box.until, state.synced_until);
  }
  return [...found.values()];
}

/// Folders that are up to date; a mailbox that reports no folders counts as one.
export function progress(states: KeyedSyncState[]) {
  const boxes = byMailbox(states);
  let done = 0;
  let all = 0;
  let last = "";
  for (const box of boxes) {
    done += box.folders.length > 0 ? box.done : Number(box.upToDate);
    all += Math.max(1, box.folders.length);
    last = newest(last, box.last) ?? "";
  }
  return { done, all, last, mailboxes: boxes.length };
}
