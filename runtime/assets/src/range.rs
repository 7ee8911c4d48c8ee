//! Byte ranges (RFC 9110, section 14).
//!
//! One range is answered with 206. Several are answered with the whole file, which the standard allows and which keeps
//! a request for a thousand overlapping ranges cheap; if none of them touches the file, the answer is 416.

/// What a `Range` header asks of a file of a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: there is no range, or none that counts.
    Whole,
    /// `length` bytes from `first`; at least one.
    Part { first: u64, length: u64 },
    /// Nothing that the file has.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `file_len` bytes. A header that makes no sense counts as absent (RFC 9110,
/// 14.2).
pub(crate) fn wanted(header: &str, file_len: u64) -> Wanted {
    let Some((unit, list)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut satisfiable = Vec::new();
    let mut count = 0_usize;
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        match part(spec, file_len) {
            // One wrong range spoils the header, and a header that is wrong does not count.
            None => return Wanted::Whole,
            Some(Wanted::Part { first, length }) if satisfiable.len() < 2 => {
                satisfiable.push((first, length))
            }
            Some(_) => {}
        }
    }
    match (satisfiable.as_slice(), count) {
        (_, 0) => Wanted::Whole,
        ([], _) if file_len == 0 => Wanted::Whole,
        ([], _) => Wanted::Unsatisfiable,
        ([(first, length)], 1) => Wanted::Part { first: *first, length: *length },
        _ => Wanted::Whole,
    }
}

/// One range; `None` if it is not well-formed.
fn part(spec: &str, file_len: u64) -> Option<Wanted> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number too long for 64 bits is beyond every file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let suffix = number(last)?.min(file_len);
        return Some(match suffix {
            0 => Wanted::Unsatisfiable,
            length => Wanted::Part { first: file_len - length, length },
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    if first >= file_len {
        return Some(Wanted::Unsatisfiable);
    }
    let last = last.min(file_len - 1);
    Some(Wanted::Part { first, length: last - first + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_standard() {
        let part = |first, length| Wanted::Part { first, length };
        let cases = [
            ("bytes=0-4", 10, part(0, 5)),
            ("BYTES = 0-4", 10, part(0, 5)),
            ("bytes=5-", 10, part(5, 5)),
            ("bytes=-3", 10, part(7, 3)),
            ("bytes=-300", 10, part(0, 10)),
            ("bytes=9-9", 10, part(9, 1)),
            ("bytes=0-99999999999999999999999999", 10, part(0, 10)),
            ("bytes=10-", 10, Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999999-", 10, Wanted::Unsatisfiable),
            ("bytes=-0", 10, Wanted::Unsatisfiable),
            ("bytes=20-30, 40-50", 10, Wanted::Unsatisfiable),
            ("bytes=0-1, 3-4", 10, Wanted::Whole),
            ("bytes=0-1, 40-50", 10, Wanted::Whole),
            ("bytes=0-1,", 10, part(0, 2)),
            ("bytes=4-2", 10, Wanted::Whole),
            ("bytes=a-b", 10, Wanted::Whole),
            ("bytes=+1-2", 10, Wanted::Whole),
            ("bytes=1", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("bytes=--1", 10, Wanted::Whole),
            ("bytes=", 10, Wanted::Whole),
            ("lines=0-4", 10, Wanted::Whole),
            ("0-4", 10, Wanted::Whole),
            ("bytes=0-4", 0, Wanted::Whole),
            ("bytes=-5", 0, Wanted::Whole),
            ("bytes=1073741824-1073741827", 1 << 31, part(1 << 30, 4)),
        ];
        for (header, file_len, expected) in cases {
            assert_eq!(wanted(header, file_len), expected, "{header} of {file_len}");
        }
        let flood = format!("bytes={}", "0-,".repeat(100_000));
        assert_eq!(wanted(&flood, 10), Wanted::Whole);
    }
}
