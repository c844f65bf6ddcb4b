/** The cart: product ids and quantities, kept in this browser. Prices always come from the catalogue. */

import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";

const KEY = "tradepost.cart";
export const MOST_OF_ONE = 999;

export type Lines = Record<number, number>;

interface Cart {
  lines: Lines;
  count: number;
  add: (id: number, quantity?: number) => void;
  setQuantity: (id: number, quantity: number) => void;
  clear: () => void;
}

const CartContext = createContext<Cart | null>(null);

/** Read what was kept, leaving out whatever is no product id with a whole quantity. */
export function readLines(text: string | null): Lines {
  try {
    const kept = JSON.parse(text ?? "{}") as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(kept).filter(([id, quantity]) => Number(id) > 0 && isQuantity(quantity)),
    ) as Lines;
  } catch {
    return {};
  }
}

/** Put a quantity into the lines; none takes the line away. */
export function withQuantity(lines: Lines, id: number, quantity: number): Lines {
  const { [id]: _, ...others } = lines;
  const kept = Math.min(MOST_OF_ONE, Math.floor(quantity));
  return kept > 0 ? { ...others, [id]: kept } : others;
}

function isQuantity(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= MOST_OF_ONE;
}

export function CartProvider({ children }: { children: ReactNode }) {
  const [lines, setLines] = useState<Lines>(() => readLines(localStorage.getItem(KEY)));

  useEffect(() => localStorage.setItem(KEY, JSON.stringify(lines)), [lines]);
  useEffect(() => {
    const heard = (event: StorageEvent) => event.key === KEY && setLines(readLines(event.newValue));
    window.addEventListener("storage", heard);
    return () => window.removeEventListener("storage", heard);
  }, []);

  const cart = useMemo<Cart>(
    () => ({
      lines,
      count: Object.values(lines).reduce((sum, quantity) => sum + quantity, 0),
      add: (id, quantity = 1) => setLines((old) => withQuantity(old, id, (old[id] ?? 0) + quantity)),
      setQuantity: (id, quantity) => setLines((old) => withQuantity(old, id, quantity)),
      clear: () => setLines({}),
    }),
    [lines],
  );
  return <CartContext value={cart}>{children}</CartContext>;
}

export function useCart(): Cart {
  const cart = useContext(CartContext);
  if (!cart) throw new Error("useCart: there is no CartProvider above.");
  return cart;
}
