//! A disk for tests: an SQLite file layer over the operating system's that writes down every write and sync, can run
//! full, and can fail to sync.
//!
//! From what it wrote down, [`Disk::files_after_power_loss`] makes the files as they may lie on a disk whose cache was
//! lost at some moment: what was synced is there; of the rest a random part, in pieces of sectors. `kill -9` cannot show
//! this, because the page cache survives the process.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use rusqlite::ffi;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// Something that happened, in order.
pub(super) enum Event {
    Write {
        file: PathBuf,
        at: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        size: usize,
    },
    Sync {
        file: PathBuf,
    },
    Delete {
        file: PathBuf,
    },
    /// The store said that batch `number` of `room` is durable.
    Acknowledged {
        room: usize,
        number: u64,
    },
}

#[derive(Default)]
pub(super) struct DiskState {
    pub(super) events: Vec<Event>,
    /// Offset in every file beyond which the disk is full.
    pub(super) full_from: Option<usize>,
    pub(super) sync_fails: bool,
}

/// A registered file layer; it lives as long as the process, as SQLite wants it.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) name: String,
    state: Arc<Mutex<DiskState>>,
}

/// The layer as SQLite sees it: a copy of the real one's table with four functions replaced.
#[repr(C)]
struct Layer {
    table: ffi::sqlite3_vfs,
    real: NonNull<ffi::sqlite3_vfs>,
    state: Arc<Mutex<DiskState>>,
    _name: CString,
}

/// An open file; the real one's follows in the same allocation.
#[repr(C)]
struct LayerFile {
    base: ffi::sqlite3_file,
    /// The real file's functions with three replaced.
    methods: ffi::sqlite3_io_methods,
    open: *mut OpenFile,
}

struct OpenFile {
    state: Arc<Mutex<DiskState>>,
    path: PathBuf,
}

impl Disk {
    /// Registers a layer under a name of its own.
    pub(super) fn register(name: &str) -> Self {
        let state = Arc::new(Mutex::new(DiskState::default()));
        let c_name = CString::new(name).unwrap();
        // SAFETY: a null name asks for the default layer; it is never unregistered.
        let real = NonNull::new(unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) }).unwrap();
        // SAFETY: the table is plain data and valid.
        let mut table = unsafe { real.read() };
        table.szOsFile += size_of::<LayerFile>() as c_int;
        table.zName = c_name.as_ptr();
        table.pNext = std::ptr::null_mut();
        table.xOpen = Some(open);
        table.xDelete = Some(delete);
        let layer = Box::leak(Box::new(Layer { table, real, state: state.clone(), _name: c_name }));
        // SAFETY: the table is leaked, so it outlives SQLite's use of it.
        let code = unsafe { ffi::sqlite3_vfs_register(&raw mut layer.table, 0) };
        assert_eq!(code, ffi::SQLITE_OK);
        Self { name: name.to_owned(), state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap()
    }

    /// The files after the power went at event `end`, and how many bytes were lost.
    pub(super) fn files_after_power_loss(
        &self,
        end: usize,
        rng: &mut Rng,
    ) -> (BTreeMap<PathBuf, Vec<u8>>, usize) {
        let state = self.state();
        let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        let mut unsynced: BTreeMap<PathBuf, Vec<&Event>> = BTreeMap::new();
        for event in state.events.iter().take(end) {
            match event {
                Event::Write { file, .. } | Event::Truncate { file, .. } => {
                    unsynced.entry(file.clone()).or_default().push(event);
                }
                Event::Sync { file } => {
                    let image = files.entry(file.clone()).or_default();
                    unsynced
                        .remove(file)
                        .unwrap_or_default()
                        .into_iter()
                        .for_each(|event| apply(image, event));
                }
                Event::Delete { file } => {
                    files.remove(file);
                    unsynced.remove(file);
                }
                Event::Acknowledged { .. } => {}
            }
        }
        let mut lost = 0;
        for (file, events) in unsynced {
            let image = files.entry(file).or_default();
            for event in events {
                lost += apply_some(image, event, rng);
            }
        }
        (files, lost)
    }
}

fn apply(image: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write { at, data, .. } => write_at(image, *at, data),
        Event::Truncate { size, .. } => image.truncate(*size),
        _ => {}
    }
}

fn write_at(image: &mut Vec<u8>, at: usize, data: &[u8]) {
    image.resize(image.len().max(at + data.len()), 0);
    image[at..at + data.len()].copy_from_slice(data);
}

