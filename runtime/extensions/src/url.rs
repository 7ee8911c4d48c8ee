//! The ops of `URL` that parse and change one (WHATWG URL standard).
//!
//! They take the place of deno_web's ops of the same names and fill the same table of offsets for its script. The parser is
//! the same crate; what differs is mended here: superfluous slashes before a host, carets in paths, spaces at the end of
//! opaque paths, and the `/.` that keeps a path apart from a missing host.

use std::borrow::Cow;

use deno_core::_ops::OpDecl;
use deno_core::url::quirks::{self, InternalComponents};
use deno_core::url::{ParseError, Url};
use deno_core::{OpState, op2};

/// The names of the ops that are replaced.
pub(crate) const REPLACED: [&str; 4] =
    ["op_url_get_serialization", "op_url_parse", "op_url_parse_with_base", "op_url_reparse"];

/// Their replacements.
pub(crate) fn ops() -> [OpDecl; 4] {
    [op_url_get_serialization(), op_url_parse(), op_url_parse_with_base(), op_url_reparse()]
}

const SAME: u32 = 0;
const OTHER_SERIALIZATION: u32 = 1;
const INVALID: u32 = 2;

/// What the script takes for "no port".
const NO_PORT: u32 = 65536;

struct Serialization(String);

#[op2]
#[string]
pub(crate) fn op_url_get_serialization(state: &mut OpState) -> String {
    state.try_take::<Serialization>().map(|serialization| serialization.0).unwrap_or_default()
}

