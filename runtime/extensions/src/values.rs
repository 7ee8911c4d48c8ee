//! Structured clones: turns values into bytes for storage, for a connection's state and for `structuredClone`, and back.
//!
//! V8 writes what JavaScript itself has. An object of the platform is asked for its parts by a function that its prototype
//! has under one symbol (`js/00_kinds.js`); the function returns a tag and the parts, or throws. Tags and parts are those of
//! the original, so that values it stored can be read here. Bytes that cannot be read, whoever wrote them, are an error of
//! that value only: nothing here trusts them.

use std::cell::RefCell;

use deno_core::JsBuffer;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::v8;
use deno_core::v8::{ValueDeserializerHelper, ValueSerializerHelper};
use deno_error::JsErrorBox;

use crate::wire::{CLONE_DOM_EXCEPTION, CLONE_HEADERS, CLONE_RECORD, CLONE_REQUEST, CLONE_RESPONSE};

/// The names of headers that the original writes as numbers from 1 upwards.
const COMMON_HEADERS: [&str; 47] = [
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// What cannot leave the isolate: given only where a value stays in it.
#[derive(Default)]
struct Shared {
    buffers: RefCell<Vec<v8::SharedRef<v8::BackingStore>>>,
    modules: RefCell<Vec<v8::CompiledWasmModule>>,
}

struct Writer<'a> {
    /// The symbol under which a prototype has the function that takes its objects apart.
    parts: v8::Local<'a, v8::Symbol>,
    /// Throws a DataCloneError with the message that it is given.
    refuse: v8::Local<'a, v8::Function>,
    shared: Option<&'a Shared>,
}

impl Writer<'_> {
    /// V8 takes a missing answer for a written one, or ends the process: an error must be pending then.
    fn refuse_object(&self, scope: &mut v8::PinScope<'_, '_>, name: &str) {
        if let Some(message) = v8::String::new(scope, &format!("#<{name}> could not be cloned.")) {
            v8::ValueSerializerImpl::throw_data_clone_error(self, scope, message);
        }
    }
}

impl v8::ValueSerializerImpl for Writer<'_> {
    fn throw_data_clone_error<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        message: v8::Local<'s, v8::String>,
    ) {
        v8::tc_scope!(let scope, scope);
        let undefined = v8::undefined(scope).into();
        self.refuse.call(scope, undefined, &[message.into()]);
        if scope.has_caught() || scope.has_terminated() {
            scope.rethrow();
            return;
        }
        let error = v8::Exception::type_error(scope, message);
        scope.throw_exception(error);
    }

    fn get_shared_array_buffer_id<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        buffer: v8::Local<'s, v8::SharedArrayBuffer>,
    ) -> Option<u32> {
        let Some(shared) = self.shared else {
            self.refuse_object(scope, "SharedArrayBuffer");
            return None;
        };
        let mut buffers = shared.buffers.borrow_mut();
        let id = u32::try_from(buffers.len()).ok()?;
        buffers.push(buffer.get_backing_store());
        Some(id)
    }

    fn get_wasm_module_transfer_id(
        &self,
        scope: &mut v8::PinScope<'_, '_>,
        module: v8::Local<v8::WasmModuleObject>,
    ) -> Option<u32> {
        let Some(shared) = self.shared else {
            self.refuse_object(scope, "Module");
            return None;
        };
        let mut modules = shared.modules.borrow_mut();
        let id = u32::try_from(modules.len()).ok()?;
        modules.push(module.get_compiled_module());
        Some(id)
    }

    fn has_custom_host_object(&self, _isolate: &v8::Isolate) -> bool {
        true
    }

    fn is_host_object<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        object: v8::Local<'s, v8::Object>,
    ) -> Option<bool> {
        object.has(scope, self.parts.into())
    }

    fn write_host_object<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        object: v8::Local<'s, v8::Object>,
        writer: &dyn ValueSerializerHelper,
    ) -> Option<bool> {
        let take_apart = object.get(scope, self.parts.into())?;
        let Ok(take_apart) = take_apart.try_cast::<v8::Function>() else {
            let name = object.get_constructor_name().to_rust_string_lossy(scope);
            self.refuse_object(scope, &name);
            return None;
        };
        let parts = take_apart.call(scope, object.into(), &[])?;
        let parts = parts.try_cast::<v8::Array>().ok()?;
        for index in 0..parts.length() {
            let part = parts.get_index(scope, index)?;
            if part.is_number() {
                writer.write_uint32(part.uint32_value(scope)?);
            } else if part.is_string() {
                let text = part.to_rust_string_lossy(scope);
                writer.write_uint32(u32::try_from(text.len()).ok()?);
                writer.write_raw_bytes(text.as_bytes());
            } else {
                writer.write_value(scope.get_current_context(), part)?;
            }
        }
        Some(true)
    }
}

struct Reader<'a> {
    /// Makes an object of the platform of a tag and its parts; answers undefined if it cannot.
    build: v8::Local<'a, v8::Function>,
    shared: Option<&'a Shared>,
}

type Reads<'a> = &'a dyn ValueDeserializerHelper;

fn number(reader: Reads<'_>) -> Option<u32> {
    let mut number = 0;
    reader.read_uint32(&mut number).then_some(number)
}

fn text<'s>(scope: &mut v8::PinScope<'s, '_>, reader: Reads<'_>) -> Option<v8::Local<'s, v8::Value>> {
    let length = number(reader)?;
    let bytes = reader.read_raw_bytes(usize::try_from(length).ok()?)?;
    Some(v8::String::new(scope, &String::from_utf8_lossy(bytes))?.into())
}

