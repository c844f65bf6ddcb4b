/** Headlines, the newest first. */

import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/text";
import { lookAgain } from "./quotes";

const SHOWN = 8;

export function NewsList({ symbol }: { symbol: string }) {
  const news = useQuery({
    queryKey: keys.news(symbol),
    queryFn: () => unwrap(api.GET("/market/news", { params: { query: { limit: SHOWN, ...(symbol && { symbol }) } } })),
    refetchInterval: lookAgain,
  });
  return (
    <Shown of={news} empty={<Empty title="There is no news." />}>
      {(articles) => (
        <ul className="news">
          {articles.map((article) => (
            <li key={article.id}>
              <a href={article.url} target="_blank" rel="noreferrer" className="fw-medium">
                {article.headline}
              </a>
              <p className="mb-0 small text-secondary">
                {article.source}, <Ago time={article.datetime * 1000} />
              </p>
              {article.summary && <p className="mb-0 small">{article.summary}</p>}
            </li>
          ))}
        </ul>
      )}
    </Shown>
  );
}
