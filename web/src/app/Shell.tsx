/** The frame around every page: where one is, where one can go, and whether what one sees is live. */

import { Suspense, useEffect, useRef, useState } from "react";
import CloseButton from "react-bootstrap/CloseButton";
import Offcanvas from "react-bootstrap/Offcanvas";
import { Link, NavLink, Outlet, useLocation, useNavigationType } from "react-router";
import { useLiveState } from "../live/LiveProvider";
import { useCart } from "../shop/cart";
import { Icon, type IconName } from "../ui/Icon";
import { Loading } from "../ui/states";
import { PageBoundary } from "./PageBoundary";
import { useSession } from "./session";
import { chooseTheme, preferredTheme, type Theme } from "./theme";

interface Place {
  to: string;
  label: string;
  icon: IconName;
}

const EVERYBODY: Place[] = [
  { to: "/app/market", label: "Market", icon: "market" },
  { to: "/app/shop", label: "Shop", icon: "shop" },
  { to: "/app/orders", label: "Orders", icon: "orders" },
  { to: "/app/events", label: "Events", icon: "events" },
];
const OPERATORS: Place[] = [
  { to: "/app/inventory", label: "Inventory", icon: "inventory" },
  { to: "/app/operations", label: "Operations", icon: "operations" },
];
const ADMINS: Place[] = [{ to: "/app/users", label: "Users", icon: "users" }];

export function Shell() {
  // Where the menu was opened: whatever is chosen in it leads elsewhere, and so closes it.
  const [openedAt, setOpenedAt] = useState<string | null>(null);
  const { key, pathname } = useLocation();
  const content = usePageBegin();
  return (
    <div className="shell">
      <a href="#content" className="visually-hidden-focusable skip">
        Skip to content
      </a>
      <aside className="sidebar d-none d-lg-flex">
        <Menu />
      </aside>
      <div className="topbar d-lg-none">
        <button type="button" className="btn btn-icon" aria-label="Menu" onClick={() => setOpenedAt(key)}>
          <Icon name="menu" />
        </button>
        <Brand />
        <CartLink />
      </div>
      <Offcanvas show={openedAt === key} onHide={() => setOpenedAt(null)} className="sidebar" aria-label="Menu">
        <CloseButton aria-label="Close the menu" onClick={() => setOpenedAt(null)} />
        <Menu />
      </Offcanvas>
      <div className="main-column">
        <LiveBanner />
        <main id="content" tabIndex={-1} ref={content}>
          <PageBoundary key={pathname}>
            <Suspense fallback={<Loading rows={6} />}>
              <Outlet />
            </Suspense>
          </PageBoundary>
        </main>
      </div>
    </div>
  );
}

/** Another page begins at its top, with the focus in it, as a document that was loaded would. */
function usePageBegin() {
  const content = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const isNew = useNavigationType() !== "POP";
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    content.current?.focus({ preventScroll: true });
    if (isNew) window.scrollTo(0, 0);
  }, [pathname, isNew]);
  return content;
}

function Menu() {
  const { isOperator, isAdmin } = useSession();
  return (
    <div className="menu-column">
      <Brand />
      <nav aria-label="Main" className="menu">
        <Places places={EVERYBODY} />
        {isOperator && <p className="menu-head">Run the platform</p>}
        {isOperator && <Places places={isAdmin ? [...OPERATORS, ...ADMINS] : OPERATORS} />}
      </nav>
      <div className="mt-auto d-grid gap-1">
        <CartLink />
        <Me />
        <Foot />
      </div>
    </div>
  );
}

function Places({ places }: { places: Place[] }) {
  return places.map(({ to, label, icon }) => (
    <NavLink key={to} to={to} className="menu-link">
      <Icon name={icon} />
      {label}
    </NavLink>
  ));
}

function Brand() {
  return (
    <Link to="/app/market" className="brand">
      <img src="/assets/icon.svg" alt="" width="26" height="26" />
      Tradepost
    </Link>
  );
}

function CartLink() {
  const { count } = useCart();
  return (
    <NavLink to="/app/cart" className="menu-link">
      <Icon name="cart" />
      <span>Cart</span>
      {count > 0 && <span className="badge rounded-pill text-bg-primary ms-auto num">{count}</span>}
    </NavLink>
  );
}

function Me() {
  const { person, isOpen } = useSession();
  if (!person) {
    return (
      <NavLink to="/app/sign-in" className="menu-link">
        <Icon name="user" />
        Sign in
      </NavLink>
    );
  }
  return (
    <NavLink to="/app/profile" className="menu-link">
      <Icon name="user" />
      <span className="text-truncate">{person.name}</span>
      {isOpen && (
        <span className="badge text-bg-secondary ms-auto" title="This run trusts whoever calls from this machine.">
          demo
        </span>
      )}
    </NavLink>
  );
}

function Foot() {
  const [theme, setTheme] = useState<Theme>(preferredTheme);
  const other: Theme = theme === "dark" ? "light" : "dark";
  return (
    <div className="menu-foot">
      <LiveDot />
      <button
        type="button"
        className="btn btn-icon"
        aria-label={`Use the ${other} theme`}
        title={`Use the ${other} theme`}
        onClick={() => {
          chooseTheme(other);
          setTheme(other);
        }}
      >
        <Icon name={theme === "dark" ? "sun" : "moon"} />
      </button>
    </div>
  );
}

const LIVE_WORDS = { live: "Live", connecting: "Connecting", reconnecting: "Reconnecting", stopped: "Stopped" };

function LiveDot() {
  const state = useLiveState();
  return (
    <span className={`live live-${state}`} role="status">
      <span className="live-dot" aria-hidden="true" />
      {LIVE_WORDS[state]}
    </span>
  );
}

function LiveBanner() {
  const state = useLiveState();
  if (state !== "reconnecting") return null;
  return (
    <div className="banner" role="alert">
      The connection is lost. What you see may be old; it goes on by itself where it stopped.
    </div>
  );
}
