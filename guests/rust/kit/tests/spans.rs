// SPDX-License-Identifier: Apache-2.0
//! Spans that functions begin are children of the caller's, with the SDK of OpenTelemetry.

use std::sync::LazyLock;

use opentelemetry::global;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use polyloop_abi::*;
use polyloop_test_host::{Call, Guest, Options, start};

#[polyloop::guest]
mod functions {
    use futures_util::stream::{self, StreamExt};
    use opentelemetry::global;
    use opentelemetry::trace::Tracer;
    use polyloop::Stream;

    /// Begins a span and ends it.
    fn span() {
        global::tracer("guest").in_span("work", |_| {});
    }

    pub fn sync() {
        span();
    }
    pub fn both(deeper: bool) {
        global::tracer("guest").in_span("work", |_| {
            if deeper {
                span();
            }
        });
    }
    pub async fn later() {
        tokio::task::yield_now().await;
        span();
    }
    pub fn each(count: u32) -> impl Iterator<Item = u32> {
        (0..count).inspect(|_| span())
    }
    pub fn each_later(count: u32) -> impl Stream<Item = u32> {
        stream::iter(0..count).then(|number| async move {
            tokio::task::yield_now().await;
            span();
            number
        })
    }
    pub fn panics() {
        span();
        panic!("the trace is left all the same");
    }
}

/// What is exported of spans, in the order of their ends.
static EXPORTER: LazyLock<InMemorySpanExporter> = LazyLock::new(|| {
    let exporter = InMemorySpanExporter::default();
    global::set_tracer_provider(SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build());
    global::set_text_map_propagator(TraceContextPropagator::new());
    exporter
});

/// A guest with one thread: what a call left behind there, the next one would find.
fn guest() -> Guest {
    LazyLock::force(&EXPORTER);
    start!(Options { threads: 1, ..Options::default() }).expect("the guest starts")
}

/// Calls a function in a trace, and returns the spans of that trace.
fn traced(guest: &Guest, name: &str, flags: u8, payload: &[u8], trace: u128) -> Vec<SpanData> {
    let context = format!("{{\"traceparent\": \"00-{trace:032x}-00000000000000ab-01\", \"user\": \"ada\"}}");
    let id = guest
        .begin(name, &Call { flags: FLAG_SPREAD | flags, payload, context: &context, ..Call::default() });
    guest.rest(id);
    spans(|span| span.span_context.trace_id() == TraceId::from(trace))
}

fn spans(wanted: impl Fn(&SpanData) -> bool) -> Vec<SpanData> {
    EXPORTER.get_finished_spans().unwrap().into_iter().filter(wanted).collect()
}

#[test]
fn spans_are_children_of_the_callers_in_functions_of_every_kind() {
    let guest = guest();
    let kinds: [(&str, u8, &[u8], usize); 5] = [
        ("sync", 0, b"[]", 1),
        ("later", 0, b"[]", 1),
        ("each", FLAG_OUTPUT, b"[3]", 3),
        ("each_later", FLAG_OUTPUT, b"[3]", 3),
        ("panics", 0, b"[]", 1),
    ];
    for (trace, (name, flags, payload, count)) in (1..).zip(kinds) {
        let spans = traced(&guest, name, flags, payload, trace);
        assert_eq!(spans.len(), count, "{name}");
        for span in spans {
            assert_eq!(span.parent_span_id, SpanId::from(0xab), "{name}");
            assert!(span.parent_span_is_remote, "{name}");
        }
    }
    assert!(guest.unload());
}

#[test]
fn a_span_within_a_span_is_its_child() {
    let guest = guest();
    let spans = traced(&guest, "both", 0, b"[true]", 100);
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
    assert_eq!(spans[1].parent_span_id, SpanId::from(0xab));
    assert!(guest.unload());
}

#[test]
fn a_call_without_a_trace_begins_one_whatever_came_before() {
    let guest = guest();
    let roots = || spans(|span| span.parent_span_id == SpanId::INVALID).len();
    let calls = [("", "sync"), ("", "later"), ("{\"user\": \"ada\"}", "sync"), ("no json", "later")];
    for (trace, (context, name)) in (200..).zip(calls) {
        assert_eq!(traced(&guest, name, 0, b"[]", trace).len(), 1, "{name}");
        let before = roots();
        guest.answer(guest.begin(name, &Call { context, ..Call::default() }));
        assert_eq!(roots(), before + 1, "{name}, with {context:?}");
    }
    assert!(guest.unload());
}
