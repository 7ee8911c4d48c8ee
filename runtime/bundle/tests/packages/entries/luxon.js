import { DateTime, Duration, Interval, Settings } from "luxon";
Settings.defaultZone = "utc";
const t = DateTime.fromMillis(0);
console.log(
  t.toISO(),
  t.plus({ months: 1 }).toFormat("yyyy LLL dd"),
  Duration.fromISO("PT1H30M").as("minutes"),
  Interval.after(t, { days: 2 }).splitBy({ hours: 12 }).length,
  DateTime.fromISO("bad").invalidReason,
);
export { DateTime as default };
