// SPDX-License-Identifier: Apache-2.0
//! The part of `CPython`'s C API that the loader uses, looked up at run time.
//!
//! Nothing links to libpython: one build serves `CPython` 3.9 to 3.14, with no Python at build
//! time. pyo3 was weighed and left: its `abi3-py39` has no buffer protocol (the headers list those
//! slots from 3.11, the interpreters have them from 3.9), which is what keeps a retained memoryview
//! safe, and its undefined symbols would make the order of two `dlopen`s a condition of loading at
//! all.
//!
//! Layouts relied on, the same in every release build with the GIL from 3.9 to 3.14: an object
//! opens with its reference count and its type; `Py_buffer`, `PyMethodDef`, `PyType_Spec`,
//! `PyStatus`.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;

/// A Python object; only its address and its first two words are used.
#[repr(C)]
pub struct Object {
    /// Reference count; see [`Object::is_shared`].
    refcnt: isize,
    /// The object's type.
    pub kind: *mut Object,
}

/// A borrowed or owned pointer to an object, as the C API hands it out.
pub type Ptr = *mut Object;

impl Object {
    /// Whether somebody else than the caller refers to the object.
    ///
    /// # Safety
    /// `object` is alive and the GIL held.
    pub unsafe fn is_shared(object: Ptr) -> bool {
        // 3.14 keeps flags in the upper half of the word: the count proper is the lower one.
        // SAFETY: the object is alive, and its first word is the count.
        cfg!(target_endian = "big") || unsafe { (*object).refcnt }.cast_unsigned() as u32 != 1
    }
}

/// `Py_buffer`.
#[repr(C)]
pub struct Buffer {
    pub buf: *mut c_void,
    pub obj: Ptr,
    pub len: isize,
    itemsize: isize,
    readonly: c_int,
    pub ndim: c_int,
    pub format: *mut c_char,
    shape: *mut isize,
    strides: *mut isize,
    suboffsets: *mut isize,
    internal: *mut c_void,
}

impl Buffer {
    pub const fn empty() -> Self {
        Self {
            buf: ptr::null_mut(),
            obj: ptr::null_mut(),
            len: 0,
            itemsize: 0,
            readonly: 0,
            ndim: 0,
            format: ptr::null_mut(),
            shape: ptr::null_mut(),
            strides: ptr::null_mut(),
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
        }
    }
}

/// `PyCFunction` of the kind `METH_FASTCALL`.
pub type FastCall = unsafe extern "C" fn(Ptr, *const Ptr, isize) -> Ptr;
pub const METH_FASTCALL: c_int = 0x80;

/// `Py_file_input`: statements.
pub const FILE_INPUT: c_int = 257;
/// `Py_eval_input`: an expression.
pub const EVAL_INPUT: c_int = 258;

/// `PyMethodDef`.
#[repr(C)]
pub struct MethodDef {
    pub name: *const c_char,
    pub function: FastCall,
    pub flags: c_int,
    pub doc: *const c_char,
}

/// `PyType_Slot`.
#[repr(C)]
pub struct Slot {
    pub slot: c_int,
    pub function: *mut c_void,
}

pub const BF_GETBUFFER: c_int = 1;
pub const BF_RELEASEBUFFER: c_int = 2;
/// `PyBUF_FULL_RO`.
pub const BUF_FULL_RO: c_int = 0x11c;
pub const TP_DEALLOC: c_int = 52;
pub const TPFLAGS_DEFAULT: u32 = 1 << 18;
pub const TPFLAGS_BYTES_SUBCLASS: u64 = 1 << 27;

/// `PyType_Spec`.
#[repr(C)]
pub struct Spec {
    pub name: *const c_char,
    pub basicsize: c_int,
    pub itemsize: c_int,
    pub flags: u32,
    pub slots: *mut Slot,
}

/// `PyStatus`.
#[repr(C)]
pub struct Status {
    kind: c_int,
    function: *const c_char,
    pub message: *const c_char,
    exit_code: c_int,
}

