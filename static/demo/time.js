/** Moments as the desk shows them: hours in New York. */

const HOUR = new Intl.DateTimeFormat("en-GB", {
  timeZone: "America/New_York",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

/**
 * Show a moment of the wire, or a dash.
 * @param {string | number | null | undefined} moment ISO text or milliseconds
 */
export function hour(moment) {
  const time = typeof moment === "string" ? Date.parse(moment) : moment;
  return time === null || time === undefined || Number.isNaN(time) ? "–" : HOUR.format(time);
}

/**
 * Say how long ago something was.
 * @param {string} moment ISO text
 * @param {number} [nowMs]
 */
export function ago(moment, nowMs = Date.now()) {
  const seconds = Math.min(0, (Date.parse(moment) - nowMs) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (seconds > -60) return "just now";
  if (seconds > -3600) return AGO.format(Math.round(seconds / 60), "minute");
  return seconds > -86400 ? AGO.format(Math.round(seconds / 3600), "hour") : AGO.format(Math.round(seconds / 86400), "day");
}
