/** A row of values as a line without axes. */

const WIDTH = 120;
const HEIGHT = 32;

export function linePath(values: number[], width = WIDTH, height = HEIGHT): string {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = width / Math.max(1, values.length - 1);
  return values
    .map((value, at) => `${at ? "L" : "M"}${(at * step).toFixed(1)} ${(height - 2 - ((value - low) / span) * (height - 4)).toFixed(1)}`)
    .join("");
}

export function Sparkline({ values, label, isUp }: { values: number[]; label: string; isUp: boolean }) {
  if (values.length < 2) return <span className="sparkline-empty" />;
  return (
    <svg className={`sparkline sparkline-${isUp ? "up" : "down"}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={linePath(values)} />
    </svg>
  );
}