type Destructor = Option<unsafe extern "C" fn(Ptr)>;
/// `PyThreadState`, opaque.
pub type ThreadState = *mut c_void;

macro_rules! api {
    (
        functions { $($name:ident($($argument:ty),*) $(-> $result:ty)?;)* }
        objects { $($object:ident;)* }
        exceptions { $($exception:ident;)* }
    ) => {
        /// The functions and objects of one libpython, under their own names.
        #[allow(non_snake_case)]
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            $(pub $object: Ptr,)*
            $(pub $exception: *const Ptr,)*
            /// `PyObject_Vectorcall`, or what answers to the same arguments before 3.11.
            pub vectorcall: unsafe extern "C" fn(Ptr, *const Ptr, usize, Ptr) -> Ptr,
        }

        impl Api {
            /// Looks everything up in `library`, a handle of `dlopen`.
            ///
            /// # Safety
            /// `library` is a libpython.
            ///
            /// # Errors
            /// The name that is missing.
            pub unsafe fn load(library: *mut c_void) -> Result<Self, String> {
                // SAFETY: every name is given the type that CPython's headers declare for it.
                unsafe {
                    Ok(Self {
                        $($name: std::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(symbol(library, concat!(stringify!($name), "\0"))?),)*
                        $($object: symbol(library, concat!(stringify!($object), "\0"))?.cast(),)*
                        $($exception: symbol(library, concat!(stringify!($exception), "\0"))?
                            .cast_const().cast(),)*
                        vectorcall: std::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn(Ptr, *const Ptr, usize, Ptr) -> Ptr,
                        >(
                            symbol(library, "PyObject_Vectorcall\0")
                                .or_else(|_| symbol(library, "PyObject_VectorcallDict\0"))?,
                        ),
                    })
                }
            }
        }
    };
}

