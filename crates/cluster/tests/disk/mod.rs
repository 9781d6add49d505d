//! A disk that loses power: a SQLite file layer that keeps writes in memory
//! until they are flushed.
//!
//! A file is read from the real disk when it is opened. Writes change what is
//! read back at once, as in a page cache; a flush makes them durable. After a
//! drawn number of writes and flushes the power goes: nothing works any more,
//! and what is left is what was durable plus a random part, by sectors, of what
//! was not. The image is then put onto the real disk.

#![expect(unsafe_code, reason = "SQLite's file layers are tables of C functions")]

use rusqlite::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// A write leaves neighbouring bytes alone, as SQLite assumes of disks by default.
const CHARACTERISTICS: c_int = ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE;

/// When the power goes, and how the disk behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// Writes and flushes until the power goes.
    pub(crate) operations: u64,
    /// How many of 100 unflushed sectors survive.
    pub(crate) survivors: u64,
    /// Writes and flushes after which a flush no longer does what it says;
    /// `None` for a disk that keeps its word.
    pub(crate) lies_after: Option<u64>,
    pub(crate) seed: u64,
}

/// A disk under one SQLite.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    fate: Fate,
    is_off: bool,
    done: u64,
    files: BTreeMap<String, SimulatedFile>,
}

#[derive(Debug, Default)]
struct SimulatedFile {
    /// What is read.
    cached: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    /// What may survive, in order.
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Disk {
    /// Registers the disk with SQLite; returns the name under which it is opened.
    pub(crate) fn plug_in(fate: Fate) -> (Self, String) {
        let disk = Self(Arc::new(Mutex::new(Inner { fate, is_off: false, done: 0, files: BTreeMap::new() })));
        let name = format!("disk-{:p}-{}", Arc::as_ptr(&disk.0), fate.seed);
        let registered = CString::new(name.clone()).unwrap();
        // SAFETY: the default layer exists as long as the process; the new one
        // and its name are leaked on purpose, so SQLite may keep them too.
        unsafe {
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            let layer = Box::new(ffi::sqlite3_vfs {
                iVersion: 1,
                szOsFile: size_of::<Handle>() as c_int,
                pNext: std::ptr::null_mut(),
                zName: registered.into_raw(),
                pAppData: Arc::into_raw(Arc::clone(&disk.0)).cast_mut().cast(),
                xOpen: Some(open),
                xDelete: Some(delete),
                xAccess: Some(access),
                ..*system
            });
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(layer), 0), ffi::SQLITE_OK);
        }
        (disk, name)
    }

    /// Whether the power has gone.
    pub(crate) fn is_off(&self) -> bool {
        self.0.lock().unwrap().is_off
    }

    /// Cuts the power now, if it is still there, and puts what is left onto the
    /// real disk.
    pub(crate) fn leave_wreck(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.is_off = true;
        let Fate { seed, survivors, .. } = inner.fate;
        let mut random = seed | 1;
        let mut survives = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 20) % 100 < survivors
        };
        for (path, file) in &mut inner.files {
            std::fs::write(path, file.wreck(&mut survives)).unwrap();
        }
    }
}

impl Inner {
    /// Counts an operation; false when there is no power for it.
    fn has_power(&mut self) -> bool {
        self.is_off |= self.fate.operations == 0;
        self.fate.operations = self.fate.operations.saturating_sub(1);
        self.done += 1;
        !self.is_off
    }
}

impl SimulatedFile {
    fn change(&mut self, change: Change) {
        carry_out(&mut self.cached, &change);
        self.pending.push(change);
    }

    fn flush(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.cached);
    }

    fn wreck(&mut self, survives: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        for change in self.pending.drain(..) {
            match change {
                Change::Resize(_) => {
                    if survives() {
                        carry_out(&mut image, &change);
                    }
                }
                Change::Write(at, bytes) => {
                    let mut done = 0;
                    while done < bytes.len() {
                        let start = at + done;
                        let length = (SECTOR - start % SECTOR).min(bytes.len() - done);
                        if survives() {
                            carry_out(&mut image, &Change::Write(start, bytes[done..done + length].to_vec()));
                        }
                        done += length;
                    }
                }
            }
        }
        image
    }
}

