/** Queries about the work itself: queues, schedule, tasks, health. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, type Schemas, unwrap, unwrapPage } from "../api/client";
import { keys } from "../api/keys";

export type Queue = Schemas["QueueOut"];
export type Task = Schemas["TaskOut"];
export type TaskState = Schemas["TaskState"];
export type Scheduled = Schemas["api__queues__EntryOut"];
export type MarketStatus = Schemas["StatusOut"];

const LOOK_EVERY_MS = 5000; // what waits in a broker is no committed change: nothing tells of it

export function useQueues() {
  return useQuery({ queryKey: keys.queues, queryFn: () => unwrap<Queue[]>(api.GET("/queues")), refetchInterval: LOOK_EVERY_MS });
}

export function useSchedule() {
  return useQuery({ queryKey: keys.schedule, queryFn: () => unwrap<Scheduled[]>(api.GET("/schedule")), refetchInterval: LOOK_EVERY_MS });
}

export function useReadiness() {
  return useQuery({
    queryKey: keys.readiness,
    // Not ready is an answer too, and says what is wrong.
    queryFn: async () => {
      const { data, error } = await api.GET("/readyz");
      return (data ?? error) as Schemas["Readiness"];
    },
    refetchInterval: LOOK_EVERY_MS,
  });
}

export function useMarketStatus() {
  return useQuery({ queryKey: keys.marketStatus, queryFn: () => unwrap<MarketStatus>(api.GET("/market/status")), refetchInterval: LOOK_EVERY_MS });
}

export function useHeldPayments() {
  return useQuery({ queryKey: keys.heldPayments, queryFn: () => unwrap<Schemas["HeldOut"][]>(api.GET("/payments/held")), refetchInterval: LOOK_EVERY_MS });
}

export function useTasks(state: TaskState | null) {
  return useInfiniteQuery({
    queryKey: keys.tasks({ state }),
    queryFn: ({ pageParam }) => unwrapPage<Task>(api.GET("/tasks", { params: { query: { limit: 20, ...(state && { state }), ...(pageParam && { cursor: pageParam }) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}
