//! Environment files: keys are names, and a file that is one value in single quotes keeps it.

use partyrun_config::parse_dotenv;

/// The bytes are a file.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = parse_dotenv(&text);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    for key in parsed.keys() {
        assert!(!key.is_empty() && key.bytes().all(is_name), "{key:?}");
    }
    // Written again line by line, values in quotes are the same.
    for (key, value) in &parsed {
        if value.contains(['\'', '\\', '\n', '\r']) {
            continue;
        }
        let again = parse_dotenv(&format!("{key}='{value}'"));
        assert_eq!(again.get(key), Some(value));
    }
}
