//! The name of a room: its party and its room id.
//!
//! Everything that is kept for a room hangs on this pair. Both halves are taken as they are: no file name, no SQL text
//! and no separator is ever made from them, so that no id can reach another room's data (`../x`, NUL, case pairs and
//! emoji are just different strings).

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Mixed into every internal id so that it equals no other project's hash of the same strings.
const INTERNAL_ID_TAG: &[u8] = b"partyrun room 1\0";

/// The name of a room; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey {
    party: Arc<str>,
    id: Arc<str>,
}

impl RoomKey {
    /// Names the room `id` of `party`.
    pub fn new(party: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { party: party.into(), id: id.into() }
    }

    /// The party, `main` or a name from the configuration.
    pub fn party(&self) -> &str {
        &self.party
    }

    /// The room id as users know it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `Party.Room.internalID`: 64 hexadecimal digits, the same for the same name in every process.
    pub fn internal_id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(INTERNAL_ID_TAG);
        // The length keeps ("a", "bc") and ("ab", "c") apart.
        hash.update((self.party.len() as u64).to_le_bytes());
        hash.update(self.party.as_bytes());
        hash.update(self.id.as_bytes());
        hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_ids_are_stable_and_distinct() {
        let id = RoomKey::new("main", "lobby").internal_id();
        assert_eq!(id.len(), 64);
        assert_eq!(id, RoomKey::new("main", "lobby").internal_id());
        assert_ne!(id, RoomKey::new("main", "Lobby").internal_id());
        assert_ne!(RoomKey::new("a", "bc").internal_id(), RoomKey::new("ab", "c").internal_id());
    }
}
