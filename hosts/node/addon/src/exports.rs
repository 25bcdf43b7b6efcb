// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call. `native.ts` of the host package gives the types.

use std::{ffi::c_void, os::fd::IntoRawFd, path::PathBuf, ptr, slice, sync::Arc};

use napi_sys::{self as sys, napi_callback_info, napi_env, napi_value};
use polyloop_connection::{Limits, Remote, Runtime, StartOptions, load};
use polyloop_ring::{layout::ENTRY_BYTES, submission};
use serde::Deserialize;

use crate::{
    ending::{self, Changing, ending},
    home::Home,
    hub::Hub,
    join,
    member::{Member, Own},
    memory,
    napi::{self, Export, Result},
    pins::Pin,
    signals::{Notice, RuntimeHost},
};

/// What Node keeps for an environment.
struct Instance {
    hub: *mut Hub,
}

/// Adds the functions to the module.
pub fn register(env: napi_env, exports: napi_value) {
    macro_rules! export {
        ($($name:literal => $function:ident),* $(,)?) => {
            $({
                unsafe extern "C" fn entry(env: napi_env, info: napi_callback_info) -> napi_value {
                    napi::run(env, info, $function)
                }
                add(env, exports, $name, entry);
            })*
        };
    }
    export! {
        c"open" => open,
        c"create" => create,
        c"own" => own,
        c"start" => start,
        c"close" => close,
        c"files" => files,
        c"spawned" => spawned,
        c"join" => join,
        c"found" => found,
        c"lines" => lines,
        c"porch" => porch,
        c"remove" => remove,
        c"doorbell" => doorbell,
        c"hold" => hold,
        c"pin" => pin,
        c"control" => control,
        c"slab" => slab,
        c"alloc" => alloc,
        c"forget" => forget,
        c"takeLog" => take_log,
        c"counts" => counts,
        c"ending" => ending,
    }
}

type Entry = unsafe extern "C" fn(napi_env, napi_callback_info) -> napi_value;

fn add(env: napi_env, exports: napi_value, name: &std::ffi::CStr, entry: Entry) {
    let mut function = ptr::null_mut();
    // SAFETY: env is live and the name static. Where it fails, JavaScript finds the function missing.
    unsafe {
        let len = name.count_bytes().cast_signed();
        let made = sys::napi_create_function(
            env,
            name.as_ptr(),
            len,
            Some(entry),
            ptr::null_mut(),
            &raw mut function,
        );
        if made == sys::Status::napi_ok {
            sys::napi_set_named_property(env, exports, name.as_ptr(), function);
        }
    }
}

fn instance<'a>(env: napi_env) -> Result<&'a Instance> {
    let mut data = ptr::null_mut();
    // SAFETY: env is live.
    napi::check(unsafe { sys::napi_get_instance_data(env, &raw mut data) }, "instance")?;
    // SAFETY: only `open` sets it, to an Instance that lives as long as the environment.
    unsafe { data.cast::<Instance>().as_ref() }.ok_or_else(|| "open() was not called".into())
}

fn hub<'a>(env: napi_env) -> Result<&'a mut Hub> {
    // SAFETY: the hub lives until the environment's cleanup, after which no JavaScript runs; exports
    // are not re-entered while one of them holds it.
    let hub = unsafe { &mut *instance(env)?.hub };
    hub.counts.calls += 1;
    Ok(hub)
}

