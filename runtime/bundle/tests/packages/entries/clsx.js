import clsx, { clsx as named } from "clsx";
import lite from "clsx/lite";
console.log(clsx("a", { b: 1, c: 0 }, [["d"]]), named === clsx, lite("x", false, "y"));
export { clsx as default };
