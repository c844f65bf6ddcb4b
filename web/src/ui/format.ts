/** Numbers and times as people read them, in the browser's own language. */

const moneyFormats = new Map<string, Intl.NumberFormat>();

function moneyFormat(currency: string): Intl.NumberFormat {
  let format = moneyFormats.get(currency);
  if (!format) {
    format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    moneyFormats.set(currency, format);
  }
  return format;
}

export function formatMoney(amount: number, currency: string): string {
  try {
    return moneyFormat(currency).format(amount);
  } catch {
    return `${amount} ${currency}`; // no currency that this browser knows
  }
}

/** A number of things, its thousands apart: "1,000,000". */
export function formatCount(count: number): string {
  return count.toLocaleString();
}

/** A price: as many decimals as its size asks for. */
export function formatPrice(value: number): string {
  const digits = Math.abs(value) >= 10 ? 2 : Math.abs(value) >= 0.1 ? 4 : 6;
  return value.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: Math.max(2, digits) });
}

export function formatPercent(value: number): string {
  return `${value > 0 ? "+" : ""}${value.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 })} %`;
}

/** A share of one: "0.20" → "20%". */
export function formatShare(share: string): string {
  return Number(share).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 2 });
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 30],
  ["month", 12],
  ["year", Number.POSITIVE_INFINITY],
];

/** How long ago: "now", "12 sec. ago", "3 hr. ago". */
export function formatAgo(time: string | number | Date, now: number = Date.now()): string {
  let distance = (new Date(time).getTime() - now) / 1000;
  if (Math.abs(distance) < 5) return relative.format(0, "second");
  for (const [unit, size] of STEPS) {
    if (Math.abs(distance) < size) return relative.format(Math.round(distance), unit);
    distance /= size;
  }
  return "";
}

export function formatExact(time: string | number | Date): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toLocaleString(undefined, { maximumFractionDigits: 1 })} h`;
}

/** `payment_failed` → `Payment failed`. */
export function inWords(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
