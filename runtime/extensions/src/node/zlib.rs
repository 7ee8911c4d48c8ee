//! `node:zlib`: deflate in all its forms through zlib-rs, and brotli through the crate of that name.
//!
//! A write uses the given input and output space, and returns what is left of both. `js/node/zlib_binding.js` gives that the
//! shape of Node's own binding, on which the streams and the one-shot functions are built. Memory is bounded by the caller's
//! output chunks (`maxOutputLength`) and the window, so a decompression bomb costs no more than what user code asks for.

use std::cell::RefCell;

use brotli::enc::BrotliAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use brotli::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut};
use deno_core::GarbageCollected;
use deno_core::OpState;
use deno_core::op2;
use deno_core::v8;
use deno_error::JsErrorBox;
use libz_rs_sys as zlib;
use partyrun_limits::Charge;

use crate::memory::{self, RoomMemory};

// The modes of node:zlib.
const DEFLATE: i32 = 1;
const GZIP: i32 = 3;
const GUNZIP: i32 = 4;
const DEFLATE_RAW: i32 = 5;
const INFLATE_RAW: i32 = 6;
const UNZIP: i32 = 7;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

struct Stream {
    // Boxed, because zlib's state points back to its stream.
    raw: Box<zlib::z_stream>,
    mode: i32,
    dictionary: Option<Vec<u8>>,
}

impl Stream {
    fn deflates(&self) -> bool {
        matches!(self.mode, DEFLATE | GZIP | DEFLATE_RAW)
    }

    fn set_dictionary(&mut self) -> i32 {
        let Some(dictionary) = &self.dictionary else { return zlib::Z_OK };
        let length = u32::try_from(dictionary.len()).unwrap_or(u32::MAX);
        // SAFETY: the stream is initialized and the dictionary valid for its length.
        unsafe {
            match self.mode {
                DEFLATE | DEFLATE_RAW => {
                    zlib::deflateSetDictionary(&mut *self.raw, dictionary.as_ptr(), length)
                }
                INFLATE_RAW => zlib::inflateSetDictionary(&mut *self.raw, dictionary.as_ptr(), length),
                _ => zlib::Z_OK,
            }
        }
    }

    fn reset(&mut self) -> i32 {
        // SAFETY: the stream is initialized.
        let status = unsafe {
            if self.deflates() {
                zlib::deflateReset(&mut *self.raw)
            } else {
                zlib::inflateReset(&mut *self.raw)
            }
        };
        if status == zlib::Z_OK { self.set_dictionary() } else { status }
    }

    fn step(&mut self, flush: i32) -> i32 {
        // SAFETY: the stream is initialized, and its pointers were set to slices that outlive this call.
        unsafe {
            if self.deflates() {
                zlib::deflate(&mut *self.raw, flush)
            } else {
                zlib::inflate(&mut *self.raw, flush)
            }
        }
    }

    fn inflate(&mut self, flush: i32, rejects_garbage: bool) -> i32 {
        let mut status = self.step(flush);
        if status == zlib::Z_NEED_DICT
            && let Some(dictionary) = &self.dictionary
        {
            let length = u32::try_from(dictionary.len()).unwrap_or(u32::MAX);
            // SAFETY: as in `set_dictionary`.
            let set = unsafe { zlib::inflateSetDictionary(&mut *self.raw, dictionary.as_ptr(), length) };
            status = match set {
                zlib::Z_OK => self.step(flush),
                zlib::Z_DATA_ERROR => zlib::Z_NEED_DICT,
                other => other,
            };
        }
        // Members of a gzip file that follow one another are one stream; zeros after the last are padding.
        while status == zlib::Z_STREAM_END
            && matches!(self.mode, GUNZIP | UNZIP)
            && !rejects_garbage
            && self.raw.avail_in > 0
        {
            // SAFETY: `avail_in` bytes are readable at `next_in`.
            let next = unsafe { std::slice::from_raw_parts(self.raw.next_in, self.raw.avail_in as usize) };
            if !next.starts_with(&GZIP_MAGIC[..next.len().min(2)]) {
                break;
            }
            self.reset();
            status = self.step(flush);
        }
        status
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream was initialized and is not used again.
        unsafe {
            if self.deflates() {
                zlib::deflateEnd(&mut *self.raw);
            } else {
                zlib::inflateEnd(&mut *self.raw);
            }
        }
    }
}

