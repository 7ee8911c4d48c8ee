//! Names of rooms: candidates, and which file of the original belongs to which.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use partyrun_store::RoomKey;

use super::error::ImportError;
use super::original::OriginalRoom;

/// Longer words in a file are no room's name.
const NAME_BYTES_MAX: usize = 2048;

/// A name that may belong to a room: of one party, or of any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    party: Option<String>,
    room: String,
}

/// What the user named, and what stands in the named files.
pub(crate) fn candidates(rooms: &[String], files: &[PathBuf]) -> Result<BTreeSet<Candidate>, ImportError> {
    let mut found = BTreeSet::new();
    for room in rooms {
        found.insert(Candidate { party: None, room: room.clone() });
        if let Some((party, room)) = room.split_once('/') {
            found.insert(Candidate { party: Some(party.to_string()), room: room.to_string() });
        }
    }
    for path in files {
        let bytes = std::fs::read(path).map_err(|error| ImportError::Read {
            path: path.display().to_string(),
            what: error.to_string(),
        })?;
        in_text(&String::from_utf8_lossy(&bytes), &mut found);
    }
    Ok(found)
}

// URLs with a room in them; besides, every word and every quoted text may be a name.
fn in_text(text: &str, found: &mut BTreeSet<Candidate>) {
    for line in text.lines() {
        for (marker, names_party) in [("/party/", false), ("/parties/", true)] {
            for (at, _) in line.match_indices(marker) {
                let rest = line.get(at + marker.len()..).unwrap_or_default();
                let end =
                    rest.find([' ', '?', '#', '"', '\'', '`', '<', '>', '\t', ')']).unwrap_or(rest.len());
                let mut parts = rest.get(..end).unwrap_or_default().split('/');
                let party =
                    if names_party { parts.next().map(str::to_owned) } else { Some("main".to_string()) };
                if let Some(room) = parts.next().filter(|room| !room.is_empty()) {
                    found.insert(Candidate { party, room: room.to_string() });
                }
            }
        }
        let quoted = line.split(['"', '\'', '`']);
        for word in line.split_whitespace().chain(quoted).filter(|word| word.len() <= NAME_BYTES_MAX) {
            if !word.is_empty() {
                found.insert(Candidate { party: None, room: word.to_string() });
            }
        }
    }
}

/// For each party and hash the name, as far as a candidate has it.
pub(crate) fn by_hash(
    candidates: &BTreeSet<Candidate>,
    rooms: &[OriginalRoom],
) -> HashMap<(String, String), String> {
    let wanted: std::collections::HashSet<(&str, &str)> =
        rooms.iter().map(|room| (room.party.as_str(), room.hash.as_str())).collect();
    let parties: BTreeSet<&str> = rooms.iter().map(|room| room.party.as_str()).collect();
    let mut names = HashMap::new();
    for candidate in candidates {
        for party in &parties {
            if candidate.party.as_deref().is_some_and(|only| only != *party) {
                continue;
            }
            let hash = RoomKey::new(*party, candidate.room.as_str()).internal_id();
            if wanted.contains(&(*party, hash.as_str())) {
                names.insert(((*party).to_string(), hash), candidate.room.clone());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_logs() {
        let mut found = BTreeSet::new();
        in_text(
            "[pk:inf] GET /party/lobby?_pk=x 200 OK (3ms)\nws://h/parties/game/a%20b/sub \"my room\"",
            &mut found,
        );
        let has = |party: Option<&str>, room: &str| {
            found.contains(&Candidate { party: party.map(str::to_owned), room: room.to_string() })
        };
        assert!(has(Some("main"), "lobby"));
        assert!(has(Some("game"), "a%20b"));
        assert!(has(None, "my room"));
    }
}
