//! Content types, by the file's extension.
//!
//! The list is that of `mime_guess`, but for MPEG-4 audio, whose name there browsers do not know. Text has its charset, as the
//! original's file server gives it (spec 1.7). Unknown extensions are octet streams, and so is TypeScript, whose extension that
//! list takes for a video.

use http::HeaderValue;

/// The type of a file, and whether compressing it pays.
#[derive(Clone, Debug)]
pub(crate) struct ContentType {
    pub(crate) value: HeaderValue,
    pub(crate) compressible: bool,
}

/// The content type of a path.
pub(crate) fn content_type(path: &str) -> ContentType {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mime = match extension.to_ascii_lowercase().as_str() {
        "ts" | "tsx" | "mts" | "cts" => mime_guess::mime::APPLICATION_OCTET_STREAM,
        "map" => mime_guess::mime::APPLICATION_JSON,
        _ => mime_guess::from_ext(extension).first_or_octet_stream(),
    };
    // RFC 9239 made `text/javascript` the only name.
    let essence = match mime.essence_str() {
        "application/javascript" => "text/javascript",
        "audio/m4a" => "audio/mp4",
        essence => essence,
    };
    let text = essence.starts_with("text/") || essence == "application/json";
    let compressible = partyrun_coding::is_compressible(essence.as_bytes());
    let value = if text { format!("{essence}; charset=utf-8") } else { essence.to_owned() };
    let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    ContentType { value, compressible }
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn types_are_those_of_the_web() {
        let cases = [
            ("index.html", "text/html; charset=utf-8", true),
            ("a.css", "text/css; charset=utf-8", true),
            ("x/a.js", "text/javascript; charset=utf-8", true),
            ("a.mjs", "text/javascript; charset=utf-8", true),
            ("a.json", "application/json; charset=utf-8", true),
            ("a.js.map", "application/json; charset=utf-8", true),
            ("a.webmanifest", "application/manifest+json", true),
            ("a.SVG", "image/svg+xml", true),
            ("a.txt", "text/plain; charset=utf-8", true),
            ("a.wasm", "application/wasm", true),
            ("a.png", "image/png", false),
            ("a.webp", "image/webp", false),
            ("a.woff2", "font/woff2", false),
            ("a.mp4", "video/mp4", false),
            ("a.m4a", "audio/mp4", false),
            ("a.ts", "application/octet-stream", false),
            ("noext", "application/octet-stream", false),
            ("x.y/noext", "application/octet-stream", false),
            ("a.unheard-of", "application/octet-stream", false),
        ];
        for (path, expected, compressible) in cases {
            let found = content_type(path);
            assert_eq!(
                (found.value.to_str().expect("text"), found.compressible),
                (expected, compressible),
                "{path}"
            );
        }
    }
}
