// SPDX-License-Identifier: Apache-2.0
//! The one interpreter of the process: opened and initialised once, never finalised; or found
//! running.

use crate::failure::Failure;
use crate::python::api::{Api, Status};
use crate::python::object::{Gil, attached};
use crate::python::probe::Probe;
use crate::python::running;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// What a program's main thread usually has.
const MAIN_STACK: usize = 8 << 20;

struct Interpreter {
    library: PathBuf,
    prefix: String,
    executable: String,
}

static INTERPRETER: Mutex<Option<Interpreter>> = Mutex::new(None);

/// Initialises the interpreter that `probe` describes, or without one takes the one that the
/// process runs, and has `install` run in it; or finds that done.
pub fn ensure(
    probe: Option<&Probe>,
    install: impl FnOnce(Gil) -> Result<(), Failure>,
) -> Result<&'static Api, Failure> {
    // Never waited for by a thread that holds the GIL, so it may be held while waiting for the GIL.
    let mut current = INTERPRETER.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(interpreter), Some(api)) = (&*current, Api::get()) {
        return probe.map_or(Ok(()), |probe| interpreter.serves(probe)).map(|()| api);
    }
    stay();
    let _turn = turn();
    let (api, interpreter) = probe.map_or_else(adopt, bring)?;
    attached(api, install)?;
    *current = Some(interpreter);
    Ok(api)
}

/// Waits for other copies of this loader, which package managers make if two packages want two versions: one at a time
/// looks whether there is an interpreter, and initialises it. Two libraries share no lock but one of a file, and this file is
/// the process's own. What has no /proc has no turns.
fn turn() -> Option<File> {
    let file = File::open("/proc/self/comm").ok()?;
    file.lock().ok()?;
    Some(file)
}

/// Takes the interpreter that runs already.
fn adopt() -> Result<(&'static Api, Interpreter), Failure> {
    let (api, probe, address) = running::adopt()?;
    let library = file_of(address).unwrap_or_default();
    Ok((api, Interpreter { library, prefix: probe.prefix, executable: probe.executable }))
}

/// Opens and initialises the interpreter that `probe` describes.
fn bring(probe: &Probe) -> Result<(&'static Api, Interpreter), Failure> {
    let library = open(probe)?;
    // SAFETY: a libpython, as its version said.
    let api = unsafe { Api::load(library.handle) }
        .map_err(|name| refuse(probe, &format!("{} has no {name}", library.path.display())))?;
    let api = initialise(api.install(), probe)?;
    let (prefix, executable) = (probe.prefix.clone(), probe.executable.clone());
    Ok((api, Interpreter { library: library.path, prefix, executable }))
}

impl Interpreter {
    fn serves(&self, probe: &Probe) -> Result<(), Failure> {
        if self.prefix == probe.prefix && probe.libpython.iter().any(|path| real(path) == self.library) {
            return Ok(());
        }
        let message = format!(
            "this process already runs Python from {} (prefix {}) and a process holds one interpreter: \
             load the guest with the same `python` and `venv`, not {} (prefix {}), or in a process of its own",
            self.executable, self.prefix, probe.executable, probe.prefix
        );
        Err(Failure::new("RuntimeError", message))
    }
}

struct Library {
    handle: *mut c_void,
    path: PathBuf,
}

/// Opens the first candidate that is of the version that the interpreter said.
fn open(probe: &Probe) -> Result<Library, Failure> {
    let resident = resident();
    let mut reasons = Vec::new();
    for candidate in &probe.libpython {
        let path = real(candidate);
        if resident.as_ref().is_some_and(|other| *other != path) {
            reasons.push(format!("{candidate}: the process holds another libpython already"));
            continue;
        }
        match open_one(&path, &probe.version) {
            Ok(handle) => return Ok(Library { handle, path }),
            Err(reason) => reasons.push(format!("{candidate}: {reason}")),
        }
    }
    Err(refuse(probe, &format!("its libpython cannot be used: {}", reasons.join("; "))))
}