fn carry_out(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(length) => content.resize(*length, 0),
        Change::Write(at, bytes) => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

/// What SQLite holds of an open file; begins as SQLite's own type does.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    disk: *const Mutex<Inner>,
    path: *mut String,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Does something with the file behind a handle.
///
/// # Safety
/// `file` comes from [`open`] and is not closed yet.
unsafe fn with<T>(file: *mut ffi::sqlite3_file, work: impl FnOnce(&mut Inner, &str) -> T) -> T {
    // SAFETY: the caller's promise; the disk is never freed.
    let (disk, path) = unsafe {
        let handle = file.cast::<Handle>();
        (&*(*handle).disk, &*(*handle).path)
    };
    work(&mut disk.lock().unwrap(), path)
}

unsafe extern "C" fn open(
    layer: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes the layer that was registered, room for a handle
    // in `file`, and a name, because nothing temporary is kept in files.
    unsafe {
        let disk = (*layer).pAppData.cast::<Mutex<Inner>>().cast_const();
        let path = CStr::from_ptr(name).to_str().unwrap().to_owned();
        (*file).pMethods = std::ptr::null();
        {
            let mut inner = (*disk).lock().unwrap();
            if inner.is_off {
                return ffi::SQLITE_CANTOPEN;
            }
            if !inner.files.contains_key(&path) {
                let content = std::fs::read(&path).ok();
                if content.is_none() && flags & ffi::SQLITE_OPEN_CREATE == 0 {
                    return ffi::SQLITE_CANTOPEN;
                }
                let durable = content.unwrap_or_default();
                let file = SimulatedFile { cached: durable.clone(), durable, pending: Vec::new() };
                inner.files.insert(path.clone(), file);
            }
        }
        let handle = Handle {
            base: ffi::sqlite3_file { pMethods: &raw const METHODS },
            disk,
            path: Box::into_raw(Box::new(path)),
        };
        file.cast::<Handle>().write(handle);
        if !flags_out.is_null() {
            *flags_out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(layer: *mut ffi::sqlite3_vfs, name: *const c_char, _sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let path = CStr::from_ptr(name).to_str().unwrap();
        let mut inner = (*(*layer).pAppData.cast::<Mutex<Inner>>()).lock().unwrap();
        if !inner.has_power() {
            return ffi::SQLITE_IOERR_DELETE;
        }
        inner.files.remove(path);
        let _ = std::fs::remove_file(path);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(
    layer: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: as in `open`; `found` points to a number.
    unsafe {
        let path = CStr::from_ptr(name).to_str().unwrap();
        let inner = (*(*layer).pAppData.cast::<Mutex<Inner>>()).lock().unwrap();
        *found = c_int::from(inner.files.contains_key(path) || Path::new(path).exists());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; its path came from a box.
    drop(unsafe { Box::from_raw((*file.cast::<Handle>()).path) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, length: c_int, at: i64) -> c_int {
    let (length, at) = (length as usize, at as usize);
    // SAFETY: SQLite passes room for `length` bytes.
    let target = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), length) };
    // SAFETY: the handle is open.
    unsafe {
        with(file, |inner, path| {
            if inner.is_off {
                return ffi::SQLITE_IOERR_READ;
            }
            let content = &inner.files[path].cached;
            let there = content.len().saturating_sub(at).min(length);
            target[..there].copy_from_slice(&content[at.min(content.len())..][..there]);
            target[there..].fill(0);
            if there == length { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
        })
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, length: c_int, at: i64) -> c_int {
    // SAFETY: SQLite passes `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length as usize) }.to_vec();
    // SAFETY: the handle is open.
    unsafe { change(file, Change::Write(at as usize, bytes)) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: the handle is open.
    unsafe { change(file, Change::Resize(length as usize)) }
}

/// # Safety
/// As for [`with`].
unsafe fn change(file: *mut ffi::sqlite3_file, change: Change) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        with(file, |inner, path| {
            // A write that is cut short by the power may still have reached the cache.
            let has_power = inner.has_power();
            inner.files.get_mut(path).unwrap().change(change);
            if has_power { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_WRITE }
        })
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the handle is open.
    unsafe {
        with(file, |inner, path| {
            if !inner.has_power() {
                return ffi::SQLITE_IOERR_FSYNC;
            }
            if inner.fate.lies_after.is_none_or(|after| inner.done <= after) {
                inner.files.get_mut(path).unwrap().flush();
            }
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, length: *mut i64) -> c_int {
    // SAFETY: the handle is open; `length` points to a number.
    unsafe { *length = with(file, |inner, path| inner.files[path].cached.len() as i64) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(_file: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_lock(_file: *mut ffi::sqlite3_file, is_locked: *mut c_int) -> c_int {
    // SAFETY: `is_locked` points to a number.
    unsafe { *is_locked = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_file: *mut ffi::sqlite3_file, _what: c_int, _with: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR as c_int
}

unsafe extern "C" fn characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    CHARACTERISTICS
}
