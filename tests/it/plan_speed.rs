//! How long a plan of 1,000 services with nothing to do takes. The figure that counts is that of
//! `cargo test --release --test it plan_speed -- --nocapture`; an unoptimised build only has to stay in its order.

use crate::plan_builders::{NOON, commit, declared, desired, head, policy, running_view, spec};
use std::time::{Duration, Instant};
use towpath::desired::Desired;
use towpath::observed::{EngineView, Observed};
use towpath::plan::plan;

fn idle_world(services: u16) -> (Desired, Observed) {
    let specs: Vec<_> = (0..services).map(|i| spec(&format!("service-{i}"))).collect();
    let views = specs.iter().zip(0..).map(|(s, i)| running_view(s, 7, commit("aaa"), 2, 1000 + 2 * i));
    let services = views.map(|mut view| {
        view.target_size = 2;
        view
    });
    let observed = Observed {
        services: services.collect(),
        heads: specs.iter().map(|s| head(s, Some(commit("aaa")))).collect(),
        engine: EngineView::Answered { name: "docker".into() },
        strays: Vec::new(),
        host_memory: None,
        vetted: vec![],
    };
    (desired(specs.into_iter().zip(1..).map(|(s, line)| declared(s, line)).collect()), observed)
}

#[test]
fn a_thousand_idle_services_are_planned_in_milliseconds() {
    let (state, observed) = idle_world(1000);
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let begin = Instant::now();
            let (plan, report) = plan(Some(&state), &observed, &policy(1), NOON);
            let took = begin.elapsed();
            assert!(plan.changes.is_empty() && report.notes.is_empty());
            took
        })
        .collect();
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("plan of 1,000 idle services: median {median:?}, worst {worst:?}");
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 20 });
    assert!(median <= limit, "median {median:?} is over {limit:?}");
}
