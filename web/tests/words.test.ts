// @vitest-environment happy-dom
import { expect, it } from "vitest";
import { nextCursor, Problem, Unreachable } from "../src/api/client";
import { asCurl } from "../src/events/EventsPage";
import { inShort } from "../src/inventory/SyncPanel";
import { lookAgain, shortName } from "../src/market/quotes";
import { explainOrder } from "../src/orders/orders";
import { stepsOf } from "../src/orders/Steps";
import { ownPath } from "../src/people/SignInPage";
import { formatAgo, formatPrice, inWords } from "../src/ui/format";
import { linePath } from "../src/ui/Sparkline";

const timeline = (told: object) => ({ attempts: [], held: [], reason: null, ...told }) as unknown as Parameters<typeof explainOrder>[1];

it("finds the next page in a Link header", () => {
  expect(nextCursor('</orders/?limit=50&cursor=abc>; rel="next"')).toBe("abc");
  expect(nextCursor('</orders/>; rel="prev"')).toBeNull();
  expect(nextCursor(null)).toBeNull();
});

it("goes on after signing in only where it is at home", () => {
  expect(ownPath("/app/orders/3")).toBe("/app/orders/3");
  for (const elsewhere of [null, "https://elsewhere.example/", "//elsewhere.example/app/", "javascript:alert(1)"]) {
    expect(ownPath(elsewhere)).toBe("/app/market");
  }
});

it("names symbols as people do", () => {
  expect(["AAPL", "BINANCE:BTCUSDT", "OANDA:EUR_USD"].map(shortName)).toEqual(["AAPL", "BTC/USDT", "EUR/USD"]);
});

const again = (data: unknown, error: Error | null = null) => lookAgain({ state: { data, error } }) !== false;

it("looks again for what is missing, not for what is wrong", () => {
  expect([again(undefined, new Problem(503, {})), again(undefined, new Unreachable()), again({ complete: false })]).toEqual([true, true, true]);
  expect([again(undefined), again([]), again({ complete: true }), again(undefined, new Problem(404, {}))]).toEqual([false, false, false, false]);
});

it("gives a price as many decimals as it needs", () => {
  expect([67623.84, 1.5, 0.0000123].map(formatPrice)).toEqual(["67,623.84", "1.50", "0.000012"]);
});

it("tells how long ago", () => {
  const now = Date.parse("2026-11-01T12:00:00Z");
  expect(formatAgo("2026-11-01T11:59:58Z", now)).toBe("now");
  expect(formatAgo("2026-11-01T11:59:30Z", now)).toBe("30 sec. ago");
  expect(formatAgo("2026-11-01T09:00:00Z", now)).toBe("3 hr. ago");
});

it("puts what happened to an order in order of time", () => {
  const steps = stepsOf({
    events: [
      { topic: "orders", type: "order.placed", version: 1, time: "2026-11-01T12:00:00Z" },
      { topic: "orders", type: "order.refunded", version: 4, time: "2026-11-01T12:00:09Z" },
      { topic: "payments", type: "payment.succeeded", version: 1, time: "2026-11-01T12:00:01Z" },
    ],
    attempts: [{ key: "1:1", state: "succeeded", amount: 1, currency: "USD", updated_at: "2026-11-01T12:00:01Z" }],
    refunds: [{ id: 1, status: "succeeded", amount: 1, currency: "USD", reason: "", updated_at: "2026-11-01T12:00:08Z" }],
  } as unknown as Parameters<typeof stepsOf>[0]);

  expect(steps.map((step) => step.title)).toEqual(["Placed", "The card was charged", "Refund succeeded", "Refunded"]);
});

it("says why an order was not paid, and what a person has to find out", () => {
  const declined = timeline({ attempts: [{ state: "declined" }], reason: "expired_card" });
  const lost = timeline({ attempts: [{ state: "failed" }], reason: "the gateway knows no such charge" });

  expect(explainOrder("payment_failed", declined)).toMatch(/^The card was declined. The card has expired. Nothing was charged/);
  expect(explainOrder("payment_failed", lost)).toMatch(/^Reason: the gateway knows no such charge. Nothing was charged/);
  expect(explainOrder("payment_unknown", timeline({ held: [{ what: "charge" }] }))).toContain("a person is finding out");
  expect(explainOrder("completed", timeline({ held: [{ what: "refund" }] }))).toMatch(/whether the refund was made: a person is finding out.$/);
});

it("says in short what a sync did", () => {
  const none = { created: 0, changed: 0, unchanged: 20, withdrawn: 0, refused: 0, not_modified: false, reason: null };
  expect(inShort(none)).toBe("20 unchanged");
  expect(inShort({ ...none, created: 3, refused: 1 })).toBe("3 created, 1 refused");
  expect(inShort({ ...none, reason: "The feed is empty." })).toBe("The feed is empty.");
});

it("writes the command that follows a topic from here on", () => {
  const entry = { id: "1-7", source: "/tradepost/orders" } as Parameters<typeof asCurl>[0];
  expect(asCurl(entry, "http://127.0.0.1:8012")).toBe("curl -N -H 'Last-Event-ID: orders:1-7' 'http://127.0.0.1:8012/events?topics=orders'");
});

it("draws a line from the left to the right", () => {
  expect(linePath([1, 2], 100, 20)).toBe("M0.0 18.0L100.0 2.0");
  expect(inWords("payment_failed")).toBe("Payment failed");
});
