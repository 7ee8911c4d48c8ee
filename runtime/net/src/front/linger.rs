//! A lingering close: what the client still sends is read for a moment, so that it can read an error response before a reset.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long, and how much, is read from a client that was told to go away.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);
pub(super) const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Reads on for a moment before closing.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES_MAX;
        let mut buffer = [0; 4096];
        while let Ok(length) = stream.read(&mut buffer).await {
            left = left.saturating_sub(length);
            if length == 0 || left == 0 {
                break;
            }
        }
    };
    // Whoever goes on sending after that is cut off.
    let _timeout = tokio::time::timeout(LINGER_TIME, drain).await;
}
