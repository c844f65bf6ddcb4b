/** The button under a list that has another page. */

interface Pages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

export function More({ of }: { of: Pages }) {
  if (!of.hasNextPage) return null;
  return (
    <div className="text-center mt-4">
      <button type="button" className="btn btn-outline-secondary" disabled={of.isFetchingNextPage} onClick={() => of.fetchNextPage()}>
        {of.isFetchingNextPage ? "Loading …" : "Show more"}
      </button>
    </div>
  );
}