/// Applies each sector of a write, or not; returns the bytes that were lost.
fn apply_some(image: &mut Vec<u8>, event: &Event, rng: &mut Rng) -> usize {
    let Event::Write { at, data, .. } = event else {
        if rng.bool() {
            apply(image, event);
        }
        return 0;
    };
    let (mut lost, mut from) = (0, 0);
    while from < data.len() {
        let to = data.len().min((at + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - at);
        if rng.bool() {
            write_at(image, at + from, &data[from..to]);
        } else {
            lost += to - from;
        }
        from = to;
    }
    lost
}

/// The real file behind ours.
fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `szOsFile` reserves the real file's space behind ours; the size of `LayerFile` keeps its alignment.
    unsafe { file.cast::<LayerFile>().add(1).cast() }
}

fn real_methods<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: called for open files only, whose real file has its functions set.
    unsafe { &*(*real(file)).pMethods }
}

fn open_file<'a>(file: *mut ffi::sqlite3_file) -> &'a OpenFile {
    // SAFETY: set by `open`, freed by `close`, after which SQLite does not use the file.
    unsafe { &*(*file.cast::<LayerFile>()).open }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes the layer that was registered, and space for a file of `szOsFile` bytes.
    unsafe {
        let layer = &*vfs.cast::<Layer>();
        (*file).pMethods = std::ptr::null();
        let code =
            layer.real.as_ref().xOpen.unwrap()(layer.real.as_ptr(), name, real(file), flags, out_flags);
        if code != ffi::SQLITE_OK {
            return code;
        }
        let path = if name.is_null() { PathBuf::new() } else { path(name) };
        let ours = file.cast::<LayerFile>();
        let mut methods = *real_methods(file);
        forward(&mut methods);
        (&raw mut (*ours).methods).write(methods);
        (*ours).open = Box::into_raw(Box::new(OpenFile { state: layer.state.clone(), path }));
        (*file).pMethods = &raw const (*ours).methods;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let layer = &*vfs.cast::<Layer>();
        layer.state.lock().unwrap().events.push(Event::Delete { file: path(name) });
        layer.real.as_ref().xDelete.unwrap()(layer.real.as_ptr(), name, sync)
    }
}

/// # Safety
/// `name` is a path that SQLite made.
unsafe fn path(name: *const c_char) -> PathBuf {
    // SAFETY: the caller's promise.
    PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().unwrap())
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, len: c_int, at: i64) -> c_int {
    let open = open_file(file);
    let mut state = open.state.lock().unwrap();
    if state.full_from.is_some_and(|full| at as usize + len as usize > full) {
        return ffi::SQLITE_FULL;
    }
    // SAFETY: SQLite passes `len` bytes.
    let copy = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len as usize) }.to_vec();
    state.events.push(Event::Write { file: open.path.clone(), at: at as usize, data: copy });
    // SAFETY: the arguments are SQLite's, the file is the real one.
    unsafe { real_methods(file).xWrite.unwrap()(real(file), data, len, at) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let open = open_file(file);
    let event = Event::Truncate { file: open.path.clone(), size: size as usize };
    open.state.lock().unwrap().events.push(event);
    // SAFETY: as in `write`.
    unsafe { real_methods(file).xTruncate.unwrap()(real(file), size) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    let open = open_file(file);
    let mut state = open.state.lock().unwrap();
    if state.sync_fails {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // What is written down is the truth of this disk; the real one need not be waited for.
    state.events.push(Event::Sync { file: open.path.clone() });
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: as in `write`; SQLite does not use the file after this.
    unsafe {
        let code = real_methods(file).xClose.unwrap()(real(file));
        drop(Box::from_raw((*file.cast::<LayerFile>()).open));
        (*file).pMethods = std::ptr::null();
        code
    }
}

macro_rules! forwards {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)+) => {
        mod forwarded {
            use super::*;
            $(#[allow(non_snake_case, reason = "SQLite's names")]
            pub(super) unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($arg: $type),*) $(-> $out)? {
                // SAFETY: the arguments are SQLite's, the file is the real one.
                unsafe { real_methods(file).$name.unwrap()(real(file), $($arg),*) }
            })+
        }

        /// Replaces the functions that are wanted here; all others must still be given the real file.
        fn forward(methods: &mut ffi::sqlite3_io_methods) {
            // Version 2 ends before memory-mapped reads.
            methods.iVersion = methods.iVersion.min(2);
            methods.xClose = Some(close);
            methods.xWrite = Some(write);
            methods.xTruncate = Some(truncate);
            methods.xSync = Some(sync);
            $(methods.$name = Some(forwarded::$name);)+
        }
    };
}

forwards! {
    xRead(data: *mut c_void, len: c_int, at: i64) -> c_int;
    xFileSize(size: *mut i64) -> c_int;
    xLock(kind: c_int) -> c_int;
    xUnlock(kind: c_int) -> c_int;
    xCheckReservedLock(out: *mut c_int) -> c_int;
    xFileControl(op: c_int, arg: *mut c_void) -> c_int;
    xSectorSize() -> c_int;
    xDeviceCharacteristics() -> c_int;
    xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    xShmBarrier();
    xShmUnmap(delete: c_int) -> c_int;
}
