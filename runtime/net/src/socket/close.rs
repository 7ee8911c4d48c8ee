//! Close codes and reasons: which may be sent, which may be received, and how long a reason may be.
//!
//! Pure functions over RFC 6455, sections 5.5.1 and 7.4, and over what `close()` accepts in the original (spec 2.7).

use super::decode::Violation;

/// The longest reason: a control frame carries 125 bytes, two of which are the code.
pub const REASON_BYTES_MAX: usize = 123;

/// What a close frame says when it says anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code.
    pub code: u16,
    /// The reason, often empty.
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

/// Reads the payload of a close frame that we received.
pub(crate) fn parse_close(payload: &[u8]) -> Result<Option<CloseFrame>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::protocol("A close frame has one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close_code_receivable(code) {
                return Err(Violation::protocol("Invalid close code"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::utf8())?;
            Ok(Some(CloseFrame { code, reason: reason.to_owned() }))
        }
    }
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
        assert_eq!(parse_close(&[]), Ok(None));
        assert_eq!(parse_close(&[3]).unwrap_err().code, 1002);
        assert_eq!(parse_close(&1005_u16.to_be_bytes()).unwrap_err().code, 1002);
        assert_eq!(parse_close(&[3, 232, 0xff]).unwrap_err().code, 1007);
        let frame = CloseFrame { code: 4000, reason: "bye".to_owned() };
        assert_eq!(parse_close(&close_payload(Some(&frame))), Ok(Some(frame)));
    }
}
