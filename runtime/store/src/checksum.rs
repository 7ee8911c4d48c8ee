//! Checksums of stored values: SQLite has none, and would serve what a disk or another program has altered as if it were
//! right. They are made of the room, the key and the value, so that a value in another's place is noticed, too. They tell of
//! accidents, not of somebody who computes them anew.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::RoomKey;

/// The checksum of one value. Published values of it never change: databases hold them.
pub fn checksum(room: &RoomKey, key: &[u8], value: &[u8]) -> i64 {
    // Each part is the seed of the next, so that no two ways to divide the same bytes are alike.
    let parts = [room.party().as_bytes(), room.id().as_bytes(), key, value];
    parts.into_iter().fold(0, |seed, part| xxh3_64_with_seed(part, seed)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_the_sums_stay() {
        let sum = |party: &str, id: &str, key: &str, value: &str| {
            checksum(&RoomKey::new(party, id), key.as_bytes(), value.as_bytes())
        };
        let sums = [
            sum("main", "a", "k", "v"),
            sum("mai", "na", "k", "v"),
            sum("main", "ak", "", "v"),
            sum("main", "a", "kv", ""),
            sum("main", "a", "k", "w"),
            sum("main", "b", "k", "v"),
        ];
        for (at, one) in sums.iter().enumerate() {
            assert!(!sums[..at].contains(one), "{at}");
        }
        assert_eq!(sums[0], KNOWN, "databases hold sums of earlier versions");
    }

    const KNOWN: i64 = 5_100_066_898_804_485_617;
}