pub(super) struct Zlib {
    stream: RefCell<Stream>,
    _charge: Option<Charge>,
}

// What a state takes: about four windows and as much for the matches, or one window.
const DEFLATE_BYTES: usize = 300 << 10;
const INFLATE_BYTES: usize = 48 << 10;
// The state itself, without what it allocates.
const BROTLI_BYTES: usize = 64 << 10;

// SAFETY: it holds no handles of the heap.
unsafe impl GarbageCollected for Zlib {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Zlib"
    }
}

#[op2]
#[cppgc]
pub(super) fn op_node_zlib_create(
    isolate: &mut v8::Isolate,
    state: &OpState,
    #[smi] mode: i32,
    #[smi] window_bits: i32,
    #[smi] level: i32,
    #[smi] mem_level: i32,
    #[smi] strategy: i32,
    #[buffer] dictionary: Option<&[u8]>,
) -> Result<Zlib, JsErrorBox> {
    let takes = if matches!(mode, DEFLATE | GZIP | DEFLATE_RAW) { DEFLATE_BYTES } else { INFLATE_BYTES };
    let charge = memory::take(isolate, state, takes + dictionary.map_or(0, <[u8]>::len))?;
    let bits = match mode {
        GZIP | GUNZIP => window_bits + 16,
        UNZIP => window_bits + 32,
        DEFLATE_RAW | INFLATE_RAW => -window_bits,
        _ => window_bits,
    };
    let mut raw = Box::new(zlib::z_stream::default());
    let size = i32::try_from(size_of::<zlib::z_stream>()).unwrap_or(0);
    // SAFETY: the stream is zeroed with zlib-rs's own allocator, and the version and the size are those of this zlib.
    let status = unsafe {
        if matches!(mode, DEFLATE | GZIP | DEFLATE_RAW) {
            let method = zlib::Z_DEFLATED;
            zlib::deflateInit2_(
                &mut *raw,
                level,
                method,
                bits,
                mem_level,
                strategy,
                zlib::zlibVersion(),
                size,
            )
        } else {
            zlib::inflateInit2_(&mut *raw, bits, zlib::zlibVersion(), size)
        }
    };
    if status != zlib::Z_OK {
        return Err(JsErrorBox::generic("Initialization failed"));
    }
    let mut stream = Stream { raw, mode, dictionary: dictionary.map(<[u8]>::to_vec) };
    if stream.set_dictionary() != zlib::Z_OK {
        return Err(JsErrorBox::generic("Failed to set dictionary"));
    }
    Ok(Zlib { stream: RefCell::new(stream), _charge: charge })
}

fn part(bytes: &[u8], offset: u32, length: u32) -> Result<&[u8], JsErrorBox> {
    bytes
        .get(offset as usize..)
        .and_then(|rest| rest.get(..length as usize))
        .ok_or_else(|| JsErrorBox::range_error("The input is shorter than its length says"))
}

fn part_mut(bytes: &mut [u8], offset: u32, length: u32) -> Result<&mut [u8], JsErrorBox> {
    bytes
        .get_mut(offset as usize..)
        .and_then(|rest| rest.get_mut(..length as usize))
        .ok_or_else(|| JsErrorBox::range_error("The output is shorter than its length says"))
}