/// open(drain, onEvent): the hub's words. Once an environment.
fn open(env: napi_env, [drain, on_event]: [napi_value; 2]) -> Result<Option<napi_value>> {
    unsafe extern "C" fn forget(_: napi_env, data: *mut c_void, _: *mut c_void) {
        // SAFETY: made by into_raw below; Node finalizes once, after the last JavaScript.
        drop(unsafe { Box::from_raw(data.cast::<Instance>()) });
    }
    if instance(env).is_ok() {
        return Err("open() was called before".into());
    }
    let hub = Hub::start(env, drain, on_event)?;
    let data = Box::into_raw(Box::new(Instance { hub }));
    // SAFETY: env is live, data is given away.
    let status = unsafe { sys::napi_set_instance_data(env, data.cast(), Some(forget), ptr::null_mut()) };
    napi::check(status, "instance")?;
    // SAFETY: the hub was just made; its words are leaked with the environment.
    let (words, len) = unsafe { (*hub).words() };
    // SAFETY: as above.
    Ok(Some(unsafe { napi::external(env, words, len, ()) }?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateOptions {
    max_calls: usize,
    max_payload: usize,
    spin: bool,
    /// Whether its guest is to have a process of its own.
    process: bool,
    /// The number of the memory that its requests lie in, which instances of one kind may have in common.
    requests: u32,
}

/// create(id, options as JSON): the block of a new runtime.
fn create(env: napi_env, [id, options]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let options: CreateOptions = serde_json::from_str(&napi::text(env, options)?)?;
    let (id, hub) = (napi::number(env, id)?, hub(env)?);
    let requests = hub.open_requests(options.requests, options.process)?;
    let (home, bell) = if options.process {
        let remote = Remote::new(options.max_calls, requests.share()?)?;
        (Home::Process(Arc::new(remote)), Some(hub.bell()?))
    } else {
        let host = Box::new(RuntimeHost { id, signals: Arc::clone(&hub.signals) });
        let limits = Limits { calls: options.max_calls, payload: options.max_payload };
        (Home::Thread(Arc::new(Runtime::new(limits, host)?)), None)
    };
    let member = Member::new(id, home, options.spin, bell, requests)?;
    let block = memory::block(env, &member.home)?;
    hub.members.push(member);
    Ok(Some(block))
}

/// own(id): what the host keeps of a runtime whose block another process maps, in memory that none does: a word, how
/// many calls are outstanding, and at 64 a byte of pins for each carrier.
fn own(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let own = own_of(hub(env)?.member(id)?)?;
    let (memory, owner) = (own.memory.as_ptr(), Arc::clone(&own.memory));
    // SAFETY: the owner keeps the mapping.
    unsafe { napi::external(env, memory, owner.len(), owner) }.map(Some)
}

/// files(id): descriptors that the guest's process inherits, as JSON: block, requests, responses, doorbell.
fn files(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let member = hub(env)?.member(napi::number(env, id)?)?;
    let bell = member.own.as_ref().and_then(|own| own.bell.far());
    let files = process(member)?.files().zip(bell);
    let ([block, requests, responses], bell) = files.ok_or("its process has them already")?;
    napi::string(env, &format!("[{block},{requests},{responses},{bell}]")).map(Some)
}

/// spawned(id): the guest's process has the descriptors, this one needs them no more.
fn spawned(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let member = hub(env)?.member(napi::number(env, id)?)?;
    process(member)?.close_files();
    if let Some(own) = &mut member.own {
        own.bell.close_far();
    }
    Ok(None)
}

/// join(id, name): has a guest that is shared by this name serve the runtime, too; events say how it goes: `found`
/// (nobody keeps it; the payload is the number of the socket that a keeper is to be started with, which is closed after
/// the event), `joined`, and `refused`.
fn join(env: napi_env, [id, name]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, name) = (napi::number(env, id)?, napi::text(env, name)?);
    seek(hub(env)?, id, Some(&name))
}

/// found(id): has a new guest serve the runtime, which others share once its keeper takes their name. The events are
/// those of `join`.
fn found(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    seek(hub(env)?, id, None)
}

fn seek(hub: &mut Hub, id: u32, name: Option<&str>) -> Result<Option<napi_value>> {
    let signals = Arc::clone(&hub.signals);
    let member = hub.member(id)?;
    let [block, requests, responses] = process(member)?.copy_files()?;
    let own = own_of(member)?;
    let files = [block, requests, responses, own.bell.copy_far()?];
    own.joining = Some(join::begin(name, files, move |news| signals.post(id, Notice::Join(news)))?);
    hub.hold();
    Ok(None)
}

/// lines(id): the runtime's place in a shared guest, as JSON: descriptors of the lines to the keeper and to the guest,
/// which are the caller's from now on, and the guest's process. Once, after `joined`.
fn lines(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let own = own_of(hub(env)?.member(napi::number(env, id)?)?)?;
    let place = own.place.take().ok_or("it has no place, or its lines were taken")?;
    own.porch = Some(place.porch);
    let (keeper, life) = (place.keeper.into_raw_fd(), place.life.into_raw_fd());
    let text = serde_json::json!({ "keeper": keeper, "life": life, "pid": place.pid }).to_string();
    napi::string(env, &text).map(Some)
}

/// porch(id): the shared guest has started, and has the descriptors: the words by which its threads wait. Until then the
/// runtime may join another one.
fn porch(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let member = hub(env)?.member(id)?;
    let own = own_of(member)?;
    let porch = own.porch.take().ok_or("the runtime has no porch")?;
    own.bell.close_far();
    let remote = process(member)?;
    remote.close_files();
    if !remote.block().wait_at(Arc::clone(&porch)) {
        return Err("the runtime has a porch".into());
    }
    memory::porch(env, porch).map(Some)
}

/// remove(id, mayRead): the guest's process has ended, or (1) is out of reach: then what it may read serves no other
/// instance any more.
fn remove(env: napi_env, [id, may_read]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, may_read) = (napi::number(env, id)?, napi::number(env, may_read)? != 0);
    hub(env)?.remove(id, may_read);
    Ok(None)
}

fn process(member: &Member) -> Result<&Arc<Remote>> {
    match &member.home {
        Home::Process(remote) => Ok(remote),
        Home::Thread(_) => Err("the runtime is in this process".into()),
    }
}

fn own_of(member: &mut Member) -> Result<&mut Own> {
    member.own.as_mut().ok_or_else(|| "the runtime is in this process".into())
}

fn thread(member: &Member) -> Result<&Arc<Runtime>> {
    match &member.home {
        Home::Thread(runtime) => Ok(runtime),
        Home::Process(_) => Err("the runtime is in a process of its own".into()),
    }
}

#[derive(Deserialize)]
struct LoadOptions {
    library: PathBuf,
    threads: u32,
    config: String,
    codec: String,
    loader: String,
}

/// start(id, options as JSON): loads the guest; an event says how it went.
fn start(env: napi_env, [id, options]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let options: LoadOptions = serde_json::from_str(&napi::text(env, options)?)?;
    let hub = hub(env)?;
    let runtime = Arc::clone(thread(hub.member(id)?)?);
    let (guests, owner) = (Arc::clone(&hub.guests), Arc::clone(&runtime));
    let LoadOptions { library, threads, config, codec, loader } = options;
    let begin = StartOptions { threads, config, codec, loader };
    let open = move || polyloop_guest_library::open(&library);
    let starting = Changing::of(&runtime);
    let keep = move |guest| {
        ending::prepare();
        guests.keep(id, owner, guest);
        drop(starting);
    };
    load(runtime, begin, open, keep)?;
    hub.pending += 1;
    hub.hold();
    Ok(None)
}

/// close(id): unloads; an event says when the guest has let go.
fn close(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    hub(env)?.unload(napi::number(env, id)?)?;
    Ok(None)
}

/// doorbell(id): wakes the poller, which sleeps.
fn doorbell(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let hub = hub(env)?;
    // STOP 5 doorbell
    if submission::ring(hub.member(id)?.porch()) {
        hub.counts.doorbells += 1;
    }
    Ok(None)
}

/// `hold()`: keeps the loop alive; the hub lets go by itself.
fn hold(env: napi_env, []: [napi_value; 0]) -> Result<Option<napi_value>> {
    hub(env)?.hold();
    Ok(None)
}

/// `control(id)`: has what JavaScript has written into the control ring acted on.
fn control(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    hub(env)?.member(id)?.home.control();
    Ok(None)
}

/// pin(id, carrier, word, view): writes the view's address into the entry, of either ring, that begins at this 32-bit
/// word of the block, and keeps its memory, or a copy of it, until JavaScript clears the carrier's byte of pins.
fn pin(env: napi_env, [id, carrier, word, view]: [napi_value; 4]) -> Result<Option<napi_value>> {
    let (id, carrier, word) = (napi::number(env, id)?, napi::number(env, carrier)?, napi::number(env, word)?);
    let (mut len, mut start, mut buffer) = (0, ptr::null_mut(), ptr::null_mut());
    // SAFETY: env and view belong to this callback.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            view,
            ptr::null_mut(),
            &raw mut len,
            &raw mut start,
            &raw mut buffer,
            ptr::null_mut(),
        )
    };
    napi::check(status, "a Uint8Array")?;
    let hub = hub(env)?;
    let pin = match &hub.member(id)?.home {
        Home::Thread(_) => hub.pinner.pin(env, buffer, start.cast(), len),
        Home::Process(remote) => {
            // SAFETY: the view is memory that lives through the call.
            Pin::Placed(remote.place(unsafe { slice::from_raw_parts(start.cast(), len) })?)
        }
    };
    keep(hub.member(id)?, carrier, word, pin)
}

