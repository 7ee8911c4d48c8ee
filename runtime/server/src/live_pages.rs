//! Pages that no build touches (`dev --live`): each that is navigated to gets a script that reloads it when a file of the
//! served folder changes. The file itself stays as it is, and so does everything that is no page.

use std::io;
use std::os::unix::fs::FileExt as _;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use partyrun_assets::{AssetReply, Assets, AssetsError, Body as AssetBody};
use partyrun_net::{Body, Request, Response};

use crate::RELOAD_PATH;

/// Larger files are no pages that somebody edits, and are served as they are.
const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Whether a browser asks for a page to show.
pub(crate) fn is_navigation(request: &Request) -> bool {
    let accepted = request.headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    request.method == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// The headers of a request for the whole page, plain and new.
pub(crate) fn unconditional(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let conditions = [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_NONE_MATCH];
    let others = [header::IF_MODIFIED_SINCE, header::ACCEPT_ENCODING];
    for name in conditions.into_iter().chain(others) {
        headers.remove(name);
    }
    headers
}

/// The page at a path with the script at its end; another answer as it is. Reads the file.
pub(crate) fn page(
    assets: &Assets,
    path: &str,
    headers: &HeaderMap,
) -> Result<Result<Response, Option<AssetReply>>, AssetsError> {
    let reply = match assets.lookup(&Method::GET, path, headers)? {
        Some(reply) if is_page(&reply) => reply,
        other => return Ok(Err(other)),
    };
    let mut text = match reply.body {
        AssetBody::Empty => Vec::new(),
        AssetBody::Bytes(ref bytes) => bytes.to_vec(),
        AssetBody::File { ref file, offset, len } if len <= PAGE_BYTES_MAX => {
            let length = usize::try_from(len).map_err(io::Error::other).map_err(AssetsError::Io)?;
            let mut text = vec![0; length];
            file.read_exact_at(&mut text, offset).map_err(AssetsError::Io)?;
            text
        }
        AssetBody::File { .. } => return Ok(Err(Some(reply))),
    };
    text.extend_from_slice(script().as_bytes());
    let mut response = Response::new(200, Body::Full(text.into()));
    if let Some(kind) = reply.headers.get(header::CONTENT_TYPE) {
        response.headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Ok(response))
}

fn is_page(reply: &AssetReply) -> bool {
    let kind = reply.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    reply.status == StatusCode::OK && kind.is_some_and(|kind| kind.starts_with("text/html"))
}

fn script() -> String {
    format!(
        "\n<script>new EventSource(\"{RELOAD_PATH}\").addEventListener(\"change\", () => location.reload())</script>\n"
    )
}
