// SPDX-License-Identifier: Apache-2.0
//! The layout as every language must see it: `spec/ring.json`, which this test writes if
//! `POLYLOOP_WRITE_GOLDEN` is set and otherwise holds to the code.
#![cfg(not(loom))]

use polyloop_ring::{
    Completion, Layout, Submission,
    entry::{FLAG_HELD, FLAG_OWN, FLAG_TIMED, ITEM, LOG, RELEASE, RESPONSE, SEAL},
    layout::{
        Constants, ENTRY_BYTES, HEADER_BYTES, Header, LINE, MAGIC, MAX_SLOTS, REQUEST_BYTES, RESPONSE_BYTES,
        VERSION, WINDOW_BYTES,
    },
    slab::SIZES,
    tasks::GENERATIONS,
};
use serde_json::{Value, json};
use std::mem::offset_of;

fn hex(words: [u64; 4]) -> String {
    words.iter().map(|word| format!("{:016x}", word.swap_bytes())).collect::<Vec<_>>().concat()
}

fn constants(c: Constants) -> Value {
    json!({
        "magic": c.magic, "version": c.version, "slots": c.slots,
        "sqEntries": c.sq_entries, "cqEntries": c.cq_entries,
        "sqOffset": c.sq_offset, "cqOffset": c.cq_offset, "pinsOffset": c.pins_offset,
        "requestsOffset": c.requests_offset, "responsesOffset": c.responses_offset, "total": c.total, "carriers": c.request_buffers,
        "controlEntries": c.control_entries, "controlOffset": c.control_offset, "credits": c.credits,
    })
}

fn words() -> Value {
    json!({
        "sqTail": offset_of!(Header, sq_tail), "sqHead": offset_of!(Header, sq_head),
        "sleep": offset_of!(Header, sleep), "cqTail": offset_of!(Header, cq_tail),
        "cqHead": offset_of!(Header, cq_head), "armed": offset_of!(Header, armed),
        "stop": offset_of!(Header, stop), "hostCpu": offset_of!(Header, host_cpu),
        "guestCpu": offset_of!(Header, guest_cpu), "poller": offset_of!(Header, poller),
        "idle": offset_of!(Header, idle), "idleSeq": offset_of!(Header, idle_seq),
        "outstanding": offset_of!(Header, host), "controlTail": offset_of!(Header, control_tail),
        "controlHead": offset_of!(Header, control_head), "controlSleep": offset_of!(Header, control_sleep),
        "beats": offset_of!(Header, beats), "wakeups": offset_of!(Header, wakeups),
        "duplicates": offset_of!(Header, duplicates),
    })
}

fn golden() -> Value {
    let submission = Submission {
        task: 0x0102_0304,
        kind: 1,
        flags: 2,
        method: 0xa1b2,
        stream: 0x1122_3344,
        length: 0x5566_7788,
        address: 0x0102_0304_0506_0708,
        deadline: 0x1112_1314_1516_1718,
    };
    let completion = Completion {
        task: 0x0102_0304,
        kind: RESPONSE,
        flags: 9,
        status: 1,
        stream: 0x1122_3344,
        length: 0x5566_7788,
        slab: 0x99aa_bbcc,
        offset: 0xddee_ff00,
        aux: 0x2122_2324_2526_2728,
    };
    let layouts = [1, 5, 1024, 65536]
        .map(|calls| json!({ "calls": calls, "constants": constants(Layout::new(calls).constants()) }));
    json!({
        "headerBytes": HEADER_BYTES, "lineBytes": LINE, "entryBytes": ENTRY_BYTES,
        "requestBytes": REQUEST_BYTES, "responseBytes": RESPONSE_BYTES, "maxSlots": MAX_SLOTS,
        "windowBytes": WINDOW_BYTES, "generations": GENERATIONS,
        "magic": MAGIC, "version": VERSION,
        "headerOffsets": words(),
        "kinds": { "call": 1, "item": ITEM, "end": 3, "cancel": 4, "credit": 5, "response": RESPONSE, "release": RELEASE, "seal": SEAL, "log": LOG },
        "flags": { "held": FLAG_HELD, "own": FLAG_OWN, "timed": FLAG_TIMED },
        "slabSizes": SIZES, "layouts": layouts,
        "submission": { "bytes": hex(submission.into()), "fields": {
            "task": submission.task, "kind": submission.kind, "flags": submission.flags, "method": submission.method,
            "stream": submission.stream, "length": submission.length, "address": "0x0102030405060708", "deadline": "0x1112131415161718" } },
        "completion": { "bytes": hex(completion.into()), "fields": {
            "task": completion.task, "kind": completion.kind, "flags": completion.flags, "status": completion.status,
            "stream": completion.stream, "length": completion.length, "slab": completion.slab, "offset": completion.offset,
            "aux": "0x2122232425262728" } },
    })
}

#[test]
fn the_layout_is_the_one_that_other_languages_were_told() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/ring.json");
    let golden = golden();
    if std::env::var_os("POLYLOOP_WRITE_GOLDEN").is_some() {
        std::fs::write(path, format!("{golden:#}\n")).unwrap();
    }
    // However it is laid out: the format of JSON is a tool's.
    let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(told, golden, "a new layout needs a new VERSION and new golden bytes");
}

#[test]
fn entries_survive_the_way_through_memory() {
    let submission =
        Submission { task: 7, kind: 1, flags: 3, method: 9, stream: 1, length: 2, address: 3, deadline: 4 };
    assert_eq!(Submission::from(<[u64; 4]>::from(submission)), submission);
    let completion = Completion {
        task: 7,
        kind: 1,
        flags: 3,
        status: 2,
        stream: 1,
        length: 2,
        slab: 3,
        offset: 4,
        aux: 5,
    };
    assert_eq!(Completion::from(<[u64; 4]>::from(completion)), completion);
}

#[test]
fn rings_and_payloads_are_aligned_and_do_not_overlap() {
    for calls in [1, 2, 3, 64, 1000, 65536] {
        let c = Layout::new(calls).constants();
        assert!(c.slots as usize >= calls && c.slots.is_power_of_two());
        assert!(c.sq_offset as usize >= HEADER_BYTES && c.sq_offset.is_multiple_of(32));
        assert_eq!(c.cq_offset, c.sq_offset + c.sq_entries * 32);
        assert_eq!(c.control_offset, c.cq_offset + c.cq_entries * 32);
        assert_eq!(c.pins_offset, c.control_offset + c.control_entries * 32);
        assert!(
            c.requests_offset >= c.pins_offset + c.request_buffers && c.requests_offset.is_multiple_of(4096)
        );
        assert_eq!(c.responses_offset, c.requests_offset + c.request_buffers * 4096);
        assert!(c.total >= c.responses_offset + c.slots * 1024);
    }
}

#[test]
fn the_completion_ring_holds_all_that_may_be_under_way() {
    for calls in [1, 2, 3, 31, 64, 100, 128, 1000, 5000, 65536] {
        let c = Layout::new(calls).constants();
        assert!(c.request_buffers >= c.slots * 2, "an item of each task's stream can always go");
        assert!(c.credits >= c.slots, "each task's stream has a credit of one");
        // A response and a release for each request buffer; a seal for every third payload in a
        // slab; a line of log.
        let most = c.request_buffers * 2 + c.credits + (c.slots + c.credits).div_ceil(3) + 1;
        assert!(most <= c.cq_entries, "{calls} calls: {most} of {} entries", c.cq_entries);
    }
}