fn keep(member: &mut Member, carrier: u32, word: u32, pin: Pin) -> Result<Option<napi_value>> {
    let constants = *member.home.block().constants();
    let address = pin.address();
    let entry = word as usize * size_of::<u32>();
    let within = |offset: u32, entries: u32| {
        let start = offset as usize;
        (start..start + entries as usize * ENTRY_BYTES).contains(&entry)
            && (entry - start).is_multiple_of(ENTRY_BYTES)
    };
    let there = within(constants.sq_offset, constants.sq_entries)
        || within(constants.control_offset, constants.control_entries);
    if carrier >= constants.carriers || !there {
        return Err(format!("there is no carrier {carrier} or entry at {word}").into());
    }
    member.pin(carrier, pin);
    // SAFETY: the entry lies in the block and is not published yet, and the byte is the host's: this
    // thread alone uses both.
    unsafe {
        member.home.block().memory().as_ptr().add(entry + 16).cast::<u64>().write_unaligned(address);
        member.pin_byte(carrier).write(1);
    }
    Ok(None)
}

/// slab(id, slab, bytes): its memory, at least so many bytes of it. Once for each time a slab number appears anew.
fn slab(env: napi_env, [id, slab, bytes]: [napi_value; 3]) -> Result<Option<napi_value>> {
    let (id, number, bytes) = (napi::number(env, id)?, napi::number(env, slab)?, napi::number(env, bytes)?);
    let home = hub(env)?.member(id)?.home.clone();
    memory::slab(env, &home, number, bytes as usize).map(Some)
}

