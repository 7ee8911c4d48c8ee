import dayjs from "dayjs";
import utc from "dayjs/plugin/utc";
import relative from "dayjs/plugin/relativeTime.js";
import "dayjs/locale/de";
dayjs.extend(utc);
dayjs.extend(relative);
console.log(
  dayjs.utc(0).format("YYYY-MM-DD HH:mm"),
  dayjs.utc(0).add(1, "month").locale("de").format("dddd MMMM"),
  dayjs.utc(0).from(dayjs.utc(86400000 * 3)),
  dayjs("nope").isValid(),
);
export default dayjs;
