//! Static files on the network: what `partyrun_assets` answers becomes a response of the front.
//!
//! What this process and the kernel have in memory is answered at once. Everything else blocks on the disk, looking a file
//! up as well as reading a piece of a large one: that is done on the threads that tokio keeps for blocking. A large file is
//! read no faster than its client takes it, and no further when the client has gone. A file that shrinks while it is sent
//! ends the connection, because its length has been promised.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use partyrun_assets::{AssetReply, Assets, AssetsError, Body as AssetBody, Options, read_at_once};
use partyrun_net::{Body, BodyError, BodyStream, BodyWriter, Request, Response};

use crate::live_pages;

/// Length of a piece of a large file; so much and one more waits for each client that is slow.
const PIECE_BYTES: u64 = 128 * 1024;
const PIECES_WAITING_MAX: usize = 1;
/// Buffers for pieces that the process keeps.
const BUFFERS_KEPT_MAX: usize = 16;

/// The served folder of a project, shared by all who ask for its files.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    assets: Arc<Assets>,
    // Pages get a script that reloads them.
    live: bool,
}

impl StaticFiles {
    /// Serves a folder, which need not exist yet.
    pub fn new(root: PathBuf, options: Options) -> Result<Self, AssetsError> {
        Ok(Self { assets: Arc::new(Assets::new(root, options)?), live: false })
    }

    /// The same with pages that reload when somebody says that there is something new ([`crate::Reload`]).
    pub fn reloading(self, live: bool) -> Self {
        Self { live, ..self }
    }

    /// The answer to a request, if a file is what it asks for.
    pub(crate) async fn answer(&self, request: &Request) -> Result<Option<Response>, AssetsError> {
        if self.live && live_pages::is_navigation(request) {
            return self.page(request).await;
        }
        let known = self.assets.lookup_at_once(&request.method, request.path(), &request.headers);
        if let Some(reply) = known {
            return Ok(reply?.map(response));
        }
        let (method, path) = (request.method.clone(), request.path().to_owned());
        let headers = request.headers.clone();
        self.ask(move |assets| assets.lookup(&method, &path, &headers)).await
    }

    /// `404.html`, the answer to everything that nobody else answered.
    pub(crate) async fn not_found(&self, request: &Request) -> Result<Option<Response>, AssetsError> {
        let (method, headers) = (request.method.clone(), request.headers.clone());
        self.ask(move |assets| assets.not_found(&method, &headers)).await
    }

    /// What `assets.fetch(path)` returns to a room: the file as a response, or `None` if there is no such file.
    pub async fn fetch(&self, path: String) -> Result<Option<Response>, AssetsError> {
        self.ask(move |assets| assets.fetch(&path)).await
    }

    async fn page(&self, request: &Request) -> Result<Option<Response>, AssetsError> {
        let (assets, path) = (self.assets.clone(), request.path().to_owned());
        let headers = live_pages::unconditional(&request.headers);
        let asking = tokio::task::spawn_blocking(move || live_pages::page(&assets, &path, &headers));
        let page = asking.await.map_err(|error| AssetsError::Io(io::Error::other(error)))??;
        Ok(page.map_or_else(|other| other.map(response), Some))
    }

    async fn ask(
        &self,
        question: impl FnOnce(&Assets) -> Result<Option<AssetReply>, AssetsError> + Send + 'static,
    ) -> Result<Option<Response>, AssetsError> {
        let assets = self.assets.clone();
        let asking = tokio::task::spawn_blocking(move || question(&assets));
        let reply = asking.await.map_err(|error| AssetsError::Io(io::Error::other(error)))??;
        Ok(reply.map(response))
    }
}

fn response(reply: AssetReply) -> Response {
    let AssetReply { status, headers, body } = reply;
    let body = match body {
        AssetBody::Empty => Body::Empty,
        AssetBody::Bytes(bytes) => Body::Full(bytes),
        AssetBody::File { file, offset, len } => {
            let (writer, stream) = BodyStream::channel(PIECES_WAITING_MAX, Some(len));
            tokio::spawn(send(file, offset, len, writer));
            Body::Stream(stream)
        }
    };
    let mut response = Response::new(status.as_u16(), body);
    response.headers = headers;
    response.packed = true;
    response
}

