// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call to start a process. Those of Node.js are reaped by the loop that has started them: one
//! that ends before leaves a zombie until the program ends. And they are made by a copy of the whole process.

use std::{
    cell::RefCell,
    ffi::{CString, c_void},
    fs::File,
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    os::unix::{fs::MetadataExt, net::UnixStream},
    ptr,
};

use napi_sys::{self as sys, napi_env, napi_value};
use serde::Deserialize;
use serde_json::json;

use crate::napi::{self, Result};

#[derive(Deserialize)]
struct StartOptions {
    /// A program's path, and its arguments.
    command: Vec<String>,
    /// `NAME=value`.
    environment: Vec<String>,
    /// Its descriptors.
    files: Vec<Wanted>,
}

/// A descriptor of the process: nothing, one end of what is made for it, or one of this process's.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Nothing,
    Pipe,
    Socket,
    #[serde(untagged)]
    Number(RawFd),
}

/// startProcess(options as JSON): starts a process in a session of its own; as JSON, its number and the host's end of
/// each of its descriptors, or null; or the number and the text of what went wrong.
pub fn start_process(env: napi_env, [options]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let options: StartOptions = serde_json::from_str(&napi::text(env, options)?)?;
    let text = match start(&options) {
        Ok((pid, ends)) => json!({ "pid": pid, "files": keep(env, ends)? }),
        Err(error) => json!({ "errno": error.raw_os_error().unwrap_or(0), "message": error.to_string() }),
    };
    napi::string(env, &text.to_string()).map(Some)
}

/// killProcess(pid): kills a process that was started here; does nothing if it has ended.
pub fn kill_process(env: napi_env, [pid]: [napi_value; 1]) -> Result<Option<napi_value>> {
    polyloop_process::kill(napi::number(env, pid)?);
    Ok(None)
}

/// resumeProcess(pid): has a process that was started here go on, if somebody has stopped it.
pub fn resume_process(env: napi_env, [pid]: [napi_value; 1]) -> Result<Option<napi_value>> {
    polyloop_process::resume(napi::number(env, pid)?);
    Ok(None)
}

fn start(options: &StartOptions) -> io::Result<(u32, Vec<Option<OwnedFd>>)> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for wanted in &options.files {
        let (own, other) = match wanted {
            Wanted::Nothing => (None, Some(null.as_fd().try_clone_to_owned()?)),
            Wanted::Pipe => {
                let (read, write) = io::pipe()?;
                (Some(read.into()), Some(write.into()))
            }
            Wanted::Socket => {
                let (own, other) = UnixStream::pair()?;
                (Some(own.into()), Some(other.into()))
            }
            Wanted::Number(_) => (None, None),
        };
        near.push(own);
        far.push(other);
    }
    let files: Vec<_> =
        options.files.iter().zip(&far).map(|(wanted, far)| borrowed(wanted, far.as_ref())).collect();
    let arguments = strings(&options.command)?;
    let program = arguments.first().ok_or_else(|| io::Error::other("no program"))?;
    let pid = polyloop_process::start(program, &arguments, &strings(&options.environment)?, &files)?;
    Ok((pid, near))
}

fn borrowed<'a>(wanted: &Wanted, made: Option<&'a OwnedFd>) -> BorrowedFd<'a> {
    match (wanted, made) {
        (Wanted::Number(number), _) => {
            // SAFETY: JavaScript has it from this add-on, and has it closed after the start.
            unsafe { BorrowedFd::borrow_raw(*number) }
        }
        (_, Some(made)) => made.as_fd(),
        (_, None) => unreachable!("one is made for all but a number"),
    }
}

fn strings(from: &[String]) -> io::Result<Vec<CString>> {
    Ok(from.iter().map(|text| CString::new(text.as_str())).collect::<std::result::Result<_, _>>()?)
}

thread_local! {
    /// What this thread's JavaScript was given, until it is seen to be closed.
    static GIVEN: RefCell<Given> = RefCell::default();
}

#[derive(Default)]
struct Given {
    files: Vec<(RawFd, Identity)>,
    is_hooked: bool,
}

type Identity = (u64, u64);

/// What a descriptor stands for. Nothing if it is closed.
fn identity(number: RawFd) -> Option<Identity> {
    // SAFETY: it is not closed here, and one that stands for something else is only looked at.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
    file.metadata().ok().map(|data| (data.dev(), data.ino()))
}

/// Gives descriptors to JavaScript, which makes sockets of them. If it ends before that they are closed here.
pub fn keep(env: napi_env, files: Vec<Option<OwnedFd>>) -> Result<Vec<Option<RawFd>>> {
    GIVEN.with_borrow_mut(|given| {
        if !given.is_hooked {
            // SAFETY: env is live, and its cleanup is on this thread.
            let status = unsafe { sys::napi_add_env_cleanup_hook(env, Some(close_given), ptr::null_mut()) };
            napi::check(status, "a cleanup")?;
            given.is_hooked = true;
        }
        given.files.retain(|(number, was)| identity(*number) == Some(*was));
        let numbers: Vec<_> = files.into_iter().map(|file| file.map(IntoRawFd::into_raw_fd)).collect();
        let open = numbers.iter().flatten().filter_map(|number| Some((*number, identity(*number)?)));
        given.files.extend(open);
        Ok(numbers)
    })
}

/// The environment ends: its sockets are closed already, and what is open still is in none of them. A number that
/// stands for something else by now is another thread's.
unsafe extern "C" fn close_given(_: *mut c_void) {
    let given = GIVEN.take();
    for (number, was) in given.files {
        if identity(number) == Some(was) {
            // SAFETY: nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
}
