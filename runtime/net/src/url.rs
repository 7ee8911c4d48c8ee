//! The URL of a request as a room sees it: absolute, and normalized as the WHATWG URL standard does.
//!
//! The original gives user code the URL as `new URL(...)` normalizes it (spec 1.2): dot segments removed, percent
//! escapes kept, forbidden characters escaped. Nearly every URL is already in that form, which a table lookup per byte
//! finds out; only the others are parsed. The origin is normalized once per connection (see `front/service.rs`).

use url::Url;

/// An absolute URL, split where routing needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl {
    text: String,
    path_start: usize,
    path_end: usize,
}

impl RequestUrl {
    /// Parses an absolute URL; `None` unless it is one with a host.
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        url.host_str()?;
        url.set_fragment(None);
        Some(Self::from_url(url))
    }

    /// Joins a normalized origin (`scheme://host[:port]`) and a request target that starts with a slash.
    pub(crate) fn join(origin: &str, target: &str) -> Option<Self> {
        let bytes = target.as_bytes();
        if bytes.first() != Some(&b'/') {
            return None;
        }
        let mut text = String::with_capacity(origin.len() + target.len());
        text.push_str(origin);
        text.push_str(target);
        match plain_path_length(bytes) {
            Some(path) => Some(Self { text, path_start: origin.len(), path_end: origin.len() + path }),
            None => Self::parse(&text),
        }
    }

    fn from_url(url: Url) -> Self {
        let path_start = url[..url::Position::BeforePath].len();
        let path_end = path_start + url.path().len();
        Self { text: url.into(), path_start, path_end }
    }

    /// The whole URL: absolute and normalized, without a fragment.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, which begins with `/`. Percent escapes are kept as they came.
    pub fn path(&self) -> &str {
        self.text.get(self.path_start..self.path_end).unwrap_or("/")
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_end..)?.strip_prefix('?')
    }

    /// Scheme, host and port, such as `http://localhost:1999`.
    pub fn origin(&self) -> &str {
        self.text.get(..self.path_start).unwrap_or("")
    }

    /// The whole URL, given away.
    pub fn into_string(self) -> String {
        self.text
    }
}

/// Bytes that a URL parser leaves alone in a path: neither escaped, nor rewritten, nor the start of something else.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~!$&()*+,;=:@/%[]|";
    let mut index = 0;
    while index < plain.len() {
        table[plain[index] as usize] = true;
        index += 1;
    }
    table
};

/// Bytes that a URL parser leaves alone in a query, where a few more are allowed and dots mean nothing.
const PLAIN_QUERY: [bool; 256] = {
    let mut table = PLAIN;
    let more = b".?/{}^`";
    let mut index = 0;
    while index < more.len() {
        table[more[index] as usize] = true;
        index += 1;
    }
    table
};

/// The length of the path when the whole target needs no normalization.
fn plain_path_length(target: &[u8]) -> Option<usize> {
    let mut previous = b'/';
    for (index, &byte) in target.iter().enumerate() {
        if byte == b'?' {
            let query = target.get(index + 1..).unwrap_or_default();
            return query.iter().all(|&byte| PLAIN_QUERY[usize::from(byte)]).then_some(index);
        }
        // A dot is harmless unless it starts a segment; `%2` may be a dot in disguise (`%2e`).
        let plain = if byte == b'.' {
            previous != b'/'
        } else {
            PLAIN[usize::from(byte)] && !(byte == b'2' && previous == b'%')
        };
        if !plain {
            return None;
        }
        previous = byte;
    }
    Some(target.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(target: &str) -> String {
        RequestUrl::join("http://a.test", target).map(|url| url.text).unwrap_or_default()
    }

    #[test]
    fn the_short_way_gives_what_the_parser_gives() {
        let targets = [
            "/",
            "/party/a?b=c",
            "/party/foo%20bar/f%2Fo",
            "/a/./b/../c",
            "/a/%2e%2E/b",
            "/a/.hidden/..",
            "/a.b.c/d..e",
            "/a\\b",
            "/\"<>`{}^|",
            "/p?a=\"<>'",
            "/p?x={}`^|[]..//?",
            "//b.test/x",
            "/%zz%2",
            "/a'b?c'd",
            "/party/..",
            "/!$&()*+,;=:@[]|~",
            "/a#b",
        ];
        for target in targets {
            let mut whole = Url::parse(&format!("http://a.test{target}")).unwrap();
            whole.set_fragment(None);
            assert_eq!(join(target), whole.as_str(), "{target}");
        }
    }

    #[test]
    fn parts() {
        let url = RequestUrl::parse("HTTP://A.test:80/x/../y?q=1#f").unwrap();
        assert_eq!((url.origin(), url.path(), url.query()), ("http://a.test", "/y", Some("q=1")));
        assert_eq!(RequestUrl::parse("data:x"), None);
        let url = RequestUrl::join("http://a.test:81", "/p").unwrap();
        assert_eq!((url.origin(), url.path(), url.query()), ("http://a.test:81", "/p", None));
    }
}
