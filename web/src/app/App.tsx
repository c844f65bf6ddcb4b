/** Providers and routes. Each page is loaded when it is first looked at. */

import { MutationCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ComponentType, lazy } from "react";
import { BrowserRouter, Navigate, Outlet, Route, Routes, useLocation } from "react-router";
import { Problem } from "../api/client";
import { CartProvider } from "../shop/cart";
import { LiveProvider } from "../live/LiveProvider";
import { Failure, NotFound } from "../ui/states";
import { SessionProvider, useSession } from "./session";
import { Shell } from "./Shell";
import { ToastProvider } from "./toasts";

const TRIES = 2;
const LOAD_AGAIN_MS = [500, 2000];

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false, // the live stream tells what changes
      retry: (failures, error) => failures < TRIES && !(error instanceof Problem && error.status < 500),
    },
  },
  mutationCache: new MutationCache(),
});

function page<K extends string>(load: () => Promise<Record<K, ComponentType>>, name: K) {
  return lazy(async () => ({ default: (await patiently(load))[name] }));
}

/** A part that does not come is asked for again: the server may just be restarted. */
async function patiently<T>(load: () => Promise<T>): Promise<T> {
  for (const pause_ms of LOAD_AGAIN_MS) {
    try {
      return await load();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
  return load();
}

const MarketPage = page(() => import("../market/MarketPage"), "MarketPage");
const InstrumentPage = page(() => import("../market/InstrumentPage"), "InstrumentPage");
const ShopPage = page(() => import("../shop/ShopPage"), "ShopPage");
const ProductPage = page(() => import("../shop/ProductPage"), "ProductPage");
const CartPage = page(() => import("../shop/CartPage"), "CartPage");
const OrdersPage = page(() => import("../orders/OrdersPage"), "OrdersPage");
const OrderPage = page(() => import("../orders/OrderPage"), "OrderPage");
const InventoryPage = page(() => import("../inventory/InventoryPage"), "InventoryPage");
const EventsPage = page(() => import("../events/EventsPage"), "EventsPage");
const OperationsPage = page(() => import("../operations/OperationsPage"), "OperationsPage");
const SignInPage = page(() => import("../people/SignInPage"), "SignInPage");
const ProfilePage = page(() => import("../people/ProfilePage"), "ProfilePage");
const UsersPage = page(() => import("../people/UsersPage"), "UsersPage");

export function App() {
  return (
    <QueryClientProvider client={queryClient}>
      <ToastProvider>
        <SessionProvider>
          {({ person, isOperator }) => (
            <LiveProvider person={person?.id ?? null} isOperator={isOperator}>
              <CartProvider>
                <BrowserRouter>
                  <Pages />
                </BrowserRouter>
              </CartProvider>
            </LiveProvider>
          )}
        </SessionProvider>
      </ToastProvider>
    </QueryClientProvider>
  );
}

function Pages() {
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route path="/" element={<Navigate to="/app/market" replace />} />
        <Route path="/app/market" element={<MarketPage />} />
        <Route path="/app/market/:symbol" element={<InstrumentPage />} />
        <Route path="/app/shop" element={<ShopPage />} />
        <Route path="/app/shop/:id" element={<ProductPage />} />
        <Route path="/app/cart" element={<CartPage />} />
        <Route path="/app/sign-in" element={<SignInPage />} />
        <Route element={<Only who="signed-in" />}>
          <Route path="/app/orders" element={<OrdersPage />} />
          <Route path="/app/orders/:id" element={<OrderPage />} />
          <Route path="/app/profile" element={<ProfilePage />} />
        </Route>
        <Route path="/app/events" element={<EventsPage />} />
        <Route element={<Only who="operator" />}>
          <Route path="/app/inventory" element={<InventoryPage />} />
          <Route path="/app/operations" element={<OperationsPage />} />
        </Route>
        <Route element={<Only who="admin" />}>
          <Route path="/app/users" element={<UsersPage />} />
        </Route>
        <Route path="*" element={<NotFound title="There is no such page.">Choose one from the menu.</NotFound>} />
      </Route>
    </Routes>
  );
}

function Only({ who }: { who: "signed-in" | "operator" | "admin" }) {
  const { person, isOperator, isAdmin, error, ask } = useSession();
  const { pathname, search } = useLocation();
  if (error) return <Failure error={error} onRetry={ask} />;
  if (!person) return <Navigate to={`/app/sign-in?next=${encodeURIComponent(pathname + search)}`} replace />;
  if ((who === "operator" && !isOperator) || (who === "admin" && !isAdmin)) {
    return <NotFound title="This page is not for your role.">Ask an admin for the role {who}.</NotFound>;
  }
  return <Outlet />;
}
