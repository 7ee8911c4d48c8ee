//! Static files of the project (spec 1.7): which path means which file, and nothing outside the folder.
//!
//! A path is decoded once and taken apart; a segment that starts with a dot, is `node_modules` or holds a separator
//! names no file, and neither does a symbolic link that leads out of the folder. Files are read when they are asked
//! for, so that a client build shows at once.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use partyrun_net::{Body, Request, Response};

/// A folder of static files.
#[derive(Clone, Debug)]
pub struct Assets {
    root: PathBuf,
    single_page_app: bool,
}

impl Assets {
    /// Serves the files in `root`. With `single_page_app`, navigations to unknown paths get `index.html`.
    pub fn new(root: PathBuf, single_page_app: bool) -> Self {
        Self { root, single_page_app }
    }

    /// The file that a path of a URL means, as a response.
    pub async fn file(&self, path: &str) -> Option<Response> {
        let relative = relative_path(path)?;
        let root = self.root.clone();
        let name = relative.clone();
        let bytes = tokio::task::spawn_blocking(move || read_within(&root, &name)).await.ok()??;
        let mut response = Response::new(200, Body::Full(bytes));
        let kind = mime_guess::from_path(&relative).first_raw();
        let kind = match kind {
            Some("text/html") => "text/html; charset=utf-8",
            Some("text/css") => "text/css; charset=utf-8",
            Some("text/javascript") => "text/javascript; charset=utf-8",
            Some(kind) => kind,
            None => "application/octet-stream",
        };
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        Some(response)
    }

    /// The answer to a request, if a file is what it asks for.
    pub(crate) async fn answer(&self, request: &Request) -> Option<Response> {
        if request.upgrade.is_some() || !matches!(request.method, Method::GET | Method::HEAD) {
            return None;
        }
        let path = request.path().to_string();
        let navigates = request.headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        match self.file(&path).await {
            Some(found) => Some(found),
            None if self.single_page_app && navigates => self.file("/index.html").await,
            None => None,
        }
    }

    /// `404.html`, the answer to everything that nobody else answered.
    pub(crate) async fn not_found(&self) -> Option<Response> {
        let mut response = self.file("/404.html").await?;
        response.status = 404;
        Some(response)
    }
}

// The path of a file inside the folder; none for what must not or cannot be one.
fn relative_path(path: &str) -> Option<PathBuf> {
    let decoded = crate::dispatch::decode(path)?;
    let mut relative = PathBuf::new();
    let (folders, file) =
        decoded.strip_prefix('/')?.rsplit_once('/').unwrap_or(("", decoded.strip_prefix('/')?));
    let file = if file.is_empty() { "index.html" } else { file };
    for part in folders.split('/').filter(|_| !folders.is_empty()).chain([file]) {
        if part.is_empty() || part.starts_with('.') || part == "node_modules" || part.contains(['\\', '\0']) {
            return None;
        }
        relative.push(part);
    }
    Some(relative)
}

fn read_within(root: &Path, relative: &Path) -> Option<Bytes> {
    let root = root.canonicalize().ok()?;
    let file = root.join(relative).canonicalize().ok()?;
    if !file.starts_with(&root) || !file.is_file() {
        return None;
    }
    std::fs::read(file).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let path = |text| relative_path(text).map(|path| path.display().to_string());
        assert_eq!(path("/"), Some("index.html".to_string()));
        assert_eq!(path("/sub/"), Some("sub/index.html".to_string()));
        assert_eq!(path("/sp%20ace.txt"), Some("sp ace.txt".to_string()));
        for outside in [
            "/../x",
            "/%2e%2e/x",
            "/a/..%2fx",
            "/.env",
            "/node_modules/x",
            "/a//b",
            "/%00",
            "/%FF",
            "/..%5cx",
        ] {
            assert_eq!(path(outside), None, "{outside}");
        }
    }

    #[tokio::test]
    async fn files_are_found_and_links_out_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("public");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(inside.join("index.html"), "hello").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret.txt"), inside.join("link.txt")).unwrap();
        let assets = Assets::new(inside, false);
        assert_eq!(assets.file("/").await.unwrap().headers["content-type"], "text/html; charset=utf-8");
        assert!(assets.file("/link.txt").await.is_none());
        assert!(assets.file("/missing.txt").await.is_none());
    }
}
