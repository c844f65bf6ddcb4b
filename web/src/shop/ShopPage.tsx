/** Browse, search, filter and sort the catalogue. */

import { useDeferredValue } from "react";
import { Link, useSearchParams } from "react-router";
import type { Product, Schemas } from "../api/client";
import { useSession } from "../app/session";
import { useToast } from "../app/toasts";
import { formatCount, formatShare } from "../ui/format";
import { More } from "../ui/More";
import { Empty, Failure, Loading, PageHead } from "../ui/states";
import { Money } from "../ui/text";
import { useCart } from "./cart";
import { Picture } from "./Picture";
import { type ProductFilter, useCategories, useProducts } from "./products";

const SORTS: [Schemas["Sort"], string][] = [
  ["newest", "Newest first"],
  ["price", "Price, low to high"],
  ["-price", "Price, high to low"],
  ["name", "Name"],
];

export function ShopPage() {
  const [search, setSearch] = useSearchParams();
  const { home } = useSession();
  const text = search.get("q") ?? "";
  const q = useDeferredValue(text.trim());
  const filter: ProductFilter = {
    ...(q && { q }),
    ...(search.get("category") && { category: search.get("category")! }),
    ...(search.get("in_stock") && { in_stock: "true" as const }),
    sort: SORTS.find(([sort]) => sort === search.get("sort"))?.[0] ?? "newest",
  };
  const products = useProducts(filter);
  const categories = useCategories();

  function choose(name: string, value: string): void {
    setSearch((old) => {
      const next = new URLSearchParams(old);
      if (value) next.set(name, value);
      else next.delete(name);
      return next;
    }, { replace: true });
  }

  return (
    <>
      <PageHead title="Shop" lead={home && `A fee of ${formatShare(home.fee_rate)} comes on top of each price, and is shown before you pay.`} />
      <div className="filters" role="search">
        <input type="search" className="form-control grow" placeholder="Search the catalogue" aria-label="Search the catalogue" value={text} onChange={(event) => choose("q", event.target.value)} />
        <select className="form-select" aria-label="Category" value={search.get("category") ?? ""} onChange={(event) => choose("category", event.target.value)}>
          <option value="">All categories</option>
          {categories.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <select className="form-select" aria-label="Sort" value={filter.sort} onChange={(event) => choose("sort", event.target.value)}>
          {SORTS.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        <label className="form-check align-self-center mb-0">
          <input type="checkbox" className="form-check-input" checked={Boolean(filter.in_stock)} onChange={(event) => choose("in_stock", event.target.checked ? "true" : "")} />
          In stock
        </label>
      </div>
      <Goods products={products} />
    </>
  );
}

function Goods({ products }: { products: ReturnType<typeof useProducts> }) {
  if (products.isPending) return <Loading rows={6} />;
  if (!products.data) return <Failure error={products.error} onRetry={products.refetch} />;
  const items = products.data.pages.flatMap((page) => page.items);
  if (items.length === 0) return <Empty title="Nothing fits.">Take a filter away, or search for something else.</Empty>;
  return (
    <>
      <div className="goods">
        {items.map((product) => (
          <Good key={product.id} product={product} />
        ))}
      </div>
      <More of={products} />
    </>
  );
}

function Good({ product }: { product: Product }) {
  const { add } = useCart();
  const say = useToast();
  return (
    <article className="good">
      <Link to={`/app/shop/${product.id}`} tabIndex={-1} aria-hidden="true">
        <Picture product={product} />
      </Link>
      <div className="good-body">
        <Link to={`/app/shop/${product.id}`} className="good-name">
          {product.name}
        </Link>
        <div className="d-flex justify-content-between align-items-center">
          <Money amount={product.price} currency={product.currency} strong />
          <InStock quantity={product.quantity} />
        </div>
        <button
          type="button"
          className="btn btn-outline-primary btn-sm mt-1"
          disabled={product.quantity === 0}
          aria-label={`Add to cart: ${product.name}`}
          onClick={() => {
            add(product.id);
            say(`${product.name} is in the cart.`);
          }}
        >
          Add to cart
        </button>
      </div>
    </article>
  );
}

export function InStock({ quantity }: { quantity: number }) {
  if (quantity === 0) return <span className="small text-danger-emphasis">Sold out</span>;
  if (quantity <= 10) return <span className="small num change-down">Only {quantity} left</span>;
  return <span className="small text-secondary num">{formatCount(quantity)} in stock</span>;
}
