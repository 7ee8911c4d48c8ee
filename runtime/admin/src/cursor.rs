//! Where a page ended, as text that only this server needs to understand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::Problem;

/// The text of a place.
pub(crate) fn write(place: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// The place of a text that [`write`] made.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.ok_or_else(|| Problem::bad("`after` is not a `next` of an earlier page of this list."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_nonsense_does_not() {
        let place = (7_u64, "main".to_string(), "a/b é".to_string());
        assert_eq!(read::<(u64, String, String)>(&write(&place)).unwrap(), place);
        for text in ["", "%%%", "e30", &write(&("x", 1))] {
            assert!(read::<(u64, String, String)>(text).is_err(), "{text}");
        }
    }
}
