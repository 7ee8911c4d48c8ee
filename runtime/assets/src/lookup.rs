//! From a request to an answer: finds the file, chooses its representation, and writes the headers.
//!
//! The order is: read the path, open the file, choose a coding, judge the preconditions, cut the range. A range is
//! always one of the plain file, because compressed bytes cannot be cut in a way that clients expect.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use partyrun_coding::{Accepted, Coding};
use partyrun_limits::Limits;

use crate::cache::Memory;
use crate::conditional::{Validators, Verdict};
use crate::error::AssetsError;
use crate::mime::{self, ContentType};
use crate::path::{self, Named};
use crate::range::{self, Wanted};
use crate::root::{Opened, Patience, Root};
use crate::select::Selection;

/// Among codings that a client likes equally: the smallest first, as a file is packed once for many.
const ORDER: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];
/// Length from which compressing a file pays.
const COMPRESSED_BYTES_MIN: u64 = 256;
/// Seconds by which a file compressed beforehand may be older than its source: copying keeps no order.
const SIBLING_LAG_SECONDS_MAX: i64 = 2;

/// How a folder is served. [`Options`] of the limits in force come from `Options::new`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Globs of files to serve; empty means all.
    pub include: Vec<String>,
    /// Globs of files not to serve.
    pub exclude: Vec<String>,
    /// Whether a browser's navigation to an unknown path gets `index.html`.
    pub single_page_app: bool,
    /// Seconds for which a browser may keep a file without asking.
    pub browser_ttl_seconds: Option<u64>,
    /// Whether answers may be compressed.
    pub compress: bool,
    /// Bytes of files that are kept in memory.
    pub cache_bytes_max: usize,
    /// Length of a file that is kept in memory.
    pub cached_bytes_max: usize,
    /// Length of a file that is compressed while a request waits.
    pub compressed_bytes_max: usize,
}

impl Options {
    /// Everything in the folder, within these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            single_page_app: false,
            browser_ttl_seconds: None,
            compress: true,
            cache_bytes_max: limits.asset_cache_bytes_max,
            cached_bytes_max: limits.asset_cached_bytes_max,
            compressed_bytes_max: limits.asset_compressed_bytes_max,
        }
    }
}

/// The response to a request for a static file. The caller sends it as it is, except that it reads a file body
/// itself.
#[derive(Debug)]
pub struct AssetReply {
    /// 200, 206, 304, 404, 412 or 416.
    pub status: StatusCode,
    /// All header fields that concern the content, `content-length` among them.
    pub headers: HeaderMap,
    /// The body; empty for HEAD.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// No body: HEAD, 304 or an error.
    Empty,
    /// The whole body, in memory.
    Bytes(Bytes),
    /// `len` bytes of a file from `offset`. If the file shrinks meanwhile, the connection has to be closed early: the
    /// length has been promised.
    File {
        /// The open file; it may be deleted by now and can still be read.
        file: File,
        /// Where in the file the body starts, in bytes.
        offset: u64,
        /// Length of the body, in bytes.
        len: u64,
    },
}

/// A served folder. Shared by all threads.
#[derive(Debug)]
pub struct Assets {
    root: Root,
    selection: Selection,
    memory: Memory,
    options: Options,
}

/// What is sent: an open file, or bytes made from it.
struct Representation {
    opened: Opened,
    coding: Option<Coding>,
    /// The compressed bytes, when they were made here and are no file.
    bytes: Option<Bytes>,
    content_type: ContentType,
    validators: Validators,
}

impl Assets {
    /// Serves a folder, which need not exist yet.
    pub fn new(root: PathBuf, options: Options) -> Result<Self, AssetsError> {
        let selection = Selection::new(&options.include, &options.exclude)?;
        Ok(Self { root: Root::new(root), selection, memory: Memory::new(options.cache_bytes_max), options })
    }