// Reads a file piece by piece into a body, until its end or until nobody reads any more.
async fn send(file: File, mut offset: u64, len: u64, writer: BodyWriter) {
    let file = Arc::new(file);
    let end = offset.saturating_add(len);
    while offset < end {
        let wanted = usize::try_from(PIECE_BYTES.min(end - offset)).unwrap_or(usize::MAX);
        let piece = match read_piece(wanted, |piece| read_at_once(&file, piece, offset)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let source = file.clone();
                let reading = move || read_piece(wanted, |piece| source.read_at(piece, offset));
                tokio::task::spawn_blocking(reading)
                    .await
                    .unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            piece => piece,
        };
        let piece = match piece {
            Ok(piece) if !piece.is_empty() => piece,
            Ok(_) => {
                return writer.fail(BodyError::Failed("the file has become shorter".to_owned())).await;
            }
            Err(error) => return writer.fail(BodyError::Failed(error.to_string())).await,
        };
        offset += piece.len() as u64;
        if writer.write(piece).await.is_err() {
            return;
        }
    }
    // A client that has left does not need the end.
    let _gone = writer.finish().await;
}

fn read_piece(wanted: usize, read_some: impl Fn(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
    let mut piece = Piece::new();
    let space = piece.buffer.get_mut(..wanted).unwrap_or_default();
    piece.length = loop {
        match read_some(&mut *space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    Ok(Bytes::from_owner(piece))
}

/// A piece of a file in a buffer that is used again: clean memory costs more than what is read into it.
struct Piece {
    buffer: Box<[u8]>,
    length: usize,
}

static BUFFERS: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

impl Piece {
    fn new() -> Self {
        let kept = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = kept.unwrap_or_else(|| vec![0; PIECE_BYTES as usize].into_boxed_slice());
        Self { buffer, length: 0 }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut buffers = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS_KEPT_MAX {
            buffers.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use partyrun_limits::Limits;

    use super::*;

    fn folder() -> (tempfile::TempDir, StaticFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = StaticFiles::new(folder.path().to_owned(), Options::new(&Limits::default())).unwrap();
        (folder, files)
    }

    async fn read(body: Body) -> Result<Vec<u8>, BodyError> {
        let mut whole = Vec::new();
        body.gather(&mut whole).await?;
        Ok(whole)
    }

    #[tokio::test]
    async fn a_large_file_arrives_whole_and_in_order() {
        let (folder, files) = folder();
        let content: Vec<u8> = (0..1_000_003_u32).flat_map(|n| n.to_le_bytes()).collect();
        std::fs::write(folder.path().join("large.bin"), &content).unwrap();
        let response = files.fetch("/large.bin".to_owned()).await.unwrap().unwrap();
        assert!(
            matches!(&response.body, Body::Stream(stream) if stream.length() == Some(content.len() as u64))
        );
        assert!(read(response.body).await.unwrap() == content);
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_sent_is_an_error() {
        let (folder, files) = folder();
        let path = folder.path().join("large.bin");
        std::fs::write(&path, vec![7; 3_000_000]).unwrap();
        let response = files.fetch("/large.bin".to_owned()).await.unwrap().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!(matches!(read(response.body).await, Err(BodyError::Failed(_))));
    }

    #[tokio::test]
    async fn a_deleted_file_is_still_sent_and_then_gone() {
        let (folder, files) = folder();
        let path = folder.path().join("large.bin");
        std::fs::write(&path, vec![7; 3_000_000]).unwrap();
        let response = files.fetch("/large.bin".to_owned()).await.unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(response.body).await.unwrap().len(), 3_000_000);
        assert!(files.fetch("/large.bin".to_owned()).await.unwrap().is_none());
    }
}
