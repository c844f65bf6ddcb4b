/** The catalogue as an operator sees it: make, change, take off sale, count, and sync with the feed. */

import { useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { useSearchParams } from "react-router";
import type { Product } from "../api/client";
import { keys } from "../api/keys";
import { useProduct, useProducts } from "../shop/products";
import { formatCount } from "../ui/format";
import { More } from "../ui/More";
import { Empty, Failure, Loading, PageHead } from "../ui/states";
import { Ago, Money } from "../ui/text";
import { ProductDialog } from "./ProductDialog";
import { StockDialog } from "./StockDialog";
import { SyncPanel } from "./SyncPanel";
import { WithdrawDialog } from "./WithdrawDialog";

const LOW = 10;

type Open = { dialog: "edit" | "stock" | "withdraw"; id: number } | { dialog: "create" } | { dialog: "sync" } | null;

export function InventoryPage() {
  const [search, setSearch] = useSearchParams();
  const asked = Number(search.get("id"));
  const [open, setOpen] = useState<Open>(asked ? { dialog: "edit", id: asked } : null);
  const [text, setText] = useState("");
  const q = useDeferredValue(text.trim());
  const products = useProducts({ ...(q && { q }), sort: "name" });
  const cache = useQueryClient();

  function close(): void {
    setOpen(null);
    if (asked) setSearch({}, { replace: true });
    void cache.invalidateQueries({ queryKey: keys.allProductPages });
  }

  return (
    <>
      <PageHead title="Inventory">
        <input type="search" className="form-control w-auto" placeholder="Search" aria-label="Search" value={text} onChange={(event) => setText(event.target.value)} />
        <button type="button" className="btn btn-outline-secondary" aria-expanded={open?.dialog === "sync"} onClick={() => setOpen(open?.dialog === "sync" ? null : { dialog: "sync" })}>
          Sync
        </button>
        <button type="button" className="btn btn-primary" onClick={() => setOpen({ dialog: "create" })}>
          New product
        </button>
      </PageHead>
      {open?.dialog === "sync" && <SyncPanel />}
      {products.isPending ? (
        <Loading rows={8} />
      ) : products.data ? (
        <List items={products.data.pages.flatMap((page) => page.items)} onOpen={setOpen} />
      ) : (
        <Failure error={products.error} onRetry={products.refetch} />
      )}
      <More of={products} />
      {open?.dialog === "create" && <ProductDialog product={null} onClose={close} />}
      {open && "id" in open && <Dialog open={open} onClose={close} />}
    </>
  );
}

function Dialog({ open, onClose }: { open: { dialog: string; id: number }; onClose: () => void }) {
  const product = useProduct(open.id);
  if (!product.data) return null;
  if (open.dialog === "edit") return <ProductDialog product={product.data} onClose={onClose} />;
  if (open.dialog === "stock") return <StockDialog product={product.data} onClose={onClose} />;
  return <WithdrawDialog product={product.data} onClose={onClose} />;
}

function List({ items, onOpen }: { items: Product[]; onOpen: (open: Open) => void }) {
  if (items.length === 0) return <Empty title="There are no products.">Make one, or sync with the feed.</Empty>;
  return (
    <div className="panel panel-flush table-scroll">
      <table className="table">
        <thead>
          <tr>
            <th>Product</th>
            <th>Category</th>
            <th className="right">Price</th>
            <th className="right">Can be ordered</th>
            <th className="right">Changed</th>
            <th>
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((product) => (
            <tr key={product.id}>
              <td>
                {product.name} {product.external_id && <span className="tag">feed</span>}
              </td>
              <td className="text-secondary">{product.category}</td>
              <td className="right">
                <Money amount={product.price} currency={product.currency} />
              </td>
              <td className={`right num ${product.quantity <= LOW ? "change-down fw-semibold" : ""}`}>
                {formatCount(product.quantity)}
                {product.quantity <= LOW && <span className="small fw-normal"> {product.quantity === 0 ? "sold out" : "low"}</span>}
              </td>
              <td className="right text-secondary text-nowrap">
                <Ago time={product.updated_at} />
              </td>
              <td className="right text-nowrap">
                {(["stock", "edit", "withdraw"] as const).map((dialog) => (
                  <button key={dialog} type="button" className="btn btn-sm btn-outline-secondary ms-1" aria-label={`${LABELS[dialog]} ${product.name}`} onClick={() => onOpen({ dialog, id: product.id })}>
                    {LABELS[dialog]}
                  </button>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const LABELS = { stock: "Stock", edit: "Edit", withdraw: "Withdraw" };
