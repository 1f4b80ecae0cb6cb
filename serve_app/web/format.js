// Numbers as people read them. A missing number is a dash, never 0.

const DASH = "–";
const MINUS = "−";

function fixed(value, digits) {
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return value < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

const missing = (value) => typeof value !== "number" || !Number.isFinite(value);

// Enough decimals for about six figures: 78,123.45 but 0.0012345. One number of decimals per symbol.
export function priceDigits(price) {
  if (missing(price) || price === 0) return 2;
  return Math.min(10, Math.max(2, 5 - Math.floor(Math.log10(Math.abs(price)))));
}

export function price(value, digits) {
  return missing(value) ? DASH : fixed(value, digits);
}

export function basisPoints(from, to) {
  if (missing(from) || missing(to) || from === 0) return DASH;
  const text = fixed((to / from - 1) * 1e4, 2);
  const sign = to > from && /[1-9]/.test(text) ? "+" : "";
  return `${sign}${text} bps`;
}

export function percent(share, digits) {
  return missing(share) ? DASH : `${fixed(share * 100, digits)} %`;
}

export function percentRange(low, high, digits) {
  return missing(low) || missing(high) ? "" : `${fixed(low * 100, digits)} … ${fixed(high * 100, digits)}`;
}

export function count(value) {
  return missing(value) ? DASH : value.toLocaleString("en-US");
}

export function seconds(value) {
  if (missing(value)) return DASH;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}
