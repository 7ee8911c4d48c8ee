//! How WebSockets end: close codes and reasons, which may be sent or received, and what a peer may be closed for.
//!
//! Pure functions over RFC 6455, sections 5.5.1 and 7.4, and over what `close()` accepts in the original (spec 2.7).

use std::borrow::Cow;

/// The longest reason: a control frame carries 125 bytes, two of which are the code.
pub const REASON_BYTES_MAX: usize = 123;

/// The code of a close frame that says nothing (RFC 6455, 7.1.5).
pub(crate) const NOTHING_SAID: u16 = 1005;
/// The code of a connection that broke.
pub(crate) const LOST: u16 = 1006;

/// What a close frame says when it says anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code. Before you send one, ask [`close_code_allowed`].
    pub code: u16,
    /// The reason, often empty. What is longer than [`REASON_BYTES_MAX`] is cut when it is sent.
    pub reason: String,
}

/// Whether user code may pass this code to `close()` (spec 2.7).
pub fn close_code_allowed(code: u16) -> bool {
    matches!(code, 1000..=4999) && !matches!(code, 1004 | 1005 | 1006 | 1015)
}

/// Whether a peer may send this code (RFC 6455, 7.4, and the registry it founded).
pub fn close_code_receivable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The longest beginning of a reason that fits into a close frame.
pub fn truncate_reason(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or("")
}

/// The payload of a close frame that we send.
pub(crate) fn close_payload(frame: Option<&CloseFrame>) -> Vec<u8> {
    let Some(frame) = frame else {
        return Vec::new();
    };
    let mut payload = frame.code.to_be_bytes().to_vec();
    payload.extend_from_slice(truncate_reason(&frame.reason).as_bytes());
    payload
}

/// Why a peer's bytes are refused: the code and reason of the close frame that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) reason: Cow<'static, str>,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason: Cow::Borrowed(reason) }
    }

    pub(crate) const fn utf8() -> Self {
        Self { code: 1007, reason: Cow::Borrowed("Invalid UTF-8") }
    }

    pub(crate) fn policy(reason: String) -> Self {
        Self { code: 1008, reason: Cow::Owned(reason) }
    }

    /// In the words of the original (spec 2.7).
    pub(crate) fn too_large(length: u64, limit: usize) -> Self {
        partyrun_telemetry::limit_hit!(message_in_bytes_max);
        Self { code: 1009, reason: Cow::Owned(format!("Message is too large: {length} > {limit}")) }
    }

    /// The same of a message that came compressed; what follows beyond the limit was not looked at.
    pub(crate) fn too_large_unpacked(limit: usize) -> Self {
        partyrun_telemetry::limit_hit!(message_in_bytes_max);
        Self {
            code: 1009,
            reason: Cow::Owned(format!("Message is too large: it inflates to more than {limit}")),
        }
    }
}

/// A close frame that we received: what it says, and what is wrong with it. A broken one is a close as well, as on the
/// original: whoever sends it goes away, and the room must hear of that. Only the answer tells the peer what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    pub(crate) said: Option<CloseFrame>,
    pub(crate) flaw: Option<Violation>,
}

impl Farewell {
    /// The frame with which it is answered: the same, or what is wrong with it.
    pub(crate) fn answer(&self) -> Option<CloseFrame> {
        let told =
            |flaw: &Violation| CloseFrame { code: flaw.code, reason: flaw.reason.clone().into_owned() };
        self.flaw.as_ref().map(told).or_else(|| self.said.clone())
    }
}

/// Reads the payload of a close frame that we received.
pub(crate) fn parse_close(payload: &[u8]) -> Farewell {
    match payload {
        [] => Farewell { said: None, flaw: None },
        [_] => Farewell { said: None, flaw: Some(Violation::protocol("A close frame has one byte")) },
        [high, low, text @ ..] => {
            let reason = String::from_utf8_lossy(text).into_owned();
            check_close(CloseFrame { code: u16::from_be_bytes([*high, *low]), reason }, text)
        }
    }
}

/// Looks for what is wrong with a close frame; `text` is its reason as it came.
pub(crate) fn check_close(close: CloseFrame, text: &[u8]) -> Farewell {
    let flaw = if text.len() > REASON_BYTES_MAX {
        Some(Violation::protocol("A close frame is too long"))
    } else if !close_code_receivable(close.code) {
        Some(Violation::protocol("Invalid close code"))
    } else {
        std::str::from_utf8(text).err().map(|_| Violation::utf8())
    };
    Farewell { said: Some(close), flaw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for code in [1000, 1001, 1003, 1007, 1011, 1014, 1016, 2999, 3000, 4999] {
            assert!(close_code_allowed(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000, 65535] {
            assert!(!close_code_allowed(code) && !close_code_receivable(code), "{code}");
        }
        assert!(!close_code_receivable(1016) && !close_code_receivable(2999) && close_code_receivable(3000));
    }

    #[test]
    fn reasons_end_between_characters() {
        assert_eq!(truncate_reason("short"), "short");
        assert_eq!(truncate_reason(&"x".repeat(200)).len(), 123);
        assert_eq!(truncate_reason(&"é".repeat(100)).len(), 122);
        assert_eq!(truncate_reason(&"🎈".repeat(100)).len(), 120);
    }

    #[test]
    fn payloads() {
        assert_eq!(parse_close(&[]), Farewell { said: None, flaw: None });
        let code = |close: Option<CloseFrame>| close.map(|close| close.code);
        let both = |payload: &[u8]| {
            let farewell = parse_close(payload);
            (code(farewell.answer()), code(farewell.said))
        };
        assert_eq!(both(&[3]), (Some(1002), None));
        assert_eq!(both(&1005_u16.to_be_bytes()), (Some(1002), Some(1005)));
        assert_eq!(both(&[3, 232, 0xff]), (Some(1007), Some(1000)));
        assert_eq!(both(&[&[3, 232][..], &[b'x'; 124]].concat()), (Some(1002), Some(1000)));
        let frame = CloseFrame { code: 4000, reason: "bye".to_owned() };
        let farewell = parse_close(&close_payload(Some(&frame)));
        assert_eq!((farewell.answer(), farewell.said), (Some(frame.clone()), Some(frame)));
    }
}