fn value<'s>(scope: &mut v8::PinScope<'s, '_>, reader: Reads<'_>) -> Option<v8::Local<'s, v8::Value>> {
    reader.read_value(scope.get_current_context())
}

// Names and values in turn.
fn headers<'s>(scope: &mut v8::PinScope<'s, '_>, reader: Reads<'_>) -> Option<Vec<v8::Local<'s, v8::Value>>> {
    // What may be changed about them: a copy may always be changed.
    number(reader)?;
    let count = number(reader)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let name = match number(reader)? {
            0 => text(scope, reader)?,
            id => {
                let name = COMMON_HEADERS.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
                v8::String::new(scope, name)?.into()
            }
        };
        parts.push(name);
        parts.push(text(scope, reader)?);
    }
    Some(parts)
}

impl v8::ValueDeserializerImpl for Reader<'_> {
    fn get_shared_array_buffer_from_id<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        id: u32,
    ) -> Option<v8::Local<'s, v8::SharedArrayBuffer>> {
        let store = self.shared?.buffers.borrow().get(usize::try_from(id).ok()?)?.clone();
        Some(v8::SharedArrayBuffer::with_backing_store(scope, &store))
    }

    fn get_wasm_module_from_id<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        id: u32,
    ) -> Option<v8::Local<'s, v8::WasmModuleObject>> {
        let modules = self.shared?.modules.borrow();
        v8::WasmModuleObject::from_compiled_module(scope, modules.get(usize::try_from(id).ok()?)?)
    }

    fn read_host_object<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        reader: &dyn ValueDeserializerHelper,
    ) -> Option<v8::Local<'s, v8::Object>> {
        let tag = number(reader)?;
        let parts = match tag {
            CLONE_HEADERS => headers(scope, reader)?,
            CLONE_REQUEST => vec![text(scope, reader)?, value(scope, reader)?],
            CLONE_RESPONSE => vec![value(scope, reader)?, value(scope, reader)?],
            CLONE_DOM_EXCEPTION => vec![text(scope, reader)?, text(scope, reader)?, text(scope, reader)?],
            CLONE_RECORD => vec![value(scope, reader)?],
            _ => return None,
        };
        let tag = v8::Number::new(scope, f64::from(tag)).into();
        let parts = v8::Array::new_with_elements(scope, &parts).into();
        let undefined = v8::undefined(scope).into();
        let scope = std::pin::pin!(v8::AllowJavascriptExecutionScope::new(scope));
        let scope = &mut scope.init();
        let built = self.build.call(scope, undefined, &[tag, parts])?;
        built.try_cast::<v8::Object>().ok()
    }
}

fn write<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: v8::Local<'s, v8::Value>,
    writer: Writer<'_>,
) -> Result<Vec<u8>, JsErrorBox> {
    let serializer = v8::ValueSerializer::new(scope, Box::new(writer));
    serializer.write_header();
    v8::tc_scope!(let scope, scope);
    let written = serializer.write_value(scope.get_current_context(), value);
    if scope.has_caught() || scope.has_terminated() {
        scope.rethrow();
        // What is answered beside a thrown error is not looked at.
        return Ok(Vec::new());
    }
    match written {
        Some(true) => Ok(serializer.release()),
        _ => Err(JsErrorBox::type_error("The value cannot be cloned")),
    }
}

fn read<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    bytes: &[u8],
    reader: Reader<'_>,
) -> Result<v8::Local<'s, v8::Value>, JsErrorBox> {
    let deserializer = v8::ValueDeserializer::new(scope, Box::new(reader), bytes);
    v8::tc_scope!(let scope, scope);
    let context = scope.get_current_context();
    let read = match deserializer.read_header(context) {
        Some(true) => deserializer.read_value(context),
        _ => None,
    };
    if scope.has_terminated() || scope.is_execution_terminating() {
        scope.rethrow();
        return Ok(v8::undefined(scope).into());
    }
    // Whatever V8 says of it, its message does not tell more.
    scope.reset();
    read.ok_or_else(|| JsErrorBox::generic("its bytes are no value"))
}

/// The bytes of a value that is stored. They stay readable when the room is made anew.
#[op2(reentrant)]
pub(crate) fn op_value_serialize<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: v8::Local<'s, v8::Value>,
    parts: v8::Local<'s, v8::Symbol>,
    refuse: v8::Local<'s, v8::Function>,
) -> Result<Uint8Array, JsErrorBox> {
    Ok(write(scope, value, Writer { parts, refuse, shared: None })?.into())
}

/// The value of stored bytes.
#[op2(reentrant)]
pub(crate) fn op_value_deserialize<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    #[buffer] bytes: JsBuffer,
    build: v8::Local<'s, v8::Function>,
) -> Result<v8::Local<'s, v8::Value>, JsErrorBox> {
    read(scope, &bytes, Reader { build, shared: None })
}

/// A copy of a value in the same room.
#[op2(reentrant)]
pub(crate) fn op_value_clone<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: v8::Local<'s, v8::Value>,
    parts: v8::Local<'s, v8::Symbol>,
    refuse: v8::Local<'s, v8::Function>,
    build: v8::Local<'s, v8::Function>,
) -> Result<v8::Local<'s, v8::Value>, JsErrorBox> {
    let shared = Shared::default();
    let bytes = write(scope, value, Writer { parts, refuse, shared: Some(&shared) })?;
    if bytes.is_empty() {
        return Ok(v8::undefined(scope).into());
    }
    // The bytes were written a moment ago: only the memory for what they hold can be lacking.
    read(scope, &bytes, Reader { build, shared: Some(&shared) })
        .map_err(|_| JsErrorBox::range_error("structuredClone could not allocate the memory of the copy"))
}