    /// The answer to a request for a path, as it stands in the URL without the query; `None` if there is no such file.
    pub fn lookup(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<AssetReply>, AssetsError> {
        self.look(method, path, headers, Patience::Patient)
    }

    /// The same, without ever waiting for the disk; `None` if that cannot be done.
    pub fn lookup_at_once(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Result<Option<AssetReply>, AssetsError>> {
        match self.look(method, path, headers, Patience::AtOnce) {
            Err(AssetsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            answer => Some(answer),
        }
    }

    fn look(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        patience: Patience,
    ) -> Result<Option<AssetReply>, AssetsError> {
        if method != Method::GET && method != Method::HEAD {
            return Ok(None);
        }
        let found = match path::named(path) {
            Named::Malformed => return Err(AssetsError::UriMalformed),
            Named::Refused => None,
            Named::File(name) => self.open(&name, patience)?.map(|opened| (name, opened)),
        };
        let found = match found {
            None if self.falls_back(headers) => {
                let name = "index.html".to_owned();
                self.open(&name, patience)?.map(|opened| (name, opened))
            }
            found => found,
        };
        let Some((name, opened)) = found else { return Ok(None) };
        self.answer(method, &name, opened, headers, patience).map(Some).map_err(AssetsError::Io)
    }

    /// The page for a path that nothing answers: `404.html`, if there is one. For every method (spec 1.7).
    pub fn not_found(&self, method: &Method, headers: &HeaderMap) -> Result<Option<AssetReply>, AssetsError> {
        let name = "404.html";
        let Some(opened) = self.open(name, Patience::Patient)? else { return Ok(None) };
        let mut accepting = HeaderMap::new();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            accepting.append(header::ACCEPT_ENCODING, value.clone());
        }
        let mut reply =
            self.answer(method, name, opened, &accepting, Patience::Patient).map_err(AssetsError::Io)?;
        reply.status = StatusCode::NOT_FOUND;
        // The validators are those of the page, not of what was asked for.
        for field in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
            reply.headers.remove(field);
        }
        reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(Some(reply))
    }

    /// `assets.fetch(path)`: a GET without headers, so neither the single-page rule nor compression applies.
    pub fn fetch(&self, path: &str) -> Result<Option<AssetReply>, AssetsError> {
        if !path.starts_with('/') {
            return Err(AssetsError::NoLeadingSlash);
        }
        // As in the original, the path is read as part of a URL: query and fragment go, dot segments are resolved.
        match url::Url::parse(&format!("http://assets{path}")) {
            Ok(url) => self.lookup(&Method::GET, url.path(), &HeaderMap::new()),
            Err(_) => Ok(None),
        }
    }

    fn falls_back(&self, headers: &HeaderMap) -> bool {
        self.options.single_page_app && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
    }

    fn open(&self, name: &str, patience: Patience) -> Result<Option<Opened>, AssetsError> {
        if !self.selection.allows(name) {
            return Ok(None);
        }
        self.root.open(name, patience).map_err(AssetsError::Io)
    }

    fn answer(
        &self,
        method: &Method,
        name: &str,
        opened: Opened,
        headers: &HeaderMap,
        patience: Patience,
    ) -> io::Result<AssetReply> {
        let mut chosen = self.choose(name, opened, headers, patience)?;
        match chosen.validators.judge(headers) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(self.bodiless(StatusCode::NOT_MODIFIED, &chosen)),
            Verdict::Failed => return Ok(self.bodiless(StatusCode::PRECONDITION_FAILED, &chosen)),
        }
        let len = chosen.len();
        if let Wanted::Unsatisfiable = chosen.wanted(method, headers) {
            let mut reply = self.bodiless(StatusCode::RANGE_NOT_SATISFIABLE, &chosen);
            set(&mut reply.headers, header::CONTENT_RANGE, &format!("bytes */{len}"));
            reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            return Ok(reply);
        }
        if method == Method::HEAD {
            return Ok(self.whole(&chosen, len, Body::Empty));
        }
        if let Some(bytes) = chosen.bytes.clone() {
            return Ok(self.whole(&chosen, len, Body::Bytes(bytes)));
        }
        if let Wanted::Part { first, length } = chosen.wanted(method, headers) {
            return Ok(self.part(chosen, first, length));
        }
        if len <= self.options.cached_bytes_max as u64 {
            let key = chosen.coding.map_or_else(|| name.to_owned(), |coding| sibling_name(name, coding));
            let bytes_max = self.options.cached_bytes_max as u64;
            let bytes = self.memory.content(&key, &mut chosen.opened, bytes_max, patience)?;
            // The file may have changed between opening and reading.
            chosen.validators = Validators::new(&chosen.opened.stamp, chosen.coding);
            if let Some(bytes) = bytes {
                let len = bytes.len() as u64;
                return Ok(self.whole(&chosen, len, Body::Bytes(bytes)));
            }
        }
        let len = chosen.opened.stamp.len;
        let mut reply = self.whole(&chosen, len, Body::Empty);
        reply.body = Body::File { file: chosen.opened.file, offset: 0, len };
        Ok(reply)
    }

