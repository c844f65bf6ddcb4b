/** A product's picture, or a coloured tile with its initials where there is none to be had. */

import { useState } from "react";
import type { Product } from "../api/client";

const TILES = 6;

export function Picture({ product }: { product: Pick<Product, "id" | "name" | "image"> }) {
  // The address that could not be had: another one, from a sync or an edit, is tried anew.
  const [broken, setBroken] = useState("");
  if (/^https?:\/\//.test(product.image) && product.image !== broken) {
    return (
      <img
        className="picture picture-img"
        src={product.image}
        alt={product.name}
        width={400}
        height={300}
        loading="lazy"
        decoding="async"
        referrerPolicy="no-referrer"
        onError={() => setBroken(product.image)}
      />
    );
  }
  return (
    <div className={`picture picture-${product.id % TILES}`} aria-hidden="true">
      {initials(product.name)}
    </div>
  );
}

function initials(name: string): string {
  return name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join("");
}
