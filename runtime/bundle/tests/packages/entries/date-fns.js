import { format, addDays, differenceInCalendarDays, parseISO, formatDistance, intervalToDuration } from "date-fns";
import { de } from "date-fns/locale";
import { isWeekend } from "date-fns/isWeekend";
const day = new Date(2024, 1, 28, 12);
console.log(
  format(addDays(day, 2), "yyyy-MM-dd EEEE"),
  format(day, "PPPP", { locale: de }),
  differenceInCalendarDays(new Date(2024, 2, 3), day),
  parseISO("2024-02-30").toString(),
  formatDistance(day, addDays(day, 40)),
  JSON.stringify(intervalToDuration({ start: day, end: addDays(day, 33) })),
  isWeekend(day),
);
export default format;
