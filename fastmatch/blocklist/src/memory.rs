//! Mapped and shared memory, typed views of it, and the system calls that the standard library lacks: besides `simd`
//! the only module with `unsafe`.
//!
//! A `Region` is immutable bytes, either owned or a read-only file mapping, aligned for every `Plain` type. A `Table`
//! is a typed slice of a region that keeps it alive; it costs a pointer and a length. A `SharedSegment` is anonymous
//! memory that several processes map read-write; it is reachable through atomics only.
//!
//! What keeps this sound: `Plain` types have no padding and no invalid bit patterns; list files are written aside,
//! renamed into place and never changed afterwards (a file changed or cut in place by someone else is outside of what
//! a process can defend against: `SIGBUS`); a segment is sealed against shrinking before anyone maps it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use memmap2::{Advice, Mmap, MmapOptions, MmapRaw};

#[cfg(target_endian = "big")]
compile_error!("list files are little-endian and read in place");

/// Types that any initialised, aligned bytes are a valid value of.
///
/// # Safety
/// No padding, no invalid bit patterns, no interior mutability, alignment at most 16.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: integers and arrays of integers have neither padding nor invalid patterns.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for u128 {}
// SAFETY: an array has the layout of its elements one after the other.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of plain values, in memory order (little-endian, see the check above).
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding, so every byte is initialised; the length is that of the slice.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Takes the lock of an open file, which ends with the file or its process; false when someone else has it.
/// The standard library's own needs Rust 1.89.
pub fn lock(file: &File) -> io::Result<bool> {
    // SAFETY: a plain system call on a descriptor that is open as long as the reference.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// The system's monotonic clock, the same for all processes of a machine. `Instant` hides its own reading of it.
pub fn monotonic() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which is ours.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(result, 0, "invariant: every Linux has this clock");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

enum Backing {
    Mapped(Mmap),
    /// `len` bytes from `start`, where a cache line begins.
    Owned {
        words: Box<[u128]>,
        start: usize,
        len: usize,
    },
}

const LINE_BYTES: usize = 64;

/// Immutable bytes, aligned to a cache line.
pub struct Region {
    backing: Backing,
}

impl Region {
    /// `len` zeroed bytes, filled once.
    pub fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        // The allocator aligns to 16 only, and a bucket that lies in two lines costs two reads.
        let mut words = vec![0_u128; len.div_ceil(16) + LINE_BYTES / 16 - 1].into_boxed_slice();
        let start = words.as_ptr().addr().wrapping_neg() % LINE_BYTES;
        // SAFETY: `u128` has no padding and accepts every pattern; the byte length is that of the allocation.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 16)
        };
        fill(&mut bytes[start..start + len]);
        Self {
            backing: Backing::Owned { words, start, len },
        }
    }

    /// Maps a file read-only. With `prefault` every page is present on return.
    pub fn map(path: &Path, prefault: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and the module's head says who may change the file: nobody.
        let mapped = unsafe { MmapOptions::new().map(&file)? };
        if prefault {
            // Advice only: a kernel without it takes the faults one by one in the loop below.
            let _ = mapped.advise(Advice::HugePage);
            if mapped.advise(Advice::PopulateRead).is_err() {
                for page in mapped.chunks(4096) {
                    std::hint::black_box(page[0]);
                }
            }
        }
        Ok(Self {
            backing: Backing::Mapped(mapped),
        })
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.backing {
            Backing::Mapped(mapped) => mapped,
            Backing::Owned { words, start, len } => &bytes_of(words)[*start..*start + *len],
        }
    }

    /// A typed view of `byte_len` bytes at `offset`; None when it does not fit, is misaligned or not a whole count.
    pub fn table<T: Plain>(self: &Arc<Self>, offset: usize, byte_len: usize) -> Option<Table<T>> {
        let bytes = self.bytes().get(offset..offset.checked_add(byte_len)?)?;
        let start = bytes.as_ptr().cast::<T>();
        if byte_len % size_of::<T>() != 0 || !start.is_aligned() {
            return None;
        }
        Some(Table {
            region: Arc::clone(self),
            start,
            len: byte_len / size_of::<T>(),
            element: PhantomData,
        })
    }
}

/// A slice of a region. Cloning it clones a reference count.
pub struct Table<T> {
    region: Arc<Region>,
    start: *const T,
    len: usize,
    element: PhantomData<T>,
}

// SAFETY: the region is immutable and itself Send and Sync, `T` is plain data.
unsafe impl<T: Plain> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Table<T> {}

