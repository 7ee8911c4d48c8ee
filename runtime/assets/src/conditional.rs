//! Validators and preconditions (RFC 9110, sections 8.8 and 13).
//!
//! An entity tag is made of the file's length and modification time, and of the coding, so that the same file has
//! the same tag on several servers. The order of evaluation is that of section 13.2.2.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, header};
use partyrun_coding::Coding;

use crate::root::Stamp;

/// The last second that an HTTP date can name: the end of the year 9999.
const HTTP_DATE_SECONDS_MAX: i64 = 253_402_300_799;

/// The validators of one representation.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// The entity tag, with its quotes.
    pub(crate) tag: String,
    /// The modification time in whole seconds, if an HTTP date can name it.
    pub(crate) modified: Option<SystemTime>,
}

/// What the preconditions of a request decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// Answer 304: the client has the file already.
    NotModified,
    /// Answer 412: the client's precondition does not hold.
    Failed,
}

impl Validators {
    pub(crate) fn new(stamp: &Stamp, coding: Option<Coding>) -> Self {
        let (seconds, nanoseconds) = stamp.modified;
        let suffix = coding.map_or_else(String::new, |coding| format!("-{}", coding.extension()));
        let tag = format!("\"{:x}-{seconds:x}.{nanoseconds:x}{suffix}\"", stamp.len);
        // A time in the future would be a promise that nobody can keep (section 8.8.2.1).
        let modified = (0..=HTTP_DATE_SECONDS_MAX)
            .contains(&seconds)
            .then(|| UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()))
            .filter(|modified| *modified <= SystemTime::now());
        Self { tag, modified }
    }

    /// Evaluates the preconditions of a GET or HEAD request.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(header::IF_MATCH) {
            if !listed(headers, header::IF_MATCH).any(|tag| tag == "*" || tag == self.tag) {
                return Verdict::Failed;
            }
        } else if let (Some(since), Some(modified)) =
            (date(headers, header::IF_UNMODIFIED_SINCE), self.modified)
            && modified > since
        {
            return Verdict::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            let known = listed(headers, header::IF_NONE_MATCH)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag);
            return if known { Verdict::NotModified } else { Verdict::Proceed };
        }
        match (date(headers, header::IF_MODIFIED_SINCE), self.modified) {
            (Some(since), Some(modified)) if modified <= since => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// Whether `If-Range`, if there is one, allows a range.
    pub(crate) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::IF_RANGE) else { return true };
        let Ok(text) = value.to_str().map(str::trim) else { return false };
        if text.starts_with('"') || text.starts_with("W/") {
            return text == self.tag;
        }
        httpdate::parse_http_date(text).is_ok_and(|date| Some(date) == self.modified)
    }
}

/// The members of a list of entity tags. Ours hold no comma, so a foreign one that does cannot match by mistake.
fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).map(str::trim)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64) -> Stamp {
        Stamp { device: 1, inode: 2, len: 255, modified: (seconds, 16), changed: (0, 0) }
    }

    #[test]
    fn tags_differ_by_length_time_and_coding() {
        let tag = |coding| Validators::new(&stamp(784_111_777), coding).tag;
        assert_eq!(tag(None), "\"ff-2ebc98a1.10\"");
        assert_eq!(tag(Some(Coding::Brotli)), "\"ff-2ebc98a1.10-br\"");
        assert_eq!(tag(Some(Coding::Gzip)), "\"ff-2ebc98a1.10-gz\"");
        for odd in [-1, i64::MIN, i64::MAX, HTTP_DATE_SECONDS_MAX + 1, HTTP_DATE_SECONDS_MAX] {
            assert_eq!(Validators::new(&stamp(odd), None).modified, None, "{odd}");
        }
    }

    #[test]
    fn preconditions_are_judged_in_the_order_of_the_standard() {
        use Verdict::{Failed, NotModified, Proceed};
        let (same, before, after) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
        );
        let own = "\"ff-2ebc98a1.10\"";
        let weak = format!("W/{own}");
        let list = format!("\"x\", {weak} , \"y\"");
        let cases: Vec<(Vec<(HeaderName, &str)>, Verdict)> = vec![
            (vec![], Proceed),
            (vec![(header::IF_NONE_MATCH, own)], NotModified),
            (vec![(header::IF_NONE_MATCH, &weak)], NotModified),
            (vec![(header::IF_NONE_MATCH, &list)], NotModified),
            (vec![(header::IF_NONE_MATCH, "\"x\""), (header::IF_NONE_MATCH, own)], NotModified),
            (vec![(header::IF_NONE_MATCH, "*")], NotModified),
            (vec![(header::IF_NONE_MATCH, "\"x\"")], Proceed),
            (vec![(header::IF_NONE_MATCH, "\"x\""), (header::IF_MODIFIED_SINCE, after)], Proceed),
            (vec![(header::IF_MODIFIED_SINCE, same)], NotModified),
            (vec![(header::IF_MODIFIED_SINCE, after)], NotModified),
            (vec![(header::IF_MODIFIED_SINCE, before)], Proceed),
            (vec![(header::IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (vec![(header::IF_MATCH, own)], Proceed),
            (vec![(header::IF_MATCH, &weak)], Failed),
            (vec![(header::IF_MATCH, "*")], Proceed),
            (vec![(header::IF_MATCH, "\"x\"")], Failed),
            (vec![(header::IF_UNMODIFIED_SINCE, before)], Failed),
            (vec![(header::IF_UNMODIFIED_SINCE, same)], Proceed),
            (vec![(header::IF_MATCH, own), (header::IF_NONE_MATCH, own)], NotModified),
        ];
        let validators = Validators::new(&stamp(784_111_777), None);
        for (fields, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                headers.append(name, value.parse().expect("value"));
            }
            assert_eq!(validators.judge(&headers), expected, "{fields:?}");
        }
        for (value, expected) in
            [(own, true), (&*weak, false), ("\"x\"", false), (same, true), (after, false), ("x", false)]
        {
            let headers: HeaderMap =
                [(header::IF_RANGE, value.parse().expect("value"))].into_iter().collect();
            assert_eq!(validators.allow_range(&headers), expected, "{value}");
        }
    }
}