#[op2(fast)]
#[smi]
pub(crate) fn op_url_parse(state: &mut OpState, #[string] href: &str, #[buffer] offsets: &mut [u32]) -> u32 {
    tell(state, href, parse(href, None), offsets)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_url_parse_with_base(
    state: &mut OpState,
    #[string] href: &str,
    #[string] base: &str,
    #[buffer] offsets: &mut [u32],
) -> u32 {
    let url = parse(base, None).and_then(|base| parse(href, Some(&base)));
    tell(state, href, url, offsets)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_url_reparse(
    state: &mut OpState,
    #[string] href: &str,
    #[smi] setter: u8,
    #[string] value: &str,
    #[buffer] offsets: &mut [u32],
) -> u32 {
    let url = parse(href, None).and_then(|url| set(url, setter, value));
    tell(state, href, url, offsets)
}

// The numbers are those of the script.
fn set(mut url: Url, setter: u8, value: &str) -> Result<Url, ParseError> {
    let done = match setter {
        0 => {
            quirks::set_hash(&mut url, value);
            Ok(())
        }
        1 => quirks::set_host(&mut url, value),
        2 => quirks::set_hostname(&mut url, value),
        3 => quirks::set_password(&mut url, value),
        4 => {
            quirks::set_pathname(&mut url, value);
            Ok(())
        }
        5 => quirks::set_port(&mut url, value),
        6 => quirks::set_protocol(&mut url, value),
        7 => {
            quirks::set_search(&mut url, value);
            Ok(())
        }
        8 => quirks::set_username(&mut url, value),
        _ => Err(()),
    };
    // The script keeps what it has, whatever the error is.
    done.map_err(|()| ParseError::SetHostOnCannotBeABaseUrl)?;
    mend(url)
}

fn parse(href: &str, base: Option<&Url>) -> Result<Url, ParseError> {
    let takes_hosts = base.is_some_and(|base| is_special(base.scheme()));
    let href = if takes_hosts { without_superfluous_slashes(href) } else { Cow::Borrowed(href) };
    mend(Url::options().base_url(base).parse(&href)?)
}

fn is_special(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp")
}

// "Special authority ignore slashes state": more than two slashes before a host are two. The parser knows that of absolute
// URLs only.
fn without_superfluous_slashes(href: &str) -> Cow<'_, str> {
    let start = href.trim_start_matches(|first: char| first <= ' ');
    let is_skipped = |next: char| matches!(next, '/' | '\\' | '\t' | '\n' | '\r');
    let host = start.trim_start_matches(is_skipped);
    let slashes = start[..start.len() - host.len()].bytes().filter(|byte| matches!(byte, b'/' | b'\\'));
    if slashes.count() > 2 { Cow::Owned(format!("//{host}")) } else { Cow::Borrowed(href) }
}

fn mend(url: Url) -> Result<Url, ParseError> {
    let parts = quirks::internal_components(&url);
    let (whole, path) = (url.as_str(), url.path());
    let (before, after) = whole.split_at(parts.path_start as usize);
    let rest = &after[path.len()..];
    let mended_path = if url.cannot_be_a_base() {
        match path.strip_suffix(' ') {
            Some(shorter) if !rest.is_empty() => Cow::Owned(format!("{shorter}%20")),
            _ => Cow::Borrowed(path),
        }
    } else if path.contains('^') {
        Cow::Owned(path.replace('^', "%5E"))
    } else {
        Cow::Borrowed(path)
    };
    // What kept the path apart from a missing host stands behind the place of the host, also after one was set.
    let host_end = if has_authority(&parts) { parts.host_end as usize } else { 0 };
    let dots = if before[host_end..].ends_with("/.") { 2 } else { 0 };
    let bare = &before[..before.len() - dots];
    let apart = if !has_authority(&parts) && path.starts_with("//") { "/." } else { "" };
    if mended_path == path && bare.len() + apart.len() == before.len() {
        return Ok(url);
    }
    Url::parse(&format!("{bare}{apart}{mended_path}{rest}"))
}

fn has_authority(parts: &InternalComponents) -> bool {
    parts.username_end >= parts.scheme_end + 3
}

// Writes where the parts of `url` begin and end, and keeps its text for the script unless it is `href`.
fn tell(state: &mut OpState, href: &str, url: Result<Url, ParseError>, offsets: &mut [u32]) -> u32 {
    let Ok(url) = url else { return INVALID };
    let parts = quirks::internal_components(&url);
    // Without an authority the parser counts a `/.` before the path to the host.
    let (host_start, host_end) = if has_authority(&parts) {
        (parts.host_start, parts.host_end)
    } else {
        (parts.path_start, parts.path_start)
    };
    let values = [
        parts.scheme_end,
        parts.username_end,
        host_start,
        host_end,
        parts.port.map_or(NO_PORT, u32::from),
        parts.path_start,
        parts.query_start.unwrap_or(0),
        parts.fragment_start.unwrap_or(0),
    ];
    let Some(offsets) = offsets.get_mut(..values.len()) else { return INVALID };
    offsets.copy_from_slice(&values);
    if url.as_str() == href {
        return SAME;
    }
    state.put(Serialization(url.into()));
    OTHER_SERIALIZATION
}

#[cfg(test)]
mod tests {
    use super::{parse, set};

    fn href(text: &str, base: &str) -> String {
        let base = parse(base, None).unwrap();
        parse(text, Some(&base)).unwrap().into()
    }

    #[test]
    fn what_the_parser_does_not_know_is_mended() {
        assert_eq!(href("///test", "http://example.org/"), "http://test/");
        assert_eq!(href(" \\/\t/\\host/a", "https://example.org/"), "https://host/a");
        assert_eq!(href("//host/a", "https://example.org/"), "https://host/a");
        assert_eq!(href("///a", "file:///b"), "file:///a");
        assert_eq!(href("/a^b?c^d", "http://example.org/"), "http://example.org/a%5Eb?c^d");
        assert_eq!(href("a:b  ?q", "http://example.org/"), "a:b %20?q");
        assert_eq!(href("a:b  ", "http://example.org/"), "a:b");
        assert_eq!(href("a://./b", "http://example.org/"), "a://./b");
        assert_eq!(href("http://./", "http://example.org/"), "http://./");
        assert_eq!(href("a:/..//path", "http://example.org/"), "a:/.//path");
    }

    #[test]
    fn setters_keep_a_path_apart_from_a_missing_host() {
        let changed = |text: &str, setter, value: &str| {
            String::from(set(parse(text, None).unwrap(), setter, value).unwrap())
        };
        assert_eq!(changed("a:/", 4, "//p"), "a:/.//p");
        assert_eq!(changed("a:/.//", 4, "p"), "a:/p");
        assert_eq!(changed("a:/.//p", 2, "h"), "a://h//p");
        assert_eq!(changed("http://a/", 5, "81"), "http://a:81/");
        assert!(set(parse("a:b", None).unwrap(), 1, "h").is_err());
    }
}