impl<T: Plain> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `Region::table` checked bounds and alignment, `region` keeps the memory alive and unmoved.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Plain> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self {
            region: Arc::clone(&self.region),
            start: self.start,
            len: self.len,
            element: PhantomData,
        }
    }
}

/// Anonymous memory shared between processes by descriptor; a fixed number of 64-bit atomic words.
pub struct SharedSegment {
    descriptor: OwnedFd,
    mapped: MmapRaw,
    word_count: usize,
}

impl SharedSegment {
    /// A new zeroed segment of at least `bytes` bytes. The descriptor is closed on exec unless made inheritable.
    pub fn create(bytes: usize) -> io::Result<Self> {
        let len = i64::try_from(bytes.max(8).next_multiple_of(8))
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the segment is too large"))?;
        // SAFETY: the name is a terminated string; the result is checked before use.
        let raw = unsafe {
            libc::memfd_create(
                c"sentra".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a fresh descriptor that nobody else owns.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: plain system calls on a descriptor we own.
        let failed = unsafe {
            libc::ftruncate(raw, len) != 0
                || libc::fcntl(
                    raw,
                    libc::F_ADD_SEALS,
                    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW,
                ) != 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
        Self::map(descriptor)
    }

    /// Maps an inherited segment; the descriptor is duplicated and stays the caller's.
    pub fn open(descriptor: RawFd) -> io::Result<Self> {
        if descriptor < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the number is not -1; when it is not an open descriptor the duplication fails with EBADF.
        let duplicate = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
        // SAFETY: a plain query on a descriptor we own.
        let seals = unsafe { libc::fcntl(duplicate.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & libc::F_SEAL_SHRINK == 0 {
            let reason = "the descriptor is not a segment sealed against shrinking";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Self::map(duplicate)
    }

    fn map(descriptor: OwnedFd) -> io::Result<Self> {
        let mapped = MmapOptions::new().map_raw(&descriptor)?;
        let word_count = mapped.len() / 8;
        Ok(Self {
            descriptor,
            mapped,
            word_count,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.word_count * 8
    }

    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "a mapping starts on a page")]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: page-aligned, as long as the mapping, which lives as long as `self` and cannot shrink (sealed);
        // other processes touch it through atomics of the same width.
        unsafe {
            std::slice::from_raw_parts(
                self.mapped.as_mut_ptr().cast::<AtomicU64>(),
                self.word_count,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    #[cfg_attr(miri, ignore = "there is no memfd there")]
    fn a_segment_opened_by_descriptor_shows_what_the_creator_wrote() {
        let created = SharedSegment::create(100).expect("memfd");
        assert_eq!(created.len(), 104);
        created.words()[12].store(7, Ordering::Relaxed);
        let opened = SharedSegment::open(created.fd()).expect("duplicate");
        assert_ne!(opened.fd(), created.fd());
        drop(created);
        assert_eq!(opened.words()[12].load(Ordering::Relaxed), 7);
    }

    #[test]
    #[cfg_attr(miri, ignore = "there is no memfd there")]
    fn descriptors_that_can_shrink_or_are_closed_are_refused() {
        let file = File::open("/proc/self/exe").expect("readable");
        assert!(SharedSegment::open(file.as_raw_fd()).is_err());
        assert!(SharedSegment::open(-1).is_err());
        assert!(SharedSegment::open(1_000_000).is_err());
    }

    #[test]
    fn memory_of_any_length_begins_with_a_cache_line() {
        for len in 0..200 {
            let region = Region::filled(len, |bytes| bytes.fill(7));
            assert_eq!(region.bytes(), vec![7; len]);
            assert_eq!(region.bytes().as_ptr().addr() % LINE_BYTES, 0);
        }
    }

    #[test]
    fn a_table_is_refused_when_it_does_not_fit_or_is_misaligned() {
        let region = Arc::new(Region::filled(8, |bytes| {
            bytes[..5].copy_from_slice(&[1, 2, 3, 4, 5]);
        }));
        assert_eq!(region.bytes().len(), 8);
        assert_eq!(
            &*region.table::<u32>(0, 8).expect("fits"),
            &[0x0403_0201, 5]
        );
        assert!(region.table::<u32>(2, 4).is_none());
        assert!(region.table::<u32>(0, 6).is_none());
        assert!(region.table::<u32>(4, 8).is_none());
        assert!(region.table::<u32>(usize::MAX, 8).is_none());
        assert!(region.table::<u32>(8, 0).expect("empty").is_empty());
    }
}
