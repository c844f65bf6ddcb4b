/** What was told before the page was opened. */

import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useLiveState, useTopics } from "../live/LiveProvider";
import type { Entry } from "../live/stream";

const OF_EACH_TOPIC = 50;

/**
 * The newest entries of each topic, asked for once the stream is live: what is committed from then
 * on comes by the stream, so that nothing is missing between the two. What both tell has one id.
 */
export function useHistory() {
  const topics = useTopics();
  const isLive = useLiveState() === "live";
  return useQuery({
    queryKey: keys.history(topics),
    queryFn: async () => (await Promise.all(topics.map(newest))).flat(),
    enabled: isLive,
    staleTime: Infinity,
    gcTime: 0,
  });
}

function newest(topic: string): Promise<Entry[]> {
  return unwrap<Entry[]>(api.GET("/events/history", { params: { query: { topic, newest: true, limit: OF_EACH_TOPIC } } }));
}