    /// Chooses between the file, a file compressed beforehand, and compressing now.
    fn choose(
        &self,
        name: &str,
        mut opened: Opened,
        headers: &HeaderMap,
        patience: Patience,
    ) -> io::Result<Representation> {
        let content_type = mime::content_type(name);
        let plain = !self.options.compress
            || !content_type.compressible
            || headers.contains_key(header::RANGE)
            || opened.stamp.len < COMPRESSED_BYTES_MIN;
        if !plain {
            let accepted: Vec<Coding> = Accepted::of(headers).preferred(ORDER).collect();
            for coding in &accepted {
                if let Some(sibling) = self.sibling(name, *coding, &opened, patience)? {
                    let validators = Validators::new(&sibling.stamp, Some(*coding));
                    let coding = Some(*coding);
                    return Ok(Representation {
                        opened: sibling,
                        coding,
                        bytes: None,
                        content_type,
                        validators,
                    });
                }
            }
            let bytes_max = self.options.compressed_bytes_max as u64;
            if let Some(coding) = accepted.first().copied().filter(|_| opened.stamp.len <= bytes_max)
                && let Some(bytes) = self.memory.compressed(name, coding, &mut opened, bytes_max, patience)?
            {
                let (coding, bytes) = (Some(coding), Some(bytes));
                let validators = Validators::new(&opened.stamp, coding);
                return Ok(Representation { opened, coding, bytes, content_type, validators });
            }
        }
        let validators = Validators::new(&opened.stamp, None);
        Ok(Representation { opened, coding: None, bytes: None, content_type, validators })
    }

    /// `app.js.br` beside `app.js`, unless it is older than what it was made from.
    fn sibling(
        &self,
        name: &str,
        coding: Coding,
        source: &Opened,
        patience: Patience,
    ) -> io::Result<Option<Opened>> {
        let sibling = self.root.open(&sibling_name(name, coding), patience)?;
        let oldest = source.stamp.modified.0.saturating_sub(SIBLING_LAG_SECONDS_MAX);
        Ok(sibling.filter(|sibling| sibling.stamp.modified.0 >= oldest && sibling.stamp.len > 0))
    }

    /// The header fields that every answer of a representation has.
    fn common(&self, chosen: &Representation) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // The original's development server allows every origin (spec 1.7).
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        set(&mut headers, header::ETAG, &chosen.validators.tag);
        if let Some(modified) = chosen.validators.modified {
            set(&mut headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        match self.options.browser_ttl_seconds {
            Some(seconds) => set(&mut headers, header::CACHE_CONTROL, &format!("public, max-age={seconds}")),
            // Without this, a browser would guess a lifetime from the modification time.
            None => set(&mut headers, header::CACHE_CONTROL, "no-cache"),
        }
        if self.options.compress && chosen.content_type.compressible {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        headers
    }

    fn bodiless(&self, status: StatusCode, chosen: &Representation) -> AssetReply {
        AssetReply { status, headers: self.common(chosen), body: Body::Empty }
    }

    fn whole(&self, chosen: &Representation, len: u64, body: Body) -> AssetReply {
        let mut headers = self.common(chosen);
        match chosen.coding {
            Some(coding) => set(&mut headers, header::CONTENT_ENCODING, coding.token()),
            None => set(&mut headers, header::ACCEPT_RANGES, "bytes"),
        }
        headers.insert(header::CONTENT_TYPE, chosen.content_type.value.clone());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        AssetReply { status: StatusCode::OK, headers, body }
    }

    fn part(&self, chosen: Representation, first: u64, length: u64) -> AssetReply {
        let mut reply = self.whole(&chosen, length, Body::Empty);
        reply.status = StatusCode::PARTIAL_CONTENT;
        let last = first + length - 1;
        let range = format!("bytes {first}-{last}/{}", chosen.opened.stamp.len);
        set(&mut reply.headers, header::CONTENT_RANGE, &range);
        reply.body = Body::File { file: chosen.opened.file, offset: first, len: length };
        reply
    }

    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.bytes()
    }
}

impl Representation {
    fn len(&self) -> u64 {
        self.bytes.as_ref().map_or(self.opened.stamp.len, |bytes| bytes.len() as u64)
    }

    /// Ranges are defined for GET only, and here for the plain file only.
    fn wanted(&self, method: &Method, headers: &HeaderMap) -> Wanted {
        match headers.get(header::RANGE).map(HeaderValue::to_str) {
            Some(Ok(text))
                if method == Method::GET && self.coding.is_none() && self.validators.allow_range(headers) =>
            {
                range::wanted(text, self.opened.stamp.len)
            }
            _ => Wanted::Whole,
        }
    }
}

fn sibling_name(name: &str, coding: Coding) -> String {
    format!("{name}.{}", coding.extension())
}

/// Sets a field whose value is made of ASCII by construction.
fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
