//! Static files on the network: what `partyrun_assets` answers becomes a response of the front.
//!
//! Looking a file up blocks on the disk, and so does reading a piece of a large one: both are done on the threads that
//! tokio keeps for blocking. A large file is read no faster than its client takes it, and no further when the client
//! has gone. A file that shrinks while it is sent ends the connection, because its length has been promised.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use partyrun_assets::{AssetReply, Assets, AssetsError, Body as AssetBody, Options};
use partyrun_net::{Body, BodyError, BodyStream, BodyWriter, Request, Response};

/// Length of a piece of a large file; so much and one more waits for each client that is slow.
const PIECE_BYTES: u64 = 128 * 1024;
const PIECES_WAITING_MAX: usize = 1;

/// The served folder of a project, shared by all who ask for its files.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    assets: Arc<Assets>,
}

impl StaticFiles {
    /// Serves a folder, which need not exist yet.
    pub fn new(root: PathBuf, options: Options) -> Result<Self, AssetsError> {
        Ok(Self { assets: Arc::new(Assets::new(root, options)?) })
    }

    /// The answer to a request, if a file is what it asks for.
    pub(crate) async fn answer(&self, request: &Request) -> Result<Option<Response>, AssetsError> {
        let (method, path) = (request.method.clone(), request.path().to_owned());
        let headers = request.headers.clone();
        self.ask(move |assets| assets.lookup(&method, &path, &headers)).await
    }

    /// `404.html`, the answer to everything that nobody else answered.
    pub(crate) async fn not_found(&self, request: &Request) -> Result<Option<Response>, AssetsError> {
        let (method, headers) = (request.method.clone(), request.headers.clone());
        self.ask(move |assets| assets.not_found(&method, &headers)).await
    }

    /// `assets.fetch(path)`.
    pub async fn fetch(&self, path: String) -> Result<Option<Response>, AssetsError> {
        self.ask(move |assets| assets.fetch(&path)).await
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
    response
}

// Reads a file piece by piece into a body, until its end or until nobody reads any more.
async fn send(file: File, mut offset: u64, len: u64, writer: BodyWriter) {
    let file = Arc::new(file);
    let end = offset.saturating_add(len);
    while offset < end {
        let source = file.clone();
        let wanted = usize::try_from(PIECE_BYTES.min(end - offset)).unwrap_or(usize::MAX);
        let piece = tokio::task::spawn_blocking(move || read_piece(&source, offset, wanted)).await;
        let piece = match piece {
            Ok(Ok(piece)) if !piece.is_empty() => piece,
            Ok(Ok(_)) => {
                return writer.fail(BodyError::Failed("the file has become shorter".to_owned())).await;
            }
            Ok(Err(error)) => return writer.fail(BodyError::Failed(error.to_string())).await,
            Err(_) => return writer.fail(BodyError::Gone).await,
        };
        offset += piece.len() as u64;
        if writer.write(piece).await.is_err() {
            return;
        }
    }
    // A client that has left does not need the end.
    let _gone = writer.finish().await;
}

fn read_piece(file: &File, offset: u64, wanted: usize) -> io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(wanted);
    let read = loop {
        match file.read_at(&mut piece, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    piece.truncate(read);
    Ok(piece.freeze())
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
        match body {
            Body::Empty => {}
            Body::Full(bytes) => whole.extend_from_slice(&bytes),
            Body::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    whole.extend_from_slice(&piece?);
                }
            }
        }
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
