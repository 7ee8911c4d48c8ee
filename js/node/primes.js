// Primes with a condition (`safe`, `add`, `rem` of crypto.generatePrime). deno_node_crypto looks for them in one native call, which
// never ends if the condition allows none. Here each candidate is a call of its own, and the search ends after a number of them.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { BigInt, MathCeil, Number, RangeError, Uint8Array } = primordials;

// About one number in `0.7 * bits` is a prime, and one in the square of that a safe one.
const TRIES_PER_BIT = 100;
const SIEVE = [3n, 5n, 7n, 11n, 13n, 17n, 19n, 23n, 29n, 31n, 37n, 41n, 43n, 47n, 53n];

function numberOf(bytes) {
  let number = 0n;
  for (let i = 0; i < bytes.length; i++) number = number << 8n | BigInt(bytes[i]);
  return number;
}

function bytesOf(number, count) {
  const bytes = new Uint8Array(count);
  for (let i = count - 1; i >= 0; i--) {
    bytes[i] = Number(number & 255n);
    number >>= 8n;
  }
  return bytes;
}

function hasSmallFactor(number) {
  if (number % 2n === 0n) return number !== 2n;
  for (let i = 0; i < SIEVE.length; i++) {
    if (number % SIEVE[i] === 0n) return number !== SIEVE[i];
  }
  return false;
}

function refused(message) {
  const error = new RangeError(message);
  error.code = "ERR_OUT_OF_RANGE";
  return error;
}

function conditionOf(bits, isSafe, add, rem) {
  const step = add ? numberOf(add) : null;
  const least = 1n << BigInt(bits - 1);
  if (step !== null && (step === 0n || step >= 2n * least)) throw refused("invalid options.add");
  const rest = rem ? numberOf(rem) : isSafe ? 3n : 1n;
  if (step !== null && rem && rest >= step) throw refused("invalid options.rem");
  return { bits, isSafe, step, rest, least, bytes: MathCeil(bits / 8), tries: TRIES_PER_BIT * bits * (isSafe ? bits : 1) };
}

// A number that may be one, or null.
function candidate({ bits, isSafe, step, rest, least, bytes }, fillRandom) {
  const random = new Uint8Array(bytes);
  fillRandom(random);
  let number = least + numberOf(random) % least;
  if (step === null) number |= isSafe && bits > 2 ? 3n : 1n;
  else number += (rest - number % step + step) % step;
  if (number >= 2n * least || hasSmallFactor(number)) return null;
  return isSafe && hasSmallFactor(number >> 1n) ? null : number;
}

const nothing = () => refused("prime generation failed: no suitable prime found in range");

/** Looks for a prime; `isPrime` answers at once. */
function findPrime(bits, isSafe, add, rem, fillRandom, isPrime) {
  const condition = conditionOf(bits, isSafe, add, rem);
  for (let i = 0; i < condition.tries; i++) {
    const number = candidate(condition, fillRandom);
    if (number === null || !isPrime(bytesOf(number, condition.bytes))) continue;
    if (!isSafe || isPrime(bytesOf(number >> 1n, condition.bytes))) return bytesOf(number, condition.bytes);
  }
  throw nothing();
}

/** The same for an `isPrime` that answers a promise; candidates that are none without asking are passed over at once. */
async function findPrimeLater(bits, isSafe, add, rem, fillRandom, isPrime) {
  const condition = conditionOf(bits, isSafe, add, rem);
  for (let i = 0; i < condition.tries; i++) {
    const number = candidate(condition, fillRandom);
    // own: an op.
    if (number === null || !(await isPrime(bytesOf(number, condition.bytes)))) continue;
    // own: as above.
    if (!isSafe || await isPrime(bytesOf(number >> 1n, condition.bytes))) return bytesOf(number, condition.bytes);
  }
  throw nothing();
}

return { findPrime, findPrimeLater };
})();
