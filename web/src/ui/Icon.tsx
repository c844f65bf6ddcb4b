/** Line icons, drawn here, so that no font has to be loaded. */

const PATHS = {
  market: "M3 17l5-6 4 3 8-9M15 5h5v5",
  shop: "M4 9l1-5h14l1 5M4 9h16M5 9v11h14V9M10 20v-6h4v6",
  orders: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
  events: "M3 12h4l3-8 4 16 3-8h4",
  inventory: "M3 8l9-5 9 5v8l-9 5-9-5zM3 8l9 5 9-5M12 13v8",
  operations: "M4 20V10M10 20V4M16 20v-7M22 20H2",
  users: "M9 11a4 4 0 100-8 4 4 0 000 8zM2 21c0-4 3-6 7-6s7 2 7 6M16 3.5a4 4 0 010 7.5M18 15c2.5.7 4 2.7 4 6",
  user: "M12 12a4.5 4.5 0 100-9 4.5 4.5 0 000 9zM4 21c0-4 3.5-6 8-6s8 2 8 6",
  cart: "M3 4h2l2.5 11h10L20 7H6M9 20a1 1 0 100-2 1 1 0 000 2zM16 20a1 1 0 100-2 1 1 0 000 2z",
  menu: "M4 6h16M4 12h16M4 18h16",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M19 5l-1.5 1.5M6.5 17.5L5 19",
  moon: "M20 14A8 8 0 0110 4a8 8 0 1010 10z",
  search: "M11 18a7 7 0 100-14 7 7 0 000 14zM21 21l-5-5",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l13 8-13 8z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  star: "M12 3l2.7 6 6.3.6-4.8 4.3 1.4 6.3L12 17l-5.6 3.2 1.4-6.3L3 9.6 9.3 9z",
};

export type IconName = keyof typeof PATHS;

export function Icon({ name, filled }: { name: IconName; filled?: boolean }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" fill={filled ? "currentColor" : "none"}>
      <path d={PATHS[name]} stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