// Answers zlib's status. `left` gets what remains: output space, input.
#[op2(fast)]
#[smi]
pub(super) fn op_node_zlib_write(
    #[cppgc] handle: &Zlib,
    #[smi] flush: i32,
    #[buffer] input: &[u8],
    #[smi] in_offset: u32,
    #[smi] in_length: u32,
    #[buffer] output: &mut [u8],
    #[smi] out_offset: u32,
    #[smi] out_length: u32,
    #[buffer] left: &mut [u32],
    rejects_garbage: bool,
) -> Result<i32, JsErrorBox> {
    let input = part(input, in_offset, in_length)?;
    let output = part_mut(output, out_offset, out_length)?;
    let mut stream = handle.stream.borrow_mut();
    stream.raw.next_in = input.as_ptr().cast_mut();
    stream.raw.avail_in = in_length;
    stream.raw.next_out = output.as_mut_ptr();
    stream.raw.avail_out = out_length;
    let status = if stream.deflates() { stream.step(flush) } else { stream.inflate(flush, rejects_garbage) };
    if let [out_left, in_left, ..] = left {
        *out_left = stream.raw.avail_out;
        *in_left = stream.raw.avail_in;
    }
    stream.raw.next_in = std::ptr::null_mut();
    stream.raw.next_out = std::ptr::null_mut();
    Ok(status)
}

// What zlib says about the last error; empty if nothing.
#[op2]
#[string]
pub(super) fn op_node_zlib_message(#[cppgc] handle: &Zlib) -> String {
    let stream = handle.stream.borrow();
    if stream.raw.msg.is_null() {
        return String::new();
    }
    // SAFETY: zlib's messages are constant strings that end with a zero.
    unsafe { std::ffi::CStr::from_ptr(stream.raw.msg) }.to_string_lossy().into_owned()
}

#[op2(fast)]
#[smi]
pub(super) fn op_node_zlib_reset(#[cppgc] handle: &Zlib) -> i32 {
    handle.stream.borrow_mut().reset()
}

#[op2(fast)]
#[smi]
pub(super) fn op_node_zlib_params(#[cppgc] handle: &Zlib, #[smi] level: i32, #[smi] strategy: i32) -> i32 {
    let mut stream = handle.stream.borrow_mut();
    if !stream.deflates() {
        return zlib::Z_STREAM_ERROR;
    }
    // SAFETY: the stream is initialized for deflate.
    unsafe { zlib::deflateParams(&mut *stream.raw, level, strategy) }
}

#[op2(fast)]
pub(super) fn op_node_crc32(#[buffer] bytes: &[u8], seed: u32) -> u32 {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // SAFETY: the bytes are valid for their length.
    unsafe { zlib::crc32(seed.into(), bytes.as_ptr(), length) as u32 }
}

// --- brotli -----------------------------------------------------------------------------------------------------------

/// Brotli's memory, which counts as its room's: what it takes depends on the window and on what it is given. It cannot be
/// refused in the middle of a write, but the write is the last one then. What a stream takes is given back when it is closed.
#[derive(Clone, Default)]
struct Counting(Option<RoomMemory>);

/// A piece of it.
#[derive(Default)]
struct Cells<T> {
    cells: Box<[T]>,
    _charge: Option<Charge>,
}

impl<T> SliceWrapper<T> for Cells<T> {
    fn slice(&self) -> &[T] {
        &self.cells
    }
}

impl<T> SliceWrapperMut<T> for Cells<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.cells
    }
}

impl<T: Clone + Default> Allocator<T> for Counting {
    type AllocatedMemory = Cells<T>;

    fn alloc_cell(&mut self, length: usize) -> Cells<T> {
        let charge =
            self.0.as_ref().map(|memory| memory.charge_anyway(length.saturating_mul(size_of::<T>())));
        Cells { cells: vec![T::default(); length].into_boxed_slice(), _charge: charge }
    }

    fn free_cell(&mut self, _cells: Cells<T>) {}
}

impl BrotliAlloc for Counting {}

enum BrotliStream {
    Encoder(Box<BrotliEncoderStateStruct<Counting>>),
    Decoder(Box<BrotliState<Counting, Counting, Counting>>),
}

pub(super) struct Brotli {
    stream: RefCell<BrotliStream>,
    memory: Counting,
    _charge: Option<Charge>,
}

// SAFETY: it holds no handles of the heap.
unsafe impl GarbageCollected for Brotli {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Brotli"
    }
}

