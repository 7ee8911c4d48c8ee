import throttle from "just-throttle";
let count = 0;
const call = throttle(
  () => {
    count++;
  },
  5,
  { leading: true },
);
call();
call();
call();
call.cancel();
console.log(count, typeof call.flush);
export { call as default };
