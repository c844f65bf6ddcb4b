// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Entry, type LiveOptions, LiveStream, type Notice, waitBefore } from "../src/live/stream";

const READY = 'event: ready\nid: orders:1-4\ndata: {"topics":["orders"]}\n\n';
const encoder = new TextEncoder();

function entry(seq: number): string {
  const told = { id: `1-${seq}`, source: "/tradepost/orders", type: "order.paid", subject: "orders/1", version: seq, time: "2026-11-01T00:00:00Z", data: {} };
  return `event: order.paid\nid: orders:1-${seq}\ndata: ${JSON.stringify(told)}\n\n`;
}

/** Answer each request in turn; a string is a stream that ends after it, `open` keeps it open. */
function serve(...answers: (Response | Error | string[])[]) {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    asked.push(url);
    const answer = answers[asked.length - 1] ?? [];
    if (answer instanceof Error) return Promise.reject(answer);
    if (answer instanceof Response) return Promise.resolve(answer);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of answer) controller.enqueue(encoder.encode(part));
        init.signal?.addEventListener("abort", () => controller.error(new Error("cut")));
        if (asked.length < answers.length) controller.close();
      },
    });
    return Promise.resolve(new Response(body));
  });
  return asked;
}

const heard: { entries: Entry[]; notices: Notice[]; states: string[]; renewed: number } = { entries: [], notices: [], states: [], renewed: 0 };
let stream: LiveStream;

function listen(): void {
  const options: LiveOptions = {
    url: (cursor) => `/events?cursor=${cursor}`,
    headers: () => ({}),
    onEntry: (told) => heard.entries.push(told),
    onNotice: (told) => heard.notices.push(told),
    onState: (state) => heard.states.push(state),
    renew: () => {
      heard.renewed += 1;
      return Promise.resolve(true);
    },
  };
  stream = new LiveStream(options);
  stream.start();
}

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(heard, { entries: [], notices: [], states: [], renewed: 0 });
});

afterEach(() => {
  stream.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

it("resumes where it was cut, and tells each entry once", async () => {
  const asked = serve([READY, entry(5), entry(6)], [READY, entry(7)]);

  listen();
  await pass(5000);

  expect(asked).toEqual(["/events?cursor=", "/events?cursor=orders:1-6"]);
  expect(heard.entries.map((told) => told.id)).toEqual(["1-5", "1-6", "1-7"]);
  expect(heard.states).toEqual(["connecting", "live", "reconnecting", "live"]);
});

it("puts an entry together that comes in pieces", async () => {
  const whole = entry(5);
  serve([READY, whole.slice(0, 30), whole.slice(30)]);

  listen();
  await pass(100);

  expect(heard.entries.map((told) => told.subject)).toEqual(["orders/1"]);
});

it("comes again after errors of every kind", async () => {
  const asked = serve(new Error("refused"), new Response("", { status: 503 }), [READY]);

  listen();
  await pass(10_000);

  expect(asked).toHaveLength(3);
  expect(heard.states.at(-1)).toBe("live");
});

it("asks for a new token when the old one is refused", async () => {
  serve(new Response("", { status: 401 }), [READY]);

  listen();
  await pass(5000);

  expect(heard.renewed).toBe(1);
  expect(heard.states.at(-1)).toBe("live");
});

it("begins anew when its cursor is refused", async () => {
  const asked = serve([READY, entry(5)], new Response("", { status: 422 }), [READY]);

  listen();
  await pass(10_000);

  expect(asked).toEqual(["/events?cursor=", "/events?cursor=orders:1-5", "/events?cursor="]);
});

it("cuts a stream that says nothing any more", async () => {
  const asked = serve([READY]);

  listen();
  await pass(39_000);
  expect(asked).toHaveLength(1);
  await pass(10_000);

  expect(asked.length).toBeGreaterThan(1);
});

it("tells a gap as a gap", async () => {
  serve([READY, 'event: gap\nid: orders:1-9\ndata: {"topic":"orders"}\n\n']);

  listen();
  await pass(100);

  expect(heard.notices.map((told) => told.kind)).toEqual(["gap"]);
  expect(heard.entries).toEqual([]);
});

it("waits longer each time, within bounds", () => {
  expect(waitBefore(0, () => 0)).toBe(250);
  expect(waitBefore(0, () => 1)).toBe(500);
  expect(waitBefore(3, () => 1)).toBe(4000);
  expect(waitBefore(50, () => 1)).toBe(15_000);
});
