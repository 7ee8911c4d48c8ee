//! What `Buffer` and `util.inspect` cannot do in JavaScript, or not fast enough.

use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::v8;
use deno_error::JsErrorBox;

#[op2(fast)]
pub(super) fn op_is_ascii(#[buffer] bytes: &[u8]) -> bool {
    bytes.is_ascii()
}

#[op2(fast)]
pub(super) fn op_is_utf8(#[buffer] bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

#[op2(fast)]
#[smi]
pub(super) fn op_node_buffer_compare(#[buffer] left: &[u8], #[buffer] right: &[u8]) -> i32 {
    left.cmp(right) as i32
}

#[op2(fast)]
#[smi]
pub(super) fn op_node_buffer_compare_offset(
    #[buffer] source: &[u8],
    #[buffer] target: &[u8],
    #[smi] source_start: u32,
    #[smi] target_start: u32,
    #[smi] source_end: u32,
    #[smi] target_end: u32,
) -> Result<i32, JsErrorBox> {
    let part = |bytes: &'_ [u8], start: u32, end: u32, name: &str| {
        let range = start as usize..(end as usize).min(bytes.len());
        bytes
            .get(range)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| JsErrorBox::range_error(format!("The value of \"{name}\" is out of range.")))
    };
    let source = part(source, source_start, source_end, "sourceStart")?;
    let target = part(target, target_start, target_end, "targetStart")?;
    Ok(source.cmp(&target) as i32)
}

// Encodings by the numbers of deno_node: 0 utf8, 1 latin1, 2 ascii, 3 utf16le.
#[op2]
pub(super) fn op_node_encoding_slice<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    view: v8::Local<'s, v8::ArrayBufferView>,
    start: v8::Local<'s, v8::Value>,
    end: v8::Local<'s, v8::Value>,
    #[smi] encoding: u32,
) -> Result<v8::Local<'s, v8::String>, JsErrorBox> {
    let length = view.byte_length();
    let start = index(scope, start, 0)?;
    let end = index(scope, end, length)?.max(start);
    let mut storage = [0; v8::TYPED_ARRAY_MAX_SIZE_IN_HEAP];
    let contents = view.get_contents(&mut storage);
    let bytes = contents.get(start..end).ok_or_else(|| JsErrorBox::range_error("Index out of range"))?;
    let normal = v8::NewStringType::Normal;
    let text = match encoding {
        0 => v8::String::new_from_utf8(scope, String::from_utf8_lossy(bytes).as_bytes(), normal),
        1 => v8::String::new_from_one_byte(scope, bytes, normal),
        2 => {
            let masked: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
            v8::String::new_from_one_byte(scope, &masked, normal)
        }
        _ => {
            let (pairs, _odd) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            v8::String::new_from_two_byte(scope, &units, normal)
        }
    };
    text.ok_or_else(|| {
        JsErrorBox::generic(format!(
            "Cannot create a string longer than 0x{:x} characters",
            v8::String::MAX_LENGTH
        ))
    })
}

fn index<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: v8::Local<'s, v8::Value>,
    default: usize,
) -> Result<usize, JsErrorBox> {
    if value.is_undefined() {
        return Ok(default);
    }
    let number = value.integer_value(scope).unwrap_or(0);
    usize::try_from(number).map_err(|_| JsErrorBox::range_error("Index out of range"))
}

#[op2]
pub(super) fn op_node_transcode(
    #[buffer] source: &[u8],
    #[string] from: &str,
    #[string] to: &str,
) -> Result<Uint8Array, JsErrorBox> {
    let text: String = match from {
        "utf8" => String::from_utf8_lossy(source).into_owned(),
        "latin1" | "ascii" => source.iter().map(|byte| char::from(*byte)).collect(),
        "utf16le" => {
            let (pairs, _odd) = source.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        _ => return Err(JsErrorBox::generic(format!("Unable to transcode Buffer {from}->{to}"))),
    };
    let narrow = |max: u32| text.chars().map(|c| if u32::from(c) <= max { c as u8 } else { b'?' }).collect();
    let bytes: Vec<u8> = match to {
        "utf8" => text.into_bytes(),
        "utf16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "latin1" => narrow(0xff),
        "ascii" => narrow(0x7f),
        _ => return Err(JsErrorBox::generic(format!("Unable to transcode Buffer {from}->{to}"))),
    };
    Ok(bytes.into())
}

// Small Buffers share one ArrayBuffer: nobody may transfer it away.
#[op2(fast)]
pub(super) fn op_node_mark_untransferable(
    scope: &mut v8::PinScope<'_, '_>,
    buffer: v8::Local<v8::ArrayBuffer>,
) {
    if let Some(key) = v8::String::new(scope, "untransferable") {
        buffer.set_detach_key(key.into());
    }
}

// The filter's bits are V8's: 1 writable, 2 enumerable, 4 configurable, 8 no strings, 16 no symbols.
#[op2]
pub(super) fn op_node_get_own_non_index_properties<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    object: v8::Local<'s, v8::Object>,
    #[smi] filter: u32,
) -> v8::Local<'s, v8::Value> {
    let mut properties = v8::PropertyFilter::ALL_PROPERTIES;
    let kinds = [
        v8::PropertyFilter::ONLY_WRITABLE,
        v8::PropertyFilter::ONLY_ENUMERABLE,
        v8::PropertyFilter::ONLY_CONFIGURABLE,
        v8::PropertyFilter::SKIP_STRINGS,
        v8::PropertyFilter::SKIP_SYMBOLS,
    ];
    for (bit, kind) in kinds.into_iter().enumerate() {
        if filter & (1 << bit) != 0 {
            properties = properties | kind;
        }
    }
    let names = object.get_property_names(
        scope,
        v8::GetPropertyNamesArgs {
            index_filter: v8::IndexFilter::SkipIndices,
            property_filter: properties,
            key_conversion: v8::KeyConversionMode::NoNumbers,
            mode: v8::KeyCollectionMode::OwnOnly,
        },
    );
    // A proxy whose trap threw has no names; V8 keeps the exception for the caller.
    names.map_or_else(|| v8::undefined(scope).into(), Into::into)
}