/// alloc(requests, bytes): memory for requests that guests read without a copy, and its address there. Its bytes are not
/// cleared. It is free again when its views are gone: keep one while the guest may read them.
fn alloc(env: napi_env, [id, bytes]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, bytes) = (napi::number(env, id)?, napi::number(env, bytes)?);
    memory::requests(env, hub(env)?.requests(id)?, bytes as usize).map(Some)
}

/// forget(requests): no instance will be made that reads there, and no memory asked for. What JavaScript and guests have
/// stays theirs.
fn forget(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    hub(env)?.requests.remove(&id);
    Ok(None)
}

/// takeLog(id): what the guest printed, as JSON `[[stream, text], ...]`.
fn take_log(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let lines = thread(hub(env)?.member(id)?)?.take_log();
    let lines: Vec<_> = lines.iter().map(|line| (line.stream, String::from_utf8_lossy(&line.text))).collect();
    napi::string(env, &serde_json::to_string(&lines)?).map(Some)
}

/// counts(id): JSON of what was counted in this environment, and in the runtime where `id` is not 0.
fn counts(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    // SAFETY: as in `hub`; this call is not counted.
    let hub = unsafe { &mut *instance(env)?.hub };
    let totals = hub.counts;
    let mut json = serde_json::json!({
        "pinsHold": hub.pinner.holds(),
        "nativeCalls": totals.calls,
        "drains": totals.drains,
        "doorbells": totals.doorbells,
        "helps": totals.helps,
        "turns": totals.turns,
    });
    if id != 0 {
        let member = hub.member(id)?;
        let pinned = member.sweep();
        json["wakeups"] = member.header().wakeups.get().into();
        json["duplicates"] = member.header().duplicates.get().into();
        json["slabBytes"] = member.home.slab_bytes().into();
        json["pinned"] = pinned.into();
    }
    napi::string(env, &json.to_string()).map(Some)
}

/// The type that `export!` expects, spelled once so that a wrong signature is told here.
const _: Export<2> = open;
