//! Methods of one argument below `PyO3`'s argument parsing, the bytes of a `str`, buffers that other threads may write, and
//! an iterator beside what it borrows: the only module with `unsafe`.
//!
//! `PyO3` calls methods as `METH_FASTCALL | METH_KEYWORDS`: keywords are looked for, arguments collected into an array, and
//! a guard counts the thread as attached. `METH_O` hands over the one argument as it is; DESIGN.md has the figures.
//! What `PyO3` guarantees elsewhere is kept by hand: no panic passes the border, errors are raised, references balance.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyInt, PyString};
use pyo3::{Borrowed, PyClass};

pub(crate) enum Found<'a, T> {
    Nothing,
    Object(&'a Py<T>),
}

/// A method of one positional argument that answers with a shared object or None.
pub(crate) trait OneArgument {
    type Class: PyClass<Frozen = True> + Sync;
    type Answer: 'static;
    const NAME: &'static CStr;
    /// Signature, a line `--`, text: what `__text_signature__` and `__doc__` are read from.
    const DOC: &'static CStr;

    /// The usual arguments, with neither an error nor a new object; None leaves it to `slow`.
    fn quick<'a>(
        class: &'a Self::Class,
        argument: &Bound<'_, PyAny>,
    ) -> Option<Found<'a, Self::Answer>>;

    /// Every argument.
    fn slow(class: &Self::Class, argument: &Bound<'_, PyAny>)
    -> PyResult<Option<Py<Self::Answer>>>;
}

/// Puts the method on its class. To be called once, when the module is made.
pub(crate) fn add_method<M: OneArgument>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<M::Class>();
    // Descriptors point to their definition for as long as the class lives, which is as long as the process.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunction: call::<M>,
        },
        ml_flags: ffi::METH_O,
        ml_doc: M::DOC.as_ptr(),
    }));
    // SAFETY: the type is ready, the definition and its texts are never freed; a new reference or an error comes back.
    let descriptor = unsafe {
        let made = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, made)?
    };
    class.setattr(
        descriptor.getattr("__name__")?.cast::<PyString>()?,
        descriptor,
    )
}

/// What the interpreter calls.
///
/// # Safety
/// The thread is attached; `class` is an instance of `M::Class`; both pointers are borrowed for the call.
unsafe extern "C" fn call<M: OneArgument>(
    class: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let called = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the interpreter calls methods attached, and the token does not leave the call.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the caller holds both references during the call. The descriptor has checked the type of `class`.
        let (class, argument) = unsafe {
            let class = Borrowed::from_ptr(py, class).cast_unchecked::<M::Class>();
            (class, Borrowed::from_ptr(py, argument))
        };
        let answer = match M::quick(class.get(), &argument) {
            Some(Found::Object(object)) => object.as_ptr(),
            // SAFETY: None is never freed.
            Some(Found::Nothing) => unsafe { ffi::Py_None() },
            None => return slow::<M>(&class, &argument),
        };
        // SAFETY: the object lives, `class` or the interpreter holds it; the new reference is the caller's.
        unsafe { ffi::Py_INCREF(answer) };
        answer
    }));
    called.unwrap_or_else(|_| panicked(M::NAME))
}

#[cold]
#[inline(never)]
fn slow<M: OneArgument>(
    class: &Bound<'_, M::Class>,
    argument: &Bound<'_, PyAny>,
) -> *mut ffi::PyObject {
    // Attaching counts this thread as attached: without it PyO3 would put off every release of a reference.
    Python::attach(|py| match M::slow(class.get(), argument) {
        Ok(answer) => answer.map_or_else(|| py.None().into_ptr(), Py::into_ptr),
        Err(error) => raise(py, error),
    })
}

#[cold]
fn panicked(name: &CStr) -> *mut ffi::PyObject {
    let raised = catch_unwind(|| {
        let message = format!("{} panicked", name.to_string_lossy());
        Python::attach(|py| raise(py, PanicException::new_err(message)))
    });
    // Even raising failed: the interpreter reports an error without an exception as SystemError.
    raised.unwrap_or(ptr::null_mut())
}

fn raise(py: Python<'_>, error: PyErr) -> *mut ffi::PyObject {
    error.restore(py);
    ptr::null_mut()
}

/// The text of an exact `str` when it is ASCII, where it lies: no call, no validation.
#[inline]
pub(crate) fn ascii<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    let text = value.cast_exact::<PyString>().ok()?.as_ptr();
    // SAFETY: `text` is a str. A compact ASCII one has its bytes behind the fixed part; they never change or move while
    // the str lives, which `value` makes sure of.
    unsafe {
        if ffi::PyUnicode_IS_COMPACT_ASCII(text) == 0 {
            return None;
        }
        let start = text.cast::<ffi::PyASCIIObject>().add(1).cast::<u8>();
        let length = usize::try_from(ffi::PyUnicode_GET_LENGTH(text)).ok()?;
        Some(std::slice::from_raw_parts(start, length))
    }
}

