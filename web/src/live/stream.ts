/**
 * Committed changes as they happen, over server-sent events that resume where they were cut.
 *
 * The browser's own EventSource can send no Authorization header and gives up at the first error
 * answer, so the stream is read with fetch.
 */

import { createParser } from "eventsource-parser";

/** One entry of a topic: a CloudEvent as the API sends it. */
export interface Entry {
  id: string;
  source: string;
  type: string;
  subject: string;
  version: number;
  time: string;
  data: Record<string, unknown>;
}

/** What the stream tells of itself: what it can not give, or where it begins. */
export interface Notice {
  kind: "gap" | "reset";
  detail: string;
}

export type LiveState = "connecting" | "live" | "reconnecting" | "stopped";

export interface LiveOptions {
  url: (cursor: string) => string;
  headers: () => Record<string, string>;
  onEntry: (entry: Entry) => void;
  onNotice: (notice: Notice) => void;
  onState: (state: LiveState) => void;
  /** The token was refused: get a new one; tell whether there is one. */
  renew: () => Promise<boolean>;
}

const SILENCE_MS = 40_000; // the server says something every 15 s
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export class LiveStream {
  private cursor = "";
  private abort: AbortController | null = null;
  private failures = 0;

  constructor(private readonly options: LiveOptions) {}

  start(): void {
    if (this.abort) return;
    this.abort = new AbortController();
    void this.run(this.abort.signal);
  }

  stop(): void {
    this.abort?.abort();
    this.abort = null;
    this.options.onState("stopped");
  }

  private async run(stopped: AbortSignal): Promise<void> {
    this.options.onState("connecting");
    while (!stopped.aborted) {
      try {
        await this.read(stopped);
      } catch {
        // Whatever cut the stream, the answer is the same: come again from where we were.
      }
      if (stopped.aborted) return;
      this.options.onState("reconnecting");
      await pause(waitBefore(this.failures++), stopped);
    }
  }

  private async read(stopped: AbortSignal): Promise<void> {
    const cut = new AbortController();
    const signal = AbortSignal.any([stopped, cut.signal]);
    let watchdog = setTimeout(() => cut.abort(), SILENCE_MS);
    try {
      const response = await this.open(signal);
      const parser = createParser({ onEvent: (event) => this.take(event) });
      const decoder = new TextDecoder();
      for await (const chunk of chunks(response.body!)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => cut.abort(), SILENCE_MS);
        parser.feed(decoder.decode(chunk, { stream: true }));
      }
    } finally {
      clearTimeout(watchdog);
      cut.abort();
    }
  }

  private async open(signal: AbortSignal): Promise<Response> {
    const response = await fetch(this.options.url(this.cursor), {
      headers: { Accept: "text/event-stream", ...this.options.headers() },
      cache: "no-store",
      signal,
    });
    if (response.status === 401) await this.options.renew();
    if (response.status === 422 || response.status === 400) this.cursor = ""; // it is of no use
    if (!response.ok || !response.body) throw new Error(`events: ${response.status}`);
    return response;
  }

  private take(event: { event?: string | undefined; id?: string | undefined; data: string }): void {
    if (event.id) this.cursor = event.id;
    const data = JSON.parse(event.data) as Record<string, unknown>;
    if (event.event === "ready") {
      this.failures = 0;
      this.options.onState("live");
    } else if (event.event === "gap" || event.event === "reset") {
      this.options.onNotice({ kind: event.event, detail: event.data });
    } else {
      this.options.onEntry(data as unknown as Entry);
    }
  }
}

/** How long to wait before the next try, in ms: longer each time, and never the same for all. */
export function waitBefore(failures: number, random: () => number = Math.random): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return longest / 2 + (random() * longest) / 2;
}

async function* chunks(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      window.removeEventListener("online", wake);
      stopped.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    window.addEventListener("online", wake);
    stopped.addEventListener("abort", wake);
  });
}
