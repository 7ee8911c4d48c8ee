//! The name of a room: its party and its room id.
//!
//! Everything that is stored for a room is keyed by this pair. Both halves are taken as they are: no file name, no SQL
//! text and no separator is ever made from them, so no id can reach another room's data (`../x`, NUL, case pairs and
//! emoji are just different strings).

use std::fmt::{self, Write};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// The name of a room; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey {
    party: Arc<str>,
    id: Arc<str>,
}

impl RoomKey {
    /// Names the room `id` of `party`. Nothing is checked: any text is a name.
    pub fn new(party: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { party: party.into(), id: id.into() }
    }

    /// The party, `main` or a name from the configuration.
    pub fn party(&self) -> &str {
        &self.party
    }

    /// The room id, percent-encoded as it stands in the room's URL.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `Party.Room.internalID`: 64 hexadecimal digits, the same as in the original's development server, which names
    /// the files of its rooms after them (spec 1.2): half a keyed hash of the name, then half a keyed hash of that half.
    pub fn internal_id(&self) -> String {
        let namespace = match &*self.party {
            "main" => "-PartyKitDurable".to_string(),
            party => format!("-{party}DO"),
        };
        let key = Sha256::digest(namespace);
        let name = half_of_keyed_hash(&key, self.id.as_bytes());
        let check = half_of_keyed_hash(&key, &name);
        name.iter().chain(&check).fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party, self.id)
    }
}

fn half_of_keyed_hash(key: &[u8], bytes: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    // HMAC takes keys of every length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        mac.update(bytes);
        half.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    }
    half
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

    #[test]
    fn internal_ids_are_those_of_the_original() {
        let id = |party: &str, room: &str| RoomKey::new(party, room).internal_id();
        let lobby = "b96bfff5bea1a01db4d82e4a296dbcf557245089e523cd7ec5985efb07f507b5";
        let other = "1bac2b31f411ca792e97b5e2481cfec9ad2407c53924cdd27441720a5abc6b75";
        assert_eq!((id("main", "lobby").as_str(), id("other", "a%20b").as_str()), (lobby, other));
    }
}