/// An exact `int` that fits 64 bits; no exception is made for one that does not.
#[inline]
pub(crate) fn integer(value: &Bound<'_, PyAny>) -> Option<i64> {
    let number = value.cast_exact::<PyInt>().ok()?;
    let mut overflow = 0;
    // SAFETY: `number` is an int, for which this call raises nothing.
    let bits = unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(bits)
}

/// An iterator that keeps alive what it runs over.
pub(crate) struct Owning<O, T> {
    /// Before `owner`, so that it is dropped first.
    iterator: Box<dyn Iterator<Item = T> + Send>,
    _owner: Arc<O>,
}

impl<O: 'static, T: 'static> Owning<O, T> {
    pub fn new<E>(
        owner: Arc<O>,
        start: impl for<'a> FnOnce(&'a O) -> Result<Box<dyn Iterator<Item = T> + Send + 'a>, E>,
    ) -> Result<Self, E> {
        // SAFETY: the value stays where it is as long as `owner`, which is dropped after the iterator. `start` works for
        // any lifetime, so it can keep the reference nowhere but in the iterator; items do not borrow.
        let borrowed: &'static O = unsafe { &*Arc::as_ptr(&owner) };
        Ok(Self {
            iterator: start(borrowed)?,
            _owner: owner,
        })
    }
}

impl<O, T> Iterator for Owning<O, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.iterator.next()
    }
}

/// An item of a buffer. Any bytes are one.
pub(crate) trait Word: Copy + Default {
    /// # Safety
    /// `place` is aligned and its memory is there.
    unsafe fn load(place: *mut Self) -> Self;
    /// # Safety
    /// As `load`, and the memory may be written.
    unsafe fn store(self, place: *mut Self);
}

macro_rules! words {
    ($($word:ty: $atomic:ty),*) => {$(
        impl Word for $word {
            #[inline]
            unsafe fn load(place: *mut Self) -> Self {
                // SAFETY: the caller's. Relaxed loads of at most a word never write, so read-only memory is fine too.
                unsafe { <$atomic>::from_ptr(place) }.load(Ordering::Relaxed)
            }

            #[inline]
            unsafe fn store(self, place: *mut Self) {
                // SAFETY: the caller's.
                unsafe { <$atomic>::from_ptr(place) }.store(self, Ordering::Relaxed);
            }
        }
    )*};
}

words!(u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64);

/// The items of an exported buffer. Without the interpreter lock any thread may write them, so there is never a reference to
/// them: items are copied out and in one by one, by atomic loads and stores without an order.
#[derive(Clone, Copy)]
pub(crate) struct Items<'a, T> {
    start: *mut T,
    count: usize,
    buffer: PhantomData<&'a PyUntypedBuffer>,
}

// SAFETY: all access is atomic, and the exporter keeps the memory in place while the buffer is held.
unsafe impl<T: Word> Send for Items<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Word> Sync for Items<'_, T> {}

impl<'a, T: Word> Items<'a, T> {
    /// All bytes of the buffer as items of this width; None when they do not lie in a row or are misaligned.
    pub fn of(buffer: &'a PyUntypedBuffer) -> Option<Self> {
        let start: *mut T = buffer.buf_ptr().cast();
        let count = buffer.len_bytes() / size_of::<T>();
        let is_fit = buffer.is_c_contiguous() && (start.is_aligned() || count == 0);
        is_fit.then_some(Self {
            start,
            count,
            buffer: PhantomData,
        })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Copies from `first` on until `target` is full or nothing is left.
    #[inline]
    pub fn read(&self, first: usize, target: &mut [T]) {
        let left = self.count.saturating_sub(first);
        for (index, item) in target.iter_mut().take(left).enumerate() {
            // SAFETY: first + index < count, and `of` has checked the alignment.
            *item = unsafe { T::load(self.start.add(first + index)) };
        }
    }
}

/// Items of a buffer that is not read-only.
#[derive(Clone, Copy)]
pub(crate) struct WritableItems<'a, T>(Items<'a, T>);

impl<'a, T: Word> WritableItems<'a, T> {
    pub fn of(buffer: &'a PyUntypedBuffer) -> Option<Self> {
        let items = Items::of(buffer)?;
        (!buffer.readonly()).then_some(Self(items))
    }

    /// Items beyond the end are dropped.
    #[inline]
    pub fn write(&self, first: usize, source: impl Iterator<Item = T>) {
        let left = self.0.count.saturating_sub(first);
        for (index, item) in source.take(left).enumerate() {
            // SAFETY: first + index < count, `Items::of` has checked the alignment, the exporter allows writing.
            unsafe { item.store(self.0.start.add(first + index)) };
        }
    }
}
