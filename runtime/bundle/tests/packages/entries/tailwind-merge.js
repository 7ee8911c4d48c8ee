import { twMerge, extendTailwindMerge, twJoin, createTailwindMerge, getDefaultConfig } from "tailwind-merge";
console.log(
  twMerge("px-2 py-1 bg-red hover:bg-dark-red", "p-3 bg-[#B91C1C]"),
  twJoin("a", ["b", null]),
  Object.keys(getDefaultConfig().classGroups).length,
);
export const merge = extendTailwindMerge({ extend: { classGroups: { foo: ["foo", "bar"] } } });
console.log(merge("foo bar"), typeof createTailwindMerge);
