//! AES-GCM with the nonces and tags that deno_crypto does not know: the standard allows a nonce of any length and short tags
//! (NIST SP 800-38D, 5.2.1), and Workers have them all. `js/crypto.js` decides when it is asked for.

use aead_gcm_stream::AesGcm;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use deno_core::convert::Uint8Array;
use deno_core::op2;

/// Seals `data` (the tag of `tag_bytes` follows the text), or opens it. `None` if the key has no length of AES, the nonce is
/// empty, or the tag is wrong.
#[op2]
pub(crate) fn op_aes_gcm(
    seal: bool,
    #[buffer] key: &[u8],
    #[buffer] nonce: &[u8],
    #[buffer] additional: &[u8],
    #[buffer] data: &[u8],
    #[smi] tag_bytes: u32,
) -> Option<Uint8Array> {
    let tag_bytes = usize::try_from(tag_bytes).ok().filter(|bytes| (1..=16).contains(bytes))?;
    if nonce.is_empty() {
        return None;
    }
    let given = if seal { data.len() } else { data.len().checked_sub(tag_bytes)? };
    let (text, tag) = data.split_at(given);
    let mut text = text.to_vec();
    let made = match key.len() {
        16 => run::<Aes128>(seal, key, nonce, additional, &mut text),
        24 => run::<Aes192>(seal, key, nonce, additional, &mut text),
        32 => run::<Aes256>(seal, key, nonce, additional, &mut text),
        _ => return None,
    };
    let made = made.get(..tag_bytes)?;
    if seal {
        text.extend_from_slice(made);
    } else if made.iter().zip(tag).fold(0, |difference, (made, given)| difference | (made ^ given)) != 0 {
        return None;
    }
    Some(text.into())
}

// Changes the text, and gives the whole tag.
fn run<Aes>(seal: bool, key: &[u8], nonce: &[u8], additional: &[u8], text: &mut [u8]) -> [u8; 16]
where
    Aes: BlockCipher + BlockSizeUser<BlockSize = U16> + BlockEncrypt + KeyInit,
{
    let mut cipher = AesGcm::<Aes>::new(key.into(), nonce);
    cipher.set_aad(additional);
    if seal {
        cipher.encrypt(text);
    } else {
        cipher.decrypt(text);
    }
    cipher.finish().into()
}
