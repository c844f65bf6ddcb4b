/** Queries and commands about orders. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, type Order, type Schemas, unwrap, unwrapPage } from "../api/client";
import { keys } from "../api/keys";

export type OrderStatus = Schemas["OrderStatus"];
export type Timeline = Schemas["TimelineOut"];

export const STATUSES: OrderStatus[] = [
  "pending",
  "payment_unknown",
  "paid",
  "completed",
  "payment_failed",
  "expired",
  "cancelled",
  "refunding",
  "refunded",
];

export function useOrders(status: OrderStatus | null) {
  return useInfiniteQuery({
    queryKey: keys.orders({ status }),
    queryFn: ({ pageParam }) =>
      unwrapPage<Order>(api.GET("/orders/", { params: { query: { ...(status && { status }), ...(pageParam && { cursor: pageParam }) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function useOrder(id: number) {
  return useQuery({
    queryKey: keys.order(id),
    queryFn: () => unwrap<Order>(api.GET("/orders/{order_id}", { params: { path: { order_id: id } } })),
  });
}

export function useTimeline(id: number) {
  return useQuery({
    queryKey: keys.timeline(id),
    queryFn: () => unwrap<Timeline>(api.GET("/orders/{order_id}/timeline", { params: { path: { order_id: id } } })),
  });
}

export function cancelOrder(id: number): Promise<Order> {
  return unwrap<Order>(api.POST("/orders/{order_id}/cancel", { params: { path: { order_id: id } } }));
}

export function refundOrder(id: number, amount: number | null, reason: string, restock: boolean, key: string) {
  return unwrap<Schemas["RefundOut"]>(
    api.POST("/orders/{order_id}/refunds", {
      params: { path: { order_id: id }, header: { "idempotency-key": key } },
      body: { ...(amount !== null && { amount }), reason, restock },
    }),
  );
}

const EXPLAINED: Record<OrderStatus, string> = {
  pending: "The order is placed and its goods are held. The payment is under way.",
  payment_unknown: "The bank's answer was lost. The gateway is asked until it is known; nothing is charged twice.",
  paid: "The payment is in. The goods leave in a moment.",
  completed: "Paid, and the goods are on their way.",
  payment_failed: "Nothing was charged, and the goods are free again.",
  expired: "The payment did not come in time. The goods are free again.",
  cancelled: "The order was cancelled before it was paid.",
  refunding: "The money is on its way back.",
  refunded: "The money was given back.",
};

const REASONS: Record<string, string> = {
  authentication_required: "The bank wants the card's owner to confirm, which cannot be done here.",
  card_declined: "The bank gave no reason.",
  generic_decline: "The bank gave no reason.",
  insufficient_funds: "There is not enough money on the card.",
  expired_card: "The card has expired.",
  incorrect_cvc: "The card's security code is wrong.",
  unknown_token: "No such card is known.",
};

/** Where an order stands: why it was not paid, and what of it a person has to find out. */
export function explainOrder(status: OrderStatus, timeline: Timeline | undefined): string {
  const held = timeline?.held.map((each) => each.what) ?? [];
  if (held.includes("charge")) return "The gateway does not say whether the card was charged: a person is finding out. The goods stay held.";
  const refund = held.includes("refund") ? " The gateway does not say whether the refund was made: a person is finding out." : "";
  return whyNotPaid(status, timeline) + EXPLAINED[status] + refund;
}

function whyNotPaid(status: OrderStatus, timeline: Timeline | undefined): string {
  if (status !== "payment_failed" || !timeline?.reason) return "";
  const declined = timeline.attempts.at(-1)?.state === "declined" ? "The card was declined. " : "";
  return `${declined}${explainReason(timeline.reason)} `;
}

export function explainReason(reason: string): string {
  return REASONS[reason] ?? `Reason: ${reason.replaceAll("_", " ")}.`;
}
