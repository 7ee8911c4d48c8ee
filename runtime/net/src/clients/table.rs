//! What is remembered of each client's address: how many connections it has, and when it will have used up what it may.
//!
//! A rate is a GCRA cell: the time at which the client's allowance will be whole again. An address whose allowances are whole and
//! that has no connection is forgotten, because nothing would be lost with it. The table is cut into shards, each behind a lock
//! of its own that is held for some dozens of instructions. Its size is bounded: where a shard is full, an address that has used
//! little makes way.
//!
//! Why not the crate `governor`: its keyed limiters keep one rate for a key, so that each address would be in three tables, and
//! they have no bound; forgetting goes through the whole table at once.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks of the table.
const SHARDS: usize = 64;
/// Addresses that are looked at for one that can make way.
const LOOKED_AT: usize = 16;
/// A shard that has grown beyond this many times what it holds gives memory back.
const SPARE: usize = 4;
/// What a shard keeps in any case.
const LEAST: usize = 64;

/// The rates that are kept for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Requests,
    Handshakes,
    Rooms,
}

/// How fast something may come, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// From one to the next, on average.
    pub(super) interval: u64,
    /// How much of that may be saved up.
    pub(super) burst: u64,
}

/// An address, or the first half of one of IPv6, as a number: whoever has one of those has all of its second halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Where no host of IPv6 is: the addresses that begin with 0xff are multicast.
            IpAddr::V4(address) => Self(0xffff_ffff_0000_0000 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// For each rate, when the allowance is whole again.
    whole_at: [u64; 3],
    connections: u32,
}

impl Cell {
    fn is_idle(&self, now: u64) -> bool {
        self.connections == 0 && self.whole_at.iter().all(|whole_at| *whole_at <= now)
    }

    fn used_until(&self) -> u64 {
        self.whole_at.iter().copied().max().unwrap_or(0)
    }
}

type Shard = HashMap<Key, Cell>;

pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    shard_max: usize,
}