fn open_one(path: &Path, version: &str) -> Result<*mut c_void, String> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
    // RTLD_GLOBAL: extension modules expect to find libpython's symbols, they do not link to it.
    // SAFETY: a C string; libpython's initialisers do nothing but set data.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        // SAFETY: dlerror answers for the failed dlopen of this thread, with a C string.
        let reason = unsafe { CStr::from_ptr(libc::dlerror()) };
        return Err(reason.to_string_lossy().into_owned());
    }
    // SAFETY: the handle is open and the name a C string.
    let address = unsafe { libc::dlsym(handle, c"Py_GetVersion".as_ptr()) };
    if address.is_null() {
        return Err("not a libpython".to_owned());
    }
    // SAFETY: Py_GetVersion has this type and may be called before initialisation.
    let full = unsafe {
        let get = std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(address);
        CStr::from_ptr(get()).to_string_lossy()
    };
    if full.split(' ').next() == Some(version) && !full.contains("free-threading") {
        return Ok(handle);
    }
    Err(format!("it is {full}, not {version}"))
}

/// The libpython whose symbols the process sees already, if any: a second one would mix with it.
fn resident() -> Option<PathBuf> {
    // SAFETY: a C string; the pseudo handle needs no opening.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"Py_GetVersion".as_ptr()) };
    if address.is_null() { None } else { file_of(address) }
}

/// Makes this library stay even if the host closes it: the interpreter keeps pointers to its
/// functions.
fn stay() {
    let here = stay as fn();
    let Some(file) = file_of(here as *mut c_void) else { return };
    if let Ok(name) = CString::new(file.as_os_str().as_encoded_bytes()) {
        let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        // SAFETY: a C string; nothing is loaded, a library that is stays.
        unsafe { libc::dlopen(name.as_ptr(), flags) };
    }
}

/// The file that the object at `address` was loaded from.
fn file_of(address: *mut c_void) -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: an address of a loaded object and a place to write to; on success the name is a C
    // string.
    let name = unsafe {
        if libc::dladdr(address, &raw mut info) == 0 {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    Some(real(&name.to_string_lossy()))
}

fn real(path: &str) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path))
}

fn refuse(probe: &Probe, why: &str) -> Failure {
    let Probe { executable, version, .. } = probe;
    Failure::new("RuntimeError", format!("{executable} (CPython {version}): {why}"))
}

