//! Nesting: refuses sources whose brackets are nested so deeply that a recursive parser would need more stack than
//! there is. People do not write such files; a broken generator or an attacker does. It looks at characters only, so
//! brackets in regular expressions count too: the limit is far above anything that this could confuse.

/// The deepest nesting that the compiler's stack was measured to bear, with room to spare.
pub(crate) const NESTING_DEPTH_MAX: u32 = 4_000;

/// The byte offset at which the limit is passed, if it is.
pub(crate) fn too_deep(source: &str) -> Option<u32> {
    let bytes = source.as_bytes();
    let (mut depth, mut at) = (0u32, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > NESTING_DEPTH_MAX {
                    return u32::try_from(at).ok();
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => at = end_of_string(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = find(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = find(bytes, at + 2, b"*/") + 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The closing quote, or the end of the line: a quote in a regular expression must not hide the rest of the file.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes.get(start);
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => return at,
            _ if Some(byte) == quote => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

fn find(bytes: &[u8], start: usize, needle: &[u8]) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.windows(needle.len()).position(|window| window == needle).map_or(bytes.len(), |found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_only_what_is_deep() {
        let limit = NESTING_DEPTH_MAX as usize;
        assert_eq!(too_deep(&"(".repeat(limit)), None);
        assert_eq!(too_deep(&"[".repeat(limit + 1)), Some(NESTING_DEPTH_MAX));
        assert_eq!(too_deep(&"[]".repeat(limit * 2)), None);
        assert_eq!(too_deep(&format!("x = '{}'; // {0}\n/* {0} */", "(".repeat(limit + 1))), None);
        assert_eq!(too_deep("'unclosed \\"), None);
        assert_eq!(too_deep("/* unclosed"), None);
    }
}