api! {
    functions {
        PyBuffer_FillInfo(*mut Buffer, Ptr, *mut c_void, isize, c_int, c_int) -> c_int;
        PyBuffer_Release(*mut Buffer);
        PyBytes_AsString(Ptr) -> *mut c_char;
        PyBytes_FromObject(Ptr) -> Ptr;
        PyBytes_FromStringAndSize(*const c_char, isize) -> Ptr;
        PyBytes_Size(Ptr) -> isize;
        PyCFunction_NewEx(*mut MethodDef, Ptr, Ptr) -> Ptr;
        PyCapsule_GetPointer(Ptr, *const c_char) -> *mut c_void;
        PyCapsule_New(*mut c_void, *const c_char, Destructor) -> Ptr;
        PyConfig_Clear(*mut c_void);
        PyConfig_InitIsolatedConfig(*mut c_void);
        PyConfig_InitPythonConfig(*mut c_void);
        PyConfig_SetBytesArgv(*mut c_void, isize, *const *const c_char) -> Status;
        PyContext_Copy(Ptr) -> Ptr;
        PyContext_Enter(Ptr) -> c_int;
        PyContext_Exit(Ptr) -> c_int;
        PyDict_GetItemString(Ptr, *const c_char) -> Ptr;
        PyDict_New() -> Ptr;
        PyDict_Next(Ptr, *mut isize, *mut Ptr, *mut Ptr) -> c_int;
        PyDict_SetItem(Ptr, Ptr, Ptr) -> c_int;
        PyDict_SetItemString(Ptr, *const c_char, Ptr) -> c_int;
        PyErr_Clear();
        PyErr_Fetch(*mut Ptr, *mut Ptr, *mut Ptr);
        PyErr_NormalizeException(*mut Ptr, *mut Ptr, *mut Ptr);
        PyErr_SetObject(Ptr, Ptr);
        PyErr_SetString(Ptr, *const c_char);
        PyEval_EvalCode(Ptr, Ptr, Ptr) -> Ptr;
        PyEval_GetBuiltins() -> Ptr;
        PyEval_RestoreThread(ThreadState);
        PyEval_SaveThread() -> ThreadState;
        PyException_SetTraceback(Ptr, Ptr) -> c_int;
        PyFloat_AsDouble(Ptr) -> f64;
        PyFloat_FromDouble(f64) -> Ptr;
        PyGILState_Ensure() -> c_int;
        PyGILState_Release(c_int);
        PyImport_ImportModule(*const c_char) -> Ptr;
        PyList_AsTuple(Ptr) -> Ptr;
        PyList_GetItem(Ptr, isize) -> Ptr;
        PyList_New(isize) -> Ptr;
        PyList_SetItem(Ptr, isize, Ptr) -> c_int;
        PyList_Size(Ptr) -> isize;
        PyLong_AsLong(Ptr) -> c_long;
        PyLong_AsLongLongAndOverflow(Ptr, *mut c_int) -> i64;
        PyLong_FromLong(c_long) -> Ptr;
        PyLong_FromLongLong(i64) -> Ptr;
        PyMemoryView_FromObject(Ptr) -> Ptr;
        PyObject_CallObject(Ptr, Ptr) -> Ptr;
        PyObject_Free(*mut c_void);
        PyObject_GetAttrString(Ptr, *const c_char) -> Ptr;
        PyObject_GetBuffer(Ptr, *mut Buffer, c_int) -> c_int;
        PyObject_IsTrue(Ptr) -> c_int;
        PyObject_Str(Ptr) -> Ptr;
        PyPreConfig_InitIsolatedConfig(*mut c_void);
        PyPreConfig_InitPythonConfig(*mut c_void);
        PyStatus_Exception(Status) -> c_int;
        PyTuple_GetItem(Ptr, isize) -> Ptr;
        PyTuple_New(isize) -> Ptr;
        PyTuple_SetItem(Ptr, isize, Ptr) -> c_int;
        PyTuple_Size(Ptr) -> isize;
        PyType_FromSpec(*mut Spec) -> Ptr;
        PyType_GenericAlloc(Ptr, isize) -> Ptr;
        PyType_GetFlags(Ptr) -> u64;
        PyType_IsSubtype(Ptr, Ptr) -> c_int;
        PyUnicode_AsUTF8AndSize(Ptr, *mut isize) -> *const c_char;
        PyUnicode_DecodeUTF8(*const c_char, isize, *const c_char) -> Ptr;
        Py_CompileString(*const c_char, *const c_char, c_int) -> Ptr;
        Py_DecRef(Ptr);
        Py_IncRef(Ptr);
        Py_InitializeFromConfig(*const c_void) -> Status;
        Py_IsInitialized() -> c_int;
        Py_PreInitialize(*const c_void) -> Status;
    }
    objects {
        _Py_FalseStruct;
        _Py_NoneStruct;
        _Py_TrueStruct;
        PyByteArray_Type;
        PyBytes_Type;
        PyDict_Type;
        PyFloat_Type;
        PyList_Type;
        PyLong_Type;
        PyMemoryView_Type;
        PyTuple_Type;
        PyUnicode_Type;
    }
    exceptions {
        PyExc_BufferError;
        PyExc_RuntimeError;
        PyExc_StopAsyncIteration;
        PyExc_StopIteration;
        PyExc_TypeError;
    }
}

// SAFETY: addresses of functions and of objects that live as long as the interpreter, never
// changed.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

static API: OnceLock<Api> = OnceLock::new();

impl Api {
    /// The interpreter's API. The process holds one interpreter: the first to come stays.
    pub fn install(self) -> &'static Self {
        API.get_or_init(|| self)
    }

    /// The API, if an interpreter was loaded.
    pub fn get() -> Option<&'static Self> {
        API.get()
    }
}

unsafe fn symbol(library: *mut c_void, name: &str) -> Result<*mut c_void, String> {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or(c"");
    // SAFETY: the handle is open and the name ends in NUL.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    if address.is_null() { Err(name.to_string_lossy().into_owned()) } else { Ok(address) }
}