/// Initialises on a thread that stays for the life of the process: it is Python's main thread, and
/// were it to end, a later thread could get its identity and pass for it.
fn initialise(api: &'static Api, probe: &Probe) -> Result<&'static Api, Failure> {
    let (sender, receiver) = mpsc::channel();
    let executable =
        CString::new(probe.executable.as_bytes()).map_err(|_| refuse(probe, "its path holds a NUL"))?;
    thread::Builder::new()
        .name("polyloop-python".to_owned())
        // It imports `site`, and with it what packages have put there.
        .stack_size(MAIN_STACK)
        .spawn(move || {
            let result = initialise_here(api, &executable);
            let park = result.is_ok();
            let _ = sender.send(result);
            if park {
                loop {
                    thread::park();
                }
            }
        })
        .map_err(|error| refuse(probe, &format!("no thread for it: {error}")))?;
    let result = receiver.recv().unwrap_or_else(|_| Err("its initialisation died".to_owned()));
    result.map_err(|why| refuse(probe, &why)).map(|()| api)
}

fn initialise_here(api: &Api, executable: &CStr) -> Result<(), String> {
    // SAFETY: as documented for embedding: pre-configuration, configuration, initialisation, and
    // then the GIL that initialisation left with this thread is let go.
    unsafe {
        if (api.Py_IsInitialized)() != 0 {
            return Ok(());
        }
        let mut settings = Config::new();
        (api.PyPreConfig_InitPythonConfig)(settings.place());
        let mut isolated = Config::new();
        (api.PyPreConfig_InitIsolatedConfig)(isolated.place());
        // Setting LC_CTYPE in the environment is for a program of its own, not for a library.
        settings.switch_off(&isolated, PRECONFIG_COERCE_C_LOCALE, -1, &[0])?;
        check(api, (api.Py_PreInitialize)(settings.place()))?;
        configure(api, executable)?;
        import_signal(api);
        (api.PyEval_SaveThread)();
    }
    Ok(())
}

/// As `python3` would start from the command line (argv[0] is how it finds its virtual
/// environment), but without its signal handlers.
unsafe fn configure(api: &Api, executable: &CStr) -> Result<(), String> {
    let mut settings = Config::new();
    let mut isolated = Config::new();
    let arguments = [executable.as_ptr()];
    // SAFETY: places larger than any PyConfig, and an argv of one C string.
    unsafe {
        (api.PyConfig_InitPythonConfig)(settings.place());
        (api.PyConfig_InitIsolatedConfig)(isolated.place());
        settings.switch_off(&isolated, CONFIG_SIGNAL_HANDLERS, 1, &[0])?;
        // Else PYTHONFAULTHANDLER and PYTHONDEVMODE would have Python take SIGSEGV, by which the
        // host hears of traps of WebAssembly.
        // The isolated configuration of 3.14 leaves it to the environment, too.
        settings.switch_off(&isolated, CONFIG_FAULTHANDLER, -1, &[0, -1])?;
        let set = (api.PyConfig_SetBytesArgv)(settings.place(), 1, arguments.as_ptr());
        let result =
            check(api, set).and_then(|()| check(api, (api.Py_InitializeFromConfig)(settings.place())));
        (api.PyConfig_Clear)(settings.place());
        (api.PyConfig_Clear)(isolated.place());
        result
    }
}

/// Imports `_signal` here and now: in 3.9 its first import takes SIGINT over, whatever was
/// configured, and then Ctrl-C would no longer reach the host.
unsafe fn import_signal(api: &Api) {
    // SAFETY: with the GIL; a zeroed sigaction is valid to be written to, and put back as it was.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGINT, std::ptr::null(), &raw mut before);
        let module = (api.PyImport_ImportModule)(c"_signal".as_ptr());
        if module.is_null() {
            (api.PyErr_Clear)();
        } else {
            (api.Py_DecRef)(module);
        }
        libc::sigaction(libc::SIGINT, &raw const before, std::ptr::null_mut());
    }
}

unsafe fn check(api: &Api, status: Status) -> Result<(), String> {
    let message = status.message;
    // SAFETY: a status that the interpreter gave; its message is null or a C string.
    unsafe {
        if (api.PyStatus_Exception)(status) == 0 {
            return Ok(());
        }
        if message.is_null() {
            return Err("it does not initialise".to_owned());
        }
        Err(format!("it does not initialise: {}", CStr::from_ptr(message).to_string_lossy()))
    }
}

const PRECONFIG_COERCE_C_LOCALE: usize = 5;
const CONFIG_SIGNAL_HANDLERS: usize = 4;
/// After the seed of hashes, which is a flag and a `long`.
const CONFIG_FAULTHANDLER: usize = 8;

/// A `PyConfig` or `PyPreConfig`, whose size and later fields differ by version.
#[repr(C, align(16))]
struct Config([c_int; 1024]);

impl Config {
    fn new() -> Box<Self> {
        Box::new(Self([0; 1024]))
    }

    fn place(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Sets the integer at `index` to 0 after making sure that it is the one meant: `default` in
    /// the configuration of `python3`, one of `others` in the isolated one.
    fn switch_off(
        &mut self,
        isolated: &Self,
        index: usize,
        default: c_int,
        others: &[c_int],
    ) -> Result<(), String> {
        if self.0[index] != default || !others.contains(&isolated.0[index]) {
            return Err("its PyConfig has a layout that this loader does not know".to_owned());
        }
        self.0[index] = 0;
        Ok(())
    }
}
