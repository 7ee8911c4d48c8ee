//! Names of hosts: `url.domainToASCII`, `punycode`.

use deno_core::op2;
use deno_error::JsErrorBox;

// An invalid domain is an empty string, as in Node.
#[op2]
#[string]
pub(super) fn op_node_idna_domain_to_ascii(#[string] domain: &str) -> String {
    idna::domain_to_ascii_strict(domain)
        .or_else(|_| idna::domain_to_ascii(domain))
        .ok()
        .filter(|name| !name.contains(|c: char| c.is_ascii_control() || " #/<>?@[\\]^|%:".contains(c)))
        .unwrap_or_default()
}

#[op2]
#[string]
pub(super) fn op_node_idna_domain_to_unicode(#[string] domain: &str) -> String {
    idna::domain_to_unicode(domain).0
}

#[op2]
#[string]
pub(super) fn op_node_punycode_decode(#[string] text: &str) -> Result<String, JsErrorBox> {
    idna::punycode::decode_to_string(text).ok_or_else(|| JsErrorBox::range_error("Invalid input"))
}

#[op2]
#[string]
pub(super) fn op_node_punycode_encode(#[string] text: &str) -> Result<String, JsErrorBox> {
    idna::punycode::encode_str(text)
        .ok_or_else(|| JsErrorBox::range_error("Overflow: input needs wider integers to process"))
}