impl Table {
    /// One for at most this many addresses.
    pub(super) fn new(addresses_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            shard_max: (addresses_max / SHARDS).max(1),
        }
    }

    fn shard(&self, key: Key) -> Option<MutexGuard<'_, Shard>> {
        // There are as many shards as there can be remainders.
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards.get(index).map(lock)
    }

    /// Takes one of what a client may do in a time, at `now`; else says after which time there will be one again.
    pub(super) fn take(&self, key: Key, what: What, rate: Rate, now: u64) -> Result<(), u64> {
        let Some(mut shard) = self.shard(key) else { return Ok(()) };
        let Some(cell) = self.cell(&mut shard, key) else { return Ok(()) };
        let Some(whole_at) = cell.whole_at.get_mut(what as usize) else { return Ok(()) };
        let next = (*whole_at).max(now).saturating_add(rate.interval);
        let too_early = (next - now).saturating_sub(rate.burst.max(rate.interval));
        if too_early > 0 {
            return Err(too_early);
        }
        *whole_at = next;
        Ok(())
    }

    /// Counts one more connection of a client: false if it has as many as it may.
    pub(super) fn enter(&self, key: Key, connections_max: usize) -> bool {
        let Some(mut shard) = self.shard(key) else { return true };
        // A client that finds no place in the table is let in: the connections of the process have a bound of their own.
        let Some(cell) = self.cell(&mut shard, key) else { return true };
        if cell.connections as usize >= connections_max {
            return false;
        }
        cell.connections += 1;
        true
    }

    /// Takes a connection back that was counted.
    pub(super) fn leave(&self, key: Key) {
        if let Some(mut shard) = self.shard(key)
            && let Some(cell) = shard.get_mut(&key)
        {
            cell.connections = cell.connections.saturating_sub(1);
        }
    }

    // The cell of a client, where there is one or is a place for one.
    fn cell<'shard>(&self, shard: &'shard mut Shard, key: Key) -> Option<&'shard mut Cell> {
        if shard.len() >= self.shard_max && !shard.contains_key(&key) {
            // Only a few are looked at: whoever comes from a million addresses must not make each request go through a shard.
            let candidates = shard.iter().filter(|(_, cell)| cell.connections == 0).take(LOOKED_AT);
            let least = candidates.min_by_key(|(_, cell)| cell.used_until()).map(|(key, _)| *key)?;
            shard.remove(&least);
        }
        Some(match shard.entry(key) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(place) => place.insert(Cell::default()),
        })
    }

    /// Forgets what need not be remembered in one of the shards, whichever `turn` names.
    pub(super) fn forget_some(&self, turn: usize, now: u64) {
        if let Some(shard) = self.shards.get(turn % SHARDS) {
            forget(&mut lock(shard), now);
        }
    }

    /// How many addresses are remembered, and for how many there is memory.
    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        let sizes = self.shards.iter().map(|shard| {
            let shard = lock(shard);
            (shard.len(), shard.capacity())
        });
        sizes.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing that is done under the lock leaves a cell half written.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(shard: &mut Shard, now: u64) {
    shard.retain(|_, cell| !cell.is_idle(now));
    if shard.capacity() > SPARE * shard.len().max(LEAST) {
        shard.shrink_to(2 * shard.len().max(LEAST));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TEN: Rate = Rate { interval: SECOND / 10, burst: SECOND };

    fn key(text: &str) -> Key {
        Key::of(text.parse().unwrap())
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        assert_eq!(key("::ffff:1.2.3.4"), key("1.2.3.4"));
        assert_ne!(key("1.2.3.4"), key("1.2.3.5"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn a_rate_has_a_burst_and_is_kept_on_average() {
        let table = Table::new(1000);
        let take = |now| table.take(key("1.2.3.4"), What::Requests, TEN, now);
        assert!((0..10).all(|_| take(SECOND).is_ok()));
        assert_eq!(take(SECOND), Err(SECOND / 10));
        assert_eq!(take(SECOND + SECOND / 20), Err(SECOND / 20));
        assert_eq!(take(SECOND + SECOND / 10), Ok(()));
        // What is refused costs nothing, and in the long run there are ten a second.
        let passed = (0..10_000).filter(|step| take(2 * SECOND + step * SECOND / 1000).is_ok()).count();
        assert!((108..=110).contains(&passed), "{passed}");
        // Others are not concerned, nor are other things.
        assert_eq!(table.take(key("1.2.3.5"), What::Requests, TEN, SECOND), Ok(()));
        assert_eq!(table.take(key("1.2.3.4"), What::Rooms, TEN, SECOND), Ok(()));
        // A burst that is shorter than the interval is one.
        let slow = Rate { interval: 10 * SECOND, burst: SECOND };
        let take = |now| table.take(key("1.2.3.6"), What::Rooms, slow, now);
        assert_eq!((take(0), take(SECOND), take(10 * SECOND)), (Ok(()), Err(9 * SECOND), Ok(())));
    }

    #[test]
    fn connections_are_counted_until_they_leave() {
        let table = Table::new(1000);
        let one = key("1.2.3.4");
        assert!(table.enter(one, 2) && table.enter(one, 2) && !table.enter(one, 2));
        table.leave(one);
        assert!(table.enter(one, 2) && !table.enter(one, 2));
        assert!(table.enter(key("1.2.3.5"), 2));
    }

    #[test]
    fn an_address_is_forgotten_when_its_allowance_is_whole() {
        let table = Table::new(1000);
        table.take(key("1.1.1.1"), What::Requests, TEN, 0).unwrap();
        table.enter(key("2.2.2.2"), 5);
        let forget_all = |now| (0..SHARDS).for_each(|turn| table.forget_some(turn, now));
        forget_all(SECOND / 20);
        assert_eq!(table.sizes().0, 2);
        forget_all(SECOND);
        assert_eq!(table.sizes().0, 1, "one has a connection");
        table.leave(key("2.2.2.2"));
        forget_all(SECOND);
        assert_eq!(table.sizes().0, 0);
    }

    #[test]
    fn a_million_addresses_take_bounded_memory() {
        const MOST: usize = 100_000;
        let table = Table::new(MOST);
        let held = key("9.9.9.9");
        assert!(table.enter(held, 1));
        for number in 0..1_000_000u32 {
            let address: IpAddr = match number % 2 {
                0 => Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761)).into(),
                _ => Ipv6Addr::from_bits(u128::from(number) << 70).into(),
            };
            // All at once: no allowance becomes whole meanwhile.
            let _taken = table.take(Key::of(address), What::Requests, TEN, u64::from(number));
        }
        let (remembered, places) = table.sizes();
        assert!(remembered <= MOST, "{remembered}");
        let bytes = places * (size_of::<(Key, Cell)>() + 1);
        assert!(bytes <= 16 << 20, "{bytes} bytes for {remembered} addresses");
        assert!(!table.enter(held, 1), "one with a connection was forgotten");
        (0..SHARDS).for_each(|turn| table.forget_some(turn, 10 * SECOND));
        let (remembered, places) = table.sizes();
        assert!(remembered == 1 && places <= 4 * SHARDS * LEAST, "{remembered} in {places}");
    }
}