const PARAMETERS: [BrotliEncoderParameter; 7] = [
    BrotliEncoderParameter::BROTLI_PARAM_MODE,
    BrotliEncoderParameter::BROTLI_PARAM_QUALITY,
    BrotliEncoderParameter::BROTLI_PARAM_LGWIN,
    BrotliEncoderParameter::BROTLI_PARAM_LGBLOCK,
    BrotliEncoderParameter::BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING,
    BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT,
    BrotliEncoderParameter::BROTLI_PARAM_LARGE_WINDOW,
];

// `parameters` holds a value at each parameter's number; all ones is "not given".
#[op2]
#[cppgc]
pub(super) fn op_node_brotli_encoder(
    isolate: &mut v8::Isolate,
    state: &OpState,
    #[buffer] parameters: &[u32],
) -> Result<Brotli, JsErrorBox> {
    let charge = memory::take(isolate, state, BROTLI_BYTES)?;
    let memory = Counting(state.try_borrow::<RoomMemory>().cloned());
    let mut encoder = BrotliEncoderStateStruct::new(memory.clone());
    for (parameter, value) in PARAMETERS.into_iter().zip(parameters) {
        if *value != u32::MAX && !encoder.set_parameter(parameter, *value) {
            return Err(JsErrorBox::generic("Initialization failed"));
        }
    }
    let stream = RefCell::new(BrotliStream::Encoder(Box::new(encoder)));
    Ok(Brotli { stream, memory, _charge: charge })
}

#[op2]
#[cppgc]
pub(super) fn op_node_brotli_decoder(
    isolate: &mut v8::Isolate,
    state: &OpState,
) -> Result<Brotli, JsErrorBox> {
    let charge = memory::take(isolate, state, BROTLI_BYTES)?;
    let memory = Counting(state.try_borrow::<RoomMemory>().cloned());
    let decoder = BrotliState::new(memory.clone(), memory.clone(), memory.clone());
    let stream = RefCell::new(BrotliStream::Decoder(Box::new(decoder)));
    Ok(Brotli { stream, memory, _charge: charge })
}

// Answers 0 when all went well, 1 for a stream that ended, -1 for broken data. Not a fast one, because it may collect garbage.
#[op2(nofast)]
#[smi]
pub(super) fn op_node_brotli_write(
    isolate: &mut v8::Isolate,
    #[cppgc] handle: &Brotli,
    #[smi] operation: u32,
    #[buffer] input: &[u8],
    #[smi] in_offset: u32,
    #[smi] in_length: u32,
    #[buffer] output: &mut [u8],
    #[smi] out_offset: u32,
    #[smi] out_length: u32,
    #[buffer] left: &mut [u32],
) -> Result<i32, JsErrorBox> {
    let input = part(input, in_offset, in_length)?;
    let output = part_mut(output, out_offset, out_length)?;
    let (mut in_left, mut out_left) = (input.len(), output.len());
    let status = match &mut *handle.stream.borrow_mut() {
        BrotliStream::Encoder(encoder) => {
            let operation = match operation {
                0 => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
                1 => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
                2 => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
                _ => BrotliEncoderOperation::BROTLI_OPERATION_EMIT_METADATA,
            };
            let went_well = encoder.compress_stream(
                operation,
                &mut in_left,
                input,
                &mut 0,
                &mut out_left,
                output,
                &mut 0,
                &mut None,
                &mut |_, _, _, _| (),
            );
            if went_well { 0 } else { -1 }
        }
        BrotliStream::Decoder(decoder) => {
            let result = BrotliDecompressStream(
                &mut in_left,
                &mut 0,
                input,
                &mut out_left,
                &mut 0,
                output,
                &mut 0,
                decoder,
            );
            match result {
                BrotliResult::ResultSuccess => 1,
                BrotliResult::ResultFailure => -1,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => 0,
            }
        }
    };
    if let [out, rest, ..] = left {
        *out = u32::try_from(out_left).unwrap_or(u32::MAX);
        *rest = u32::try_from(in_left).unwrap_or(u32::MAX);
    }
    handle.memory.0.as_ref().map_or(Ok(()), |memory| memory.check(isolate))?;
    Ok(status)
}
