// What a test does where a program that it needs is missing: it says so and is skipped, unless PARTYRUN_TESTS=all, which CI
// sets: then nothing may be skipped, and the test fails.
export function skip(reason) {
  if (process.env.PARTYRUN_TESTS === "all") {
    console.error(`PARTYRUN_TESTS=all, but ${reason}`);
    process.exit(1);
  }
  console.log(`skipped: ${reason}`);
}
