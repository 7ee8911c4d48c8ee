//! The table of the ops that Node's built-ins, HTMLRewriter and `caches` call, which `lazy.rs` makes at the first use.

use deno_core::_ops::OpDecl;

use super::{buffer, names, net, zlib};

/// Every op that the built-ins call, ours and those of deno_node_crypto.
pub(super) fn table() -> Vec<OpDecl> {
    let mut ops = deno_node_crypto::deno_node_crypto::init().ops.into_owned();
    ops.extend([
        buffer::op_is_ascii(),
        buffer::op_is_utf8(),
        buffer::op_node_buffer_compare(),
        buffer::op_node_buffer_compare_offset(),
        buffer::op_node_encoding_slice(),
        buffer::op_node_get_own_non_index_properties(),
        buffer::op_node_mark_untransferable(),
        buffer::op_node_transcode(),
        names::op_node_idna_domain_to_ascii(),
        names::op_node_idna_domain_to_unicode(),
        names::op_node_punycode_decode(),
        names::op_node_punycode_encode(),
        crate::cache::op_cache_delete(),
        crate::cache::op_cache_match(),
        crate::cache::op_cache_put(),
        crate::clock::op_clock_moved(),
        crate::clock::op_clock_offset(),
        crate::html::op_html_check(),
        crate::html::op_html_start(),
        crate::html::op_html_step(),
        net::op_node_net_connect(),
        net::op_node_net_secure(),
        zlib::op_node_brotli_decoder(),
        zlib::op_node_brotli_encoder(),
        zlib::op_node_brotli_write(),
        zlib::op_node_crc32(),
        zlib::op_node_zlib_create(),
        zlib::op_node_zlib_message(),
        zlib::op_node_zlib_params(),
        zlib::op_node_zlib_reset(),
        zlib::op_node_zlib_write(),
    ]);
    ops
}
