/** One live stream for the whole page; pages listen in. */

import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useEffectEvent, useMemo, useRef, useState } from "react";
import { accessToken, renewToken } from "../api/token";
import { applyEntry, askAgain } from "./cache";
import { type Entry, LiveStream, type LiveState, type Notice } from "./stream";

type Listener = (told: { entry: Entry } | { notice: Notice }) => void;

interface Live {
  state: LiveState;
  topics: string[];
  listen: (listener: Listener) => () => void;
}

const LiveContext = createContext<Live>({ state: "connecting", topics: [], listen: () => () => undefined });

const PUBLIC = ["products", "market.quotes", "market.crypto", "market.forex", "market.news", "market.companies"];
const PERSONAL = ["orders", "payments"];

/** Who is looking decides which topics may be followed; another person means another stream. */
export function LiveProvider({ person, isOperator, children }: { person: number | null; isOperator: boolean; children: ReactNode }) {
  const cache = useQueryClient();
  const [state, setState] = useState<LiveState>("connecting");
  const listeners = useRef(new Set<Listener>());
  const topics = useMemo(() => [...(person === null ? [] : PERSONAL), ...PUBLIC, ...(isOperator ? ["tasks"] : [])], [person, isOperator]);

  useEffect(() => {
    const tell: Listener = (told) => {
      for (const listener of listeners.current) listener(told);
    };
    const stream = new LiveStream({
      url: (cursor) => `/events?${new URLSearchParams({ topics: topics.join(), ...(cursor && { cursor }) })}`,
      headers: () => {
        const token = accessToken();
        return token ? { Authorization: `Bearer ${token}` } : ({} as Record<string, string>);
      },
      onEntry: (entry) => {
        applyEntry(cache, entry);
        tell({ entry });
      },
      onNotice: (notice) => {
        askAgain(cache);
        tell({ notice });
      },
      onState: setState,
      renew: renewToken,
    });
    stream.start();
    return () => stream.stop();
  }, [cache, topics]);

  const live = useMemo<Live>(
    () => ({
      state,
      topics,
      listen: (listener) => {
        listeners.current.add(listener);
        return () => listeners.current.delete(listener);
      },
    }),
    [state, topics],
  );
  return <LiveContext value={live}>{children}</LiveContext>;
}

export function useLiveState(): LiveState {
  return useContext(LiveContext).state;
}

/** The topics that this person may follow. */
export function useTopics(): string[] {
  return useContext(LiveContext).topics;
}

/** Hear each entry as it comes. `listener` may change from one rendering to the next. */
export function useEntries(listener: Listener): void {
  const { listen } = useContext(LiveContext);
  const hear = useEffectEvent(listener);
  useEffect(() => listen((told) => hear(told)), [listen]);
}
