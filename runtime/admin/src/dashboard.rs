//! The dashboard: a page that uses the API, for whoever has the token. The page itself is no secret and needs none.
//!
//! Its sources are in `dashboard/src`; what partyrun's own client bundler makes of them is in `dashboard/dist`, where a test
//! compares it with a new build. Nothing else is ever loaded: the policy allows no other origin, no inline script or style, no
//! `eval`, and no text that becomes HTML.

use std::io::Read;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, plain};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
/// Digits of a hash that name a version well enough.
const TAG_CHARS: usize = 16;

/// A file of the page.
struct File {
    path: &'static str,
    content_type: &'static str,
    /// As it is sent to whoever takes gzip, or as it is.
    body: Bytes,
    is_packed: bool,
    tag: String,
}

static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    let plain = |path, content_type, body: &'static [u8]| File::new(path, content_type, body, false);
    let packed = |path, content_type, body: &'static [u8]| File::new(path, content_type, body, true);
    [
        plain("/", "text/html; charset=utf-8", include_bytes!("../dashboard/index.html")),
        plain("/dashboard.svg", "image/svg+xml", include_bytes!("../dashboard/dashboard.svg")),
        packed(
            "/dashboard.css",
            "text/css; charset=utf-8",
            include_bytes!("../dashboard/dist/dashboard.css.gz"),
        ),
        packed(
            "/dashboard.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../dashboard/dist/dashboard.js.gz"),
        ),
    ]
});

impl File {
    fn new(path: &'static str, content_type: &'static str, body: &'static [u8], is_packed: bool) -> Self {
        let hash = Sha256::digest(body);
        let tag: String = hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .chars()
            .take(TAG_CHARS)
            .collect();
        Self { path, content_type, body: Bytes::from_static(body), is_packed, tag }
    }

    // In the form that the client takes: what it is, and the name of that form.
    fn form(&self, headers: &HeaderMap) -> (Bytes, String, bool) {
        let takes_gzip = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.split(',').any(|part| part.trim() == "gzip" || part.trim() == "*"));
        match (self.is_packed, takes_gzip) {
            (false, _) => (self.body.clone(), format!("\"{}\"", self.tag), false),
            (true, true) => (self.body.clone(), format!("\"{}-gzip\"", self.tag), true),
            (true, false) => {
                let mut unpacked = Vec::new();
                // It was packed by our own build, which a test reads.
                let _whole = GzDecoder::new(&*self.body).read_to_end(&mut unpacked);
                (unpacked.into(), format!("\"{}\"", self.tag), false)
            }
        }
    }
}

/// The file of the page at a path, if there is one.
pub(crate) fn page(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let (body, tag, is_packed) = file.form(headers);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let (status, body) =
        if is_known { (StatusCode::NOT_MODIFIED, Bytes::new()) } else { (StatusCode::OK, body) };
    let mut answer = plain(status, file.content_type, body);
    let fields = answer.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Asked for again each time: another version of partyrun has another page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        fields.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        fields.insert(header::ETAG, tag);
    }
    if is_packed && !is_known {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// The script and the style sheet as they are sent.
    const PACKED_BYTES_MAX: usize = 150 << 10;

    fn ask(path: &str, fields: &[(HeaderName, &str)]) -> (Answer, String) {
        let headers = fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let answer = page(path, &headers).unwrap();
        let tag = answer.headers()[header::ETAG].to_str().unwrap().to_string();
        (answer, tag)
    }

    async fn body(answer: Answer) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn files_are_sent_as_the_client_takes_them_and_only_once() {
        let (packed, tag) = ask("/dashboard.js", &[(header::ACCEPT_ENCODING, "gzip, deflate, br")]);
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let (as_it_is, other) = ask("/dashboard.js", &[]);
        assert!(!as_it_is.headers().contains_key(header::CONTENT_ENCODING));
        assert_ne!(tag, other, "two forms of one file");
        let mut unpacked = Vec::new();
        GzDecoder::new(&*body(packed).await).read_to_end(&mut unpacked).unwrap();
        assert_eq!(body(as_it_is).await, unpacked);
        assert!(unpacked.len() > 10_000);
        let tags = format!("\"x\", {tag}");
        let known = [(header::ACCEPT_ENCODING, "gzip"), (header::IF_NONE_MATCH, tags.as_str())];
        let (again, _) = ask("/dashboard.js", &known);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(body(again).await.is_empty());
        assert!(page("/dashboard.ts", &HeaderMap::new()).is_none());
    }

    #[tokio::test]
    async fn the_page_has_a_strict_policy_and_nothing_inline() {
        let (answer, _) = ask("/", &[]);
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.headers()[header::REFERRER_POLICY], "no-referrer");
        let html = String::from_utf8(body(answer).await.to_vec()).unwrap();
        assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("onload"), "{html}");
        assert!(!html.contains("http:") && !html.contains("https:"), "{html}");
    }

    #[test]
    fn what_a_browser_loads_is_small() {
        let packed: usize = FILES.iter().map(|file| file.body.len()).sum();
        assert!(packed < PACKED_BYTES_MAX, "{packed}");
    }
}
